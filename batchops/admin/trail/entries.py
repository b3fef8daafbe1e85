"""The audit trail."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path

from batchops.admin.trail import desk, pages
from batchops.admin.ui.base import ReadOnlyAdmin
from batchops.admin.ui.parameters import judges_itself
from batchops.models import AuditEntry


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin[AuditEntry]):
    """Entries are read; nobody, superusers included, can do more."""

    def get_urls(self) -> list[URLPattern]:
        """The stock pages for a list and one row, and those of reviewers."""
        routes = (
            ("person/", pages.person, "person"),
            ("report/", pages.report, "report"),
            ("desk/", desk.desk, "desk"),
            ("review/", desk.review, "review"),
            ("sample/", desk.draw, "draw"),
            ("sample/<int:sequence>/", desk.sample, "sample"),
            ("sign-off/", desk.sign_off, "sign_off"),
            ("export/", desk.export, "export"),
        )
        own = [
            path(route, self.admin_site.admin_view(view), name=f"batchops_auditentry_{name}")
            for route, view, name in routes
        ]
        return own + super().get_urls()

    @judges_itself
    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        _only_reading(request)
        return pages.trail(request)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        _only_reading(request)
        if object_id is None:
            raise PermissionDenied
        return pages.entry(request, object_id)


def _only_reading(request: HttpRequest) -> None:
    """Raise PermissionDenied, which is recorded, for anything that would write."""
    if request.method not in ("GET", "HEAD"):
        raise PermissionDenied
