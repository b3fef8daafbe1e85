"""The page of one batch: what the mirror knows, what may be asked of it, how far it is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_POST

from batchops import audit, permissions
from batchops.admin.batches.forms import BatchForm
from batchops.admin.ui.addresses import batch_id_of, batch_key, to_preview
from batchops.admin.ui.base import add_service_error, current_user
from batchops.admin.ui.parameters import RefusedParameter, require_choice, shown, takes
from batchops.models import OPEN_STATES, Batch, Campaign, Change
from batchops.services.changes import drafts, eligibility, lifecycle
from batchops.services.errors import ChangeError
from batchops.services.holds import standing
from batchops.services.preview import request_counts
from batchops.services.preview.forecast import forecast
from batchops.services.preview.summary import recent_reasons
from batchops.services.quotas import QuotaReached
from batchops.services.trail.batch_history import HistoryKind, history
from batchops.syllable.errors import SyllableError

if TYPE_CHECKING:
    _Base = admin.ModelAdmin[Batch]
else:
    _Base = object

CHANGES_SHOWN: Final = 20


class BatchPage(_Base):
    """Shows one batch, and drafts what the form asks for."""

    @takes("counts", "history", "before")
    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        batch = self._batch(request, object_id)
        may_request = request.user.has_perm(permissions.REQUEST_CHANGE)
        may_expand = request.user.has_perm(permissions.EXPAND_OUTREACH)
        posted = request.method == "POST"
        form = BatchForm(batch, request.POST if posted else None, may_expand=may_expand)
        if posted:
            if not may_request:
                raise PermissionDenied
            change = _drafted(request, batch, form)
            if change is not None:
                return to_preview(change, form.zone)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": batch.batch_id,
            "batch": batch,
            "form": form if may_request and not eligibility.unsendable(batch) else None,
            "others": Campaign.objects.filter(pk__in=batch.shared_with),
            "holds": standing.of(batch),
            "open_changes": _open_changes(batch),
            **_what_can_be_done(request, batch),
            **_history(request, batch),
            **(_counts_of(batch, current_user(request)) if "counts" in request.GET else {}),
            **(extra_context or {}),
        }
        return TemplateResponse(request, "batchops/batches/batch.html", context)

    @method_decorator(require_POST)
    def pause_now(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Pause it at once, for the reason that the form gives."""
        batch = self._batch(request, object_id)
        user, actor = current_user(request), audit.Actor.of_request(request)
        reason = request.POST.get("reason", "")
        try:
            change = lifecycle.pause_now(batch, user=user, actor=actor, reason=reason)
        except ChangeError as error:
            messages.error(request, error.message)
            return redirect("admin:batchops_batch_change", batch_key(batch.pk))
        return redirect("admin:batchops_change_change", change.pk)

    def counts(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The live request counts, as a piece of the page, for the page's script."""
        batch = self._batch(request, object_id)
        counts = _counts_of(batch, current_user(request))
        html = render_to_string("batchops/batches/request_counts.html", counts, request)
        response = JsonResponse({"html": html}, status=429 if "too_many" in counts else 200)
        response["Cache-Control"] = "no-store"
        return response

    def _batch(self, request: HttpRequest, object_id: str) -> Batch:
        """Raises PermissionDenied or Http404."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        key = batch_id_of(object_id)
        # PostgreSQL takes no NUL in a text, and no batch can have one.
        found = Batch.objects.none() if "\0" in key else Batch.objects.filter(pk=key)
        batch = found.select_related("campaign").first()
        if batch is None:
            raise Http404("The mirror does not know this batch.")
        return batch


def _drafted(request: HttpRequest, batch: Batch, form: BatchForm) -> Change | None:
    """The draft of what the form asks for, or None when the form has an error."""
    patch = form.patch()
    if patch is None:
        return None
    try:
        return drafts.draft(
            Batch.objects.filter(pk=batch.pk),
            patch,
            user=current_user(request),
            actor=audit.Actor.of_request(request),
            source=Change.Source.FORM,
            selection=f"Batch {batch.batch_id}",
            expire_now=form.expire_now,
        )
    except ChangeError as error:
        add_service_error(form, error)
        return None


def _open_changes(batch: Batch) -> list[Change]:
    found = Change.objects.filter(items__batch=batch, state__in=OPEN_STATES)
    return list(found.order_by("-created_at")[:CHANGES_SHOWN])


def _what_can_be_done(request: HttpRequest, batch: Batch) -> dict[str, Any]:
    """Whether the batch can be paused or resumed at once by this person."""
    if eligibility.unsendable(batch) or batch.has_ended:
        return {}
    if batch.paused:
        return {"may_resume": request.user.has_perm(permissions.EXPAND_OUTREACH)}
    if not request.user.has_perm(permissions.REQUEST_CHANGE):
        return {}
    return {"may_pause": True, "reasons": recent_reasons(current_user(request), expanding=False)}


def _history(request: HttpRequest, batch: Batch) -> dict[str, Any]:
    """The part of the history that the address asks for, for those who may see it."""
    rights = (permissions.VIEW_HISTORY, permissions.VIEW_TRAIL)
    if not any(map(request.user.has_perm, rights)):
        return {"history": None}
    kind, before = request.GET.get("history", ""), request.GET.get("before", "")
    require_choice("history", kind, HistoryKind.values)
    if before and not re.fullmatch("[0-9]{1,18}", before):
        raise RefusedParameter("before", f"“{shown(before)}” is not the number of an entry.")
    found = history(batch.batch_id, HistoryKind(kind), int(before) if before else None)
    return {"history": found, "history_kinds": HistoryKind.choices, "history_kind": kind}


def _counts_of(batch: Batch, user: User) -> dict[str, Any]:
    """The counts and the forecast, or why there are none."""
    if batch.is_gone:
        return {"counts_problem": "The vendor no longer has this batch."}
    if batch.shares_its_id:
        return {"counts_problem": "The vendor has several batches with this id and shows only one."}
    try:
        counts = request_counts.read(batch.batch_id, user)
    except QuotaReached as reached:
        return {"counts_problem": reached.message, "too_many": True}
    except SyllableError as error:
        return {"counts_problem": f"The vendor gave no counts: {error.message}"}
    return {
        "counts": counts,
        "forecast": forecast(batch, counts.waiting, timezone.now()),
        "batch": batch,
    }
