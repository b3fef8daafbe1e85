"""What the admin classes share: everything is looked at here, and changed by services alone."""

from __future__ import annotations

from typing import Any, TypeVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ORDER_VAR, ChangeList
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.text import capfirst

from batchops.admin.ui import parameters
from batchops.services import heartbeats
from batchops.services.errors import ChangeError

AnyModel = TypeVar("AnyModel", bound=Model)


class NulSafeChangeList(ChangeList):
    """A list that shows what its address says, or refuses it with words."""

    def get_queryset(
        self, request: HttpRequest, exclude_parameters: list[str | None] | None = None
    ) -> QuerySet[Any]:
        found = super().get_queryset(request, exclude_parameters)
        asked = (value for values in self.filter_params.values() for value in values)
        # PostgreSQL takes no NUL in a text.
        return found.none() if any("\0" in value for value in asked) else found

    def get_results(self, request: HttpRequest) -> None:
        """The page that is asked for; beyond the last, as when batches have gone, the last."""
        try:
            super().get_results(request)
        except IncorrectLookupParameters:
            paginator = self.model_admin.get_paginator(request, self.queryset, self.list_per_page)
            self.page_num = paginator.num_pages
            super().get_results(request)


class StrictListAdmin(admin.ModelAdmin[AnyModel]):
    """Makes the lists of a model refuse what Django would ignore, run, or fail on."""

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return NulSafeChangeList

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The list. Raises PermissionDenied for an action that the person is not offered."""
        if request.method == "POST":
            asked = {name for name in request.POST.getlist("action") if name}
            if forged := asked - set(self.get_actions(request)):
                raise PermissionDenied(f"the action {', '.join(sorted(forged))[:200]}")
        return super().changelist_view(request, extra_context)

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        """Raises RefusedParameter for what cannot be shown as the address says it."""
        parameters.searched_words(request)
        columns = len(self.get_list_display(request)) + 1
        parameters.require_order(request.GET.get(ORDER_VAR, ""), columns)
        try:
            return super().get_changelist_instance(request)
        except IncorrectLookupParameters:
            raise parameters.RefusedParameter(
                "", "A value in this address cannot be searched for."
            ) from None


class ReadOnlyAdmin(StrictListAdmin[AnyModel]):
    """Rows can be viewed by those who may, and added, edited or deleted by nobody."""

    actions_on_bottom = False
    list_max_show_all = 0
    list_per_page = 50
    show_facets = admin.ShowFacets.NEVER
    show_full_result_count = False

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> AnyModel | None:
        found: AnyModel | None = None
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

    def has_change_permission(self, request: HttpRequest, obj: AnyModel | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: AnyModel | None = None) -> bool:
        return False


def current_user(request: HttpRequest) -> User:
    """The signed-in person. Raises PermissionDenied for anybody else."""
    if not isinstance(request.user, User):
        raise PermissionDenied
    return request.user


def promise(request: HttpRequest, words: str) -> None:
    """Tell a person what a worker is going to do, or that none is there to do it."""
    workers = heartbeats.workers()
    if workers.are_running:
        messages.success(request, words)
    else:
        messages.warning(request, f"{words} But {workers.none_running}, so it waits for one.")


def add_service_error(form: forms.Form, error: ChangeError) -> None:
    """Show what a service refused at the field it is about, or above all where it is about none."""
    form.add_error(error.field if error.field in form.fields else None, error.message)
