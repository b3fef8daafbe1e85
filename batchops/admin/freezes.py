"""Freezes: the page on which releases are frozen, and freezes end before their time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.views.decorators.http import require_POST

from batchops import audit, permissions
from batchops.admin.ui.base import add_service_error, current_user
from batchops.admin.ui.instant_field import InstantField
from batchops.models import Campaign
from batchops.release_windows import freezes
from batchops.release_windows.models import Freeze
from batchops.services import authorization
from batchops.services.errors import ChangeError, NotAllowed

if TYPE_CHECKING:
    from django.contrib.admin import AdminSite

OVER_SHOWN: Final = 30


class FreezeForm(forms.Form):
    """Why, from when until when, and where."""

    reason = forms.CharField(max_length=freezes.REASON_LIMIT, label="Why")
    starts_at = InstantField(required=False, label="From", help_text="Empty: from now on.")
    ends_at = InstantField(label="Until")
    campaign = forms.ModelChoiceField(
        Campaign.objects.order_by("campaign_name", "id"),
        required=False,
        empty_label="All campaigns",
    )


class EndForm(forms.Form):
    """Why a freeze ends before its time."""

    reason = forms.CharField(max_length=freezes.REASON_LIMIT, label="Why")


def urls(site: AdminSite) -> list[URLPattern]:
    """The addresses of freezes, as parts of a site."""

    def page(request: HttpRequest) -> HttpResponse:
        return _page(request, site)

    return [
        path("freezes/", site.admin_view(page), name="freezes"),
        path("freezes/<int:pk>/end/", site.admin_view(end), name="freeze_end"),
    ]


@require_POST
def end(request: HttpRequest, pk: int) -> HttpResponse:
    """End a freeze before its time."""
    freeze = get_object_or_404(Freeze.objects.select_related("campaign"), pk=pk)
    form = EndForm(request.POST)
    reason = form.cleaned_data["reason"] if form.is_valid() else ""
    actor = audit.Actor.of_request(request)
    try:
        freezes.end(freeze, user=current_user(request), actor=actor, reason=reason)
    except NotAllowed as error:
        raise PermissionDenied(error.message) from error
    except ChangeError as error:
        messages.error(request, error.message)
    else:
        messages.success(request, "The freeze is over: releases go on.")
    return redirect("admin:freezes")


def _page(request: HttpRequest, site: AdminSite) -> HttpResponse:
    if not request.user.has_perm(permissions.VIEW_CHANGES):
        raise PermissionDenied
    form = FreezeForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        try:
            freezes.freeze(
                user=current_user(request),
                actor=audit.Actor.of_request(request),
                **form.cleaned_data,
            )
        except NotAllowed as error:
            raise PermissionDenied(error.message) from error
        except ChangeError as error:
            add_service_error(form, error)
        else:
            messages.success(request, "Releases are frozen. Pauses are not held back.")
            return redirect("admin:freezes")
    now = timezone.now()
    every = Freeze.objects.select_related("campaign")
    known = every.not_over(now)
    context = {
        **site.each_context(request),
        "title": "Freezes",
        "form": form if request.user.has_perm(permissions.KEEP_FREEZES) else None,
        "freezes": known,
        "over": every.exclude(pk__in=known.order_by().values("pk"))[:OVER_SHOWN],
        "windows": authorization.window_words(),
        "now": now,
    }
    return TemplateResponse(request, "batchops/changes/freezes.html", context)
