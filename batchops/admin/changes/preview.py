"""The review page: what a draft will do, and the form that confirms it."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.utils import timezone

from batchops import audit, permissions
from batchops.accounts import reauth
from batchops.admin.changes.buttons import look_of
from batchops.admin.changes.forms import ConfirmForm, initial_for
from batchops.admin.changes.tabs import Tab, page_of_tab
from batchops.admin.ui.base import add_service_error, current_user
from batchops.admin.ui.parameters import RefusedParameter, require_choice, searched, shown
from batchops.models import Change, ChangeItem, ChangeState, HoldOverride
from batchops.release_windows import openings
from batchops.services import overriding
from batchops.services.changes import lifecycle
from batchops.services.errors import ChangeError, Moved, NotAllowed, WrongState
from batchops.services.holds import covered, overrides
from batchops.services.preview import summary
from batchops.services.preview.estimate import estimate
from batchops.services.preview.summary import Preview
from batchops.wall_times import zone_named


def preview_view(request: HttpRequest, pk: uuid.UUID, site: AdminSite) -> HttpResponse:
    """Show what a draft will do; a POST confirms it. A draft is its author's alone."""
    change = get_object_or_404(Change.objects.select_related("follows", "requested_by"), pk=pk)
    zone = _in_zone_of_form(request)
    if change.state != ChangeState.DRAFT:
        return _already(request, change)
    if change.requested_by_id != current_user(request).pk:
        raise PermissionDenied
    preview = summary.preview(change)
    initial = initial_for(change, _opening(preview))
    form = ConfirmForm(preview, request.POST or None, initial=initial)
    if request.method == "POST":
        form = ConfirmForm(preview, request.POST, initial=initial)
        try:
            if form.is_valid() and (done := _confirm(request, change, form)):
                return done
        except Moved as moved:
            # Shown anew, with what was typed; the next click confirms what is shown now.
            messages.error(request, moved.message)
            change, preview = moved.change, summary.preview(moved.change)
            form = ConfirmForm(preview, _seen_now(request, change), initial=initial)
    context = {
        **site.each_context(request),
        "title": "Emergency pause" if _is_emergency(change) else "Review",
        "opts": Change._meta,
        "change": change,
        "preview": preview,
        "form": form,
        "is_emergency": _is_emergency(change),
        "look": look_of(change),
        "estimate": estimate(change),
        "zone": zone,
        "expiry": _expiry(change),
        **_holds(request, change),
        **_rows(request, change, preview),
    }
    return TemplateResponse(request, "batchops/changes/preview.html", context)


def _expiry(change: Change) -> dt.datetime | None:
    """The expiry that all batches of a draft are to have, where it is one."""
    expiry = change.patch.expires_on
    return expiry if isinstance(expiry, dt.datetime) else None


def _in_zone_of_form(request: HttpRequest) -> str:
    """Show the page in the zone in which its instants were asked for, where one is named."""
    name = request.GET.get("zone", "")
    zone = zone_named(name)
    if name and zone is None:
        raise RefusedParameter("zone", f"“{shown(name)}” is no time zone of the IANA list.")
    if zone is not None:
        timezone.activate(zone)
    return name


def override_view(request: HttpRequest, pk: uuid.UUID) -> HttpResponseRedirect:
    """Draft it again so that it lifts the holds of others as well; that is reviewed like any."""
    change = get_object_or_404(Change.objects.select_related("follows"), pk=pk)
    user, actor = current_user(request), audit.Actor.of_request(request)
    try:
        again = overriding.draft_again(change, user=user, actor=actor)
    except ChangeError as error:
        messages.error(request, error.message)
        return redirect("admin:batchops_change_change", change.pk)
    return redirect("admin:batchops_change_preview", again.pk)


def _holds(request: HttpRequest, change: Change) -> dict[str, Any]:
    """Who holds the batches of a draft that pauses or resumes, and may that be overridden."""
    resumes = change.patch.paused is False or change.source == Change.Source.UNDO
    if not resumes and "paused" not in change.patch.touched:
        return {}
    holders = covered.holders(change)
    kept = resumes and any(one.is_kept for one in holders)
    may_override = kept and current_user(request).has_perm(permissions.OVERRIDE_HOLDS)
    return {
        "holders": holders,
        "resumes": resumes,
        "lifts_on_kept": kept and covered.on_kept(change).exists(),
        "override": overriding.next_lifts(change) if may_override else None,
    }


def seen_view(request: HttpRequest, pk: int) -> HttpResponseRedirect:
    """The owner of holds that another person lifted has seen it."""
    override = get_object_or_404(HoldOverride.objects.select_related("pause"), pk=pk)
    actor = audit.Actor.of_request(request)
    overrides.mark_seen(override, user=current_user(request), actor=actor)
    return redirect("admin:index")


def discard_view(request: HttpRequest, pk: uuid.UUID) -> HttpResponseRedirect:
    """Throw a draft away."""
    change = get_object_or_404(Change, pk=pk)
    try:
        lifecycle.discard(change, user=current_user(request), actor=audit.Actor.of_request(request))
    except WrongState as error:
        messages.warning(request, error.message)
        return redirect("admin:batchops_change_change", change.pk)
    except ChangeError as error:
        messages.error(request, error.message)
        return redirect("admin:index")
    messages.info(request, "Draft discarded. Nothing was changed.")
    return redirect("admin:batchops_batch_changelist")


def _seen_now(request: HttpRequest, change: Change) -> QueryDict:
    data = request.POST.copy()
    data["seen"] = change.fingerprint
    return data


def _confirm(
    request: HttpRequest, change: Change, form: ConfirmForm
) -> HttpResponseRedirect | None:
    """Confirm a draft; None when the form has to be shown again with what is wrong."""
    given: dict[str, Any] = form.cleaned_data
    if change.expanding_count > settings.REAUTH_ABOVE:
        reauth.require(request)
    try:
        lifecycle.confirm(
            change, user=current_user(request), actor=audit.Actor.of_request(request), **given
        )
    except WrongState:
        return _already(request, change)
    except Moved:
        raise
    except NotAllowed as error:
        messages.error(request, error.message)
        return redirect("admin:index")
    except ChangeError as error:
        add_service_error(form, error)
        return None
    return redirect("admin:batchops_change_change", change.pk)


def _already(request: HttpRequest, change: Change) -> HttpResponseRedirect:
    """A draft shown or sent once more: the back button, another tab, a second click."""
    change.refresh_from_db()
    if change.state == ChangeState.DISCARDED:
        messages.info(request, "This draft was discarded. Nothing was changed.")
        return redirect("admin:batchops_batch_changelist")
    messages.info(request, "This change had already been confirmed; nothing was done twice.")
    return redirect("admin:batchops_change_change", change.pk)


def _rows(request: HttpRequest, change: Change, preview: Preview) -> dict[str, Any]:
    """The page of batches that is shown, and the filters above it."""
    plan, text = request.GET.get("show", ""), searched(request)
    require_choice("show", plan, ChangeItem.Plan.values)
    tabs: list[Tab] = [
        ("", "All", preview.total),
        (ChangeItem.Plan.ACT, "Will be changed", preview.acting),
        (ChangeItem.Plan.ALREADY, "Already so", preview.already),
        (ChangeItem.Plan.SKIP, "Skipped", preview.skipped),
    ]
    page = page_of_tab(request, summary.rows(change, plan, text), tabs, plan, text)
    return {
        "page": page,
        "rows": [
            {"item": item, "differences": summary.plans(item, item.requested(change))}
            for item in page
        ],
        "tabs": [tab for tab in tabs if tab[2] or not tab[0]],
        "show": plan,
        "q": text,
    }


def _opening(preview: Preview) -> Any:
    """When resuming is allowed again, to be proposed as the start; None when it is allowed."""
    return openings.next_opening(preview.change, timezone.now()) if preview.closed else None


def _is_emergency(change: Change) -> bool:
    return change.priority == Change.Priority.EMERGENCY
