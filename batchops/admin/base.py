"""What the admin classes share: everything is looked at here, and changed by services alone."""

from __future__ import annotations

from typing import Any, TypeVar

from django import forms
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.text import capfirst

from batchops.services.audit import storable_text
from batchops.services.errors import ChangeError

Row = TypeVar("Row", bound=Model)


class SturdyList(ChangeList):
    """A list in which nothing matches what no database can look for."""

    def get_queryset(
        self, request: HttpRequest, exclude_parameters: list[str | None] | None = None
    ) -> QuerySet[Any]:
        found = super().get_queryset(request, exclude_parameters)
        asked = (value for values in self.filter_params.values() for value in values)
        # PostgreSQL takes no NUL in a text.
        return found.none() if any("\0" in value for value in asked) else found


class ReadOnlyAdmin(admin.ModelAdmin[Row]):
    """Rows can be viewed by those who may, and added, edited or deleted by nobody."""

    actions_on_bottom = False
    list_per_page = 50
    show_full_result_count = False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return SturdyList

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Row | None:
        found: Row | None = None
        if "\0" not in object_id:
            found = super().get_object(request, object_id, from_field)
        return found

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The list, headed by what it holds."""
        title = capfirst(str(self.opts.verbose_name_plural))
        return super().changelist_view(request, {"title": title, **(extra_context or {})})

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Row | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Row | None = None) -> bool:
        return False


def person(request: HttpRequest) -> User:
    """The signed-in person. Raises PermissionDenied for anybody else."""
    if not isinstance(request.user, User):
        raise PermissionDenied
    return request.user


def searched(request: HttpRequest) -> str:
    """The text a person searches a table for, without what no database can look for."""
    return storable_text(request.GET.get("q", "").strip(), 255)


def blame(form: forms.Form, error: ChangeError) -> None:
    """Show what a service refused at the field it is about, or above all where it is about none."""
    form.add_error(error.field if error.field in form.fields else None, error.message)
