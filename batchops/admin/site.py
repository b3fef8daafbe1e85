"""The admin site of batchops: what every page shows around its content."""

from __future__ import annotations

import functools
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final, TypeVar, cast
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib import admin
from django.contrib.admin import ModelAdmin
from django.core.exceptions import NON_FIELD_ERRORS
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.functional import SimpleLazyObject
from django.utils.http import urlencode

from batchops import audit, permissions
from batchops.accounts import devices, reauth, sessions
from batchops.admin import dashboard, freezes
from batchops.admin.accounts import factor_pages, own_account, proof, second_step, sso_pages
from batchops.admin.notices import pages as notices
from batchops.admin.ui import live, parameters, problems
from batchops.admin.ui.base import StrictListAdmin
from batchops.audit import denials
from batchops.services.mirror import freshness
from batchops.services.proof import watch

View = TypeVar("View", bound=Callable[..., HttpResponseBase])

WRONG_OLD_PASSWORD: Final = "The old password was wrong."  # noqa: S105 - words
SECTIONS: Final = {
    "batchops": ("Operations", ("Batch", "Campaign", "Change", "AuditEntry", "SyncRun")),
    "auth": ("People", ("User", "Group")),
}


class BatchopsAdminSite(admin.AdminSite):
    """Django's admin, as batchops."""

    site_header = "batchops"
    site_title = "batchops"
    index_title = "Overview"
    index_template = "batchops/dashboard/overview.html"
    site_url = None

    def register(
        self, model_or_iterable: Any, admin_class: type[ModelAdmin[Any]] | None = None, **more: Any
    ) -> None:
        """Register a model; its lists refuse what they cannot show, Django's own too."""
        own = admin_class or ModelAdmin
        if not issubclass(own, StrictListAdmin):
            own = type(own.__name__, (StrictListAdmin, own), {"__module__": own.__module__})
        super().register(model_or_iterable, own, **more)

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """Add what every page says: sandbox or not, how fresh the mirror, what needs a person."""
        context: dict[str, Any] = super().each_context(request)
        context["is_sandbox"] = settings.DEMO
        context["vendor_host"] = urlsplit(settings.SYLLABLE_BASE_URL).hostname or ""
        if request.user.is_authenticated and context["has_permission"]:
            context["session_left"] = sessions.seconds_left(request)
            context["freshness"] = SimpleLazyObject(freshness.freshness)
            context["unread_notices"] = SimpleLazyObject(lambda: notices.bell(request))
            context["trail_alarm"] = SimpleLazyObject(watch.alarm_text)
            if request.user.has_perm(permissions.VIEW_CHANGES):
                context["halted_changes"] = SimpleLazyObject(freshness.halted_changes)
        return context

    def get_urls(self) -> list[Any]:
        """Django's addresses, behind ours: its last one takes whatever is left."""
        return [
            *own_account.urls(),
            *factor_pages.urls(),
            *sso_pages.urls(),
            *notices.urls(self),
            *freezes.urls(self),
            *super().get_urls(),
        ]

    def admin_view(self, view: View, cacheable: bool = False) -> View:
        """Guard a page, and explain what Django leaves blank or passes over.

        A late form, a wrong method, a parameter of the address that the page does not take.
        """
        guarded = super().admin_view(view, cacheable)

        @functools.wraps(guarded)
        def explained(request: HttpRequest, *args: Any, **more: Any) -> HttpResponseBase:
            if request.user.is_authenticated and not self.has_permission(request):
                denials.record_request(request, "The account has no access to these pages.")
            if self._comes_too_late(request):
                return problems.signed_out(request)
            parts_alone = live.is_asked(request)
            if parts_alone:
                live.begin(request)
            try:
                if self.has_permission(request):
                    parameters.check(request, view)
                closed = self.has_permission(request) and second_step.gate(request)
                response = closed or proof.take(request) or guarded(request, *args, **more)
            except reauth.ProofNeeded:
                return proof.ask(request)
            except parameters.RefusedParameter as refused:
                return problems.refused_parameter(request, refused)
            if isinstance(response, HttpResponseNotAllowed):
                return problems.wrong_method(request, response)
            return live.parts_alone(request, response) if parts_alone else response

        return cast(View, explained)

    def _comes_too_late(self, request: HttpRequest) -> bool:
        """Whether a form is sent by nobody who is signed in; signing out is open to all."""
        signing_out = request.path == reverse("admin:logout", current_app=self.name)
        return request.method == "POST" and not self.has_permission(request) and not signing_out

    def login(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The sign-in; a browser that got in is known from then on."""
        context: dict[str, Any] = {**(extra_context or {})}
        if settings.OIDC_ISSUER:
            context["sso_label"] = settings.OIDC_LABEL
            context["sso_query"] = urlencode({"next": second_step.safe_next(request)})
        response: HttpResponse = super().login(request, context)
        if request.method == "POST" and request.user.is_authenticated:
            devices.remember(request, response, request.user.get_username())
        form = (getattr(response, "context_data", None) or {}).get("form")
        if form is not None and form.has_error(NON_FIELD_ERRORS, code="held_back"):
            response.status_code = HTTPStatus.TOO_MANY_REQUESTS
        if form is not None and form.has_error(NON_FIELD_ERRORS, code="half_way"):
            after = urlencode({"next": second_step.safe_next(request)})
            return redirect(f"{reverse('admin:second_step')}?{after}")
        return response

    def password_change(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        """Change one's own password; a wrong old one is recorded."""
        response = super().password_change(request, extra_context)
        context: dict[str, Any] = getattr(response, "context_data", None) or {}
        form = context.get("form")
        if request.method == "POST" and form is not None and "old_password" in form.errors:
            denials.record(
                audit.Fact(
                    audit.Action.ACCOUNT_PASSWORD,
                    audit.Actor.of_request(request),
                    outcome="denied",
                    detail={"account": request.user.get_username(), "why": WRONG_OLD_PASSWORD},
                )
            )
        return response

    def index(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        """The overview."""
        return super().index(request, {**dashboard.context(request), **(extra_context or {})})

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """The sections in the order in which people need them."""
        apps = {app["app_label"]: app for app in super().get_app_list(request, app_label)}
        sections = []
        for label, (name, order) in SECTIONS.items():
            if label not in apps:
                continue
            models = {model["object_name"]: model for model in apps[label]["models"]}
            in_order = [models[object_name] for object_name in order if object_name in models]
            sections.append({**apps[label], "name": name, "models": in_order})
        return sections


site = admin.site
