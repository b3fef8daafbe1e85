"""The page of a change, and the JSON by which it stays live."""

from __future__ import annotations

import uuid
from typing import Any, Final

from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.loader import render_to_string
from django.template.response import TemplateResponse

from batchops import permissions
from batchops.admin.changes import last_visit
from batchops.admin.changes.buttons import (
    buttons_for,
    look_of,
    may_cancel_end,
    may_decide,
    may_move_end,
    take_back_buttons_for,
)
from batchops.admin.changes.forms import EndForm, presets
from batchops.admin.changes.tabs import Tab, page_of_tab
from batchops.admin.ui import columns
from batchops.admin.ui.base import current_user
from batchops.admin.ui.parameters import require_choice, searched
from batchops.models import (
    DRAFT_STATES,
    UNSETTLED_STATES,
    AuditEntry,
    Batch,
    Change,
    ChangeState,
    ItemState,
)
from batchops.services.changes import approvals
from batchops.services.preview import summary
from batchops.services.preview.estimate import Estimate, estimate
from batchops.services.stats import progress as progresses
from batchops.services.stats.progress import Progress

ENTRIES_SHOWN: Final = 50
FRAGMENTS: Final = ("status", "controls", "outcomes")
"""The parts of the page that the script renews."""
POLL_RUNNING_MS: Final = 1_000
POLL_WAITING_MS: Final = 4_000


def change_view(request: HttpRequest, pk: uuid.UUID, site: AdminSite) -> HttpResponse:
    """The page of a change; a draft is shown for review to its author alone."""
    change = _change(pk)
    if change.state in (*DRAFT_STATES, ChangeState.DISCARDED):
        return _draft(request, change)
    context = _live_context(request, change, is_visit=True)
    progress: Progress = context["progress"]
    context |= {
        **site.each_context(request),
        "title": "Change",
        "page_title": f"{progress.title} · {context['asked_words']}",
        "opts": Change._meta,
        "followers": change.followed_by.visible(),
        "entries": _entries(request, change),
        "poll_ms": _poll_ms(progress),
        "estimate": _estimate(request, change) if context["may_decide"] else None,
    }
    return TemplateResponse(request, "batchops/changes/page.html", context)


def state_view(request: HttpRequest, pk: uuid.UUID) -> JsonResponse:
    """How a change stands, as numbers, and as the parts of the page that may have moved."""
    change = _change(pk)
    if change.state in (*DRAFT_STATES, ChangeState.DISCARDED):
        raise PermissionDenied
    context = _live_context(request, change)
    progress: Progress = context["progress"]
    return JsonResponse(
        {
            **progress.to_json(),
            "page_title": f"{progress.title} · {context['asked_words']}",
            "poll_ms": _poll_ms(progress),
            "fragments": {
                name: render_to_string(f"batchops/changes/{name}.html", context, request)
                for name in FRAGMENTS
            },
        }
    )


def _estimate(request: HttpRequest, change: Change) -> Estimate | None:
    """Whom it would reach; read by the approver, not again and again while the page is open."""
    return estimate(change, reader=current_user(request))


def _change(pk: uuid.UUID) -> Change:
    related = Change.objects.select_related("follows", "requested_by", "proceeded_by")
    return get_object_or_404(related, pk=pk)


def _draft(request: HttpRequest, change: Change) -> HttpResponse:
    if change.requested_by_id != current_user(request).pk:
        raise PermissionDenied
    return redirect("admin:batchops_change_preview", change.pk)


def _live_context(
    request: HttpRequest, change: Change, *, is_visit: bool = False
) -> dict[str, Any]:
    progress = progresses.progress(change)
    user = current_user(request)
    decides = may_decide(change, user)
    differing = summary.differing(change) if decides else 0
    if decides and is_visit:
        last_visit.begin(request, change, differing)
    still_paused = Batch.objects.held_by(change).count()
    change.is_undone = bool(progress.undone) and not progress.undoable
    return {
        "change": change,
        "asked_words": columns.asked_on_all(change),
        "progress": progress,
        "segments": _segments(progress),
        "buttons": buttons_for(progress, user),
        "take_back": take_back_buttons_for(progress, user, still_paused),
        "may_decide": decides,
        "look": look_of(change),
        "preview": summary.preview(change) if decides else None,
        "differing": differing,
        "since_last_visit": last_visit.differences(request, change, differing) if decides else (),
        "last_visit_at": last_visit.at(request, change) if decides else None,
        "moves": approvals.moved_since(change) if decides else (),
        "approval_until": approvals.expiry(change) if decides else None,
        "may_move_end": may_move_end(change, user, still_paused),
        "may_cancel_end": may_cancel_end(change, user),
        "still_paused": still_paused,
        "end_form": EndForm(initial={"resume_at": change.resume_at}),
        "presets": presets(),
        **_outcomes(request, change, progress),
    }


def _outcomes(request: HttpRequest, change: Change, progress: Progress) -> dict[str, Any]:
    """The batches of the tab that is open, a page of them."""
    outcome, text = request.GET.get("outcome", ""), searched(request)
    require_choice(
        "outcome", outcome, (*ItemState.values, progresses.UNCONFIRMED, progresses.UNREQUESTED)
    )
    tabs = _tabs(progress)
    page = page_of_tab(request, progresses.outcome_rows(change, outcome, text), tabs, outcome, text)
    rows = []
    for item in page:
        patch = item.requested(change)
        settled = item.state not in UNSETTLED_STATES
        differ = summary.results(item, patch) if settled else summary.plans(item, patch)
        rows.append({"item": item, "differences": differ})
    return {"tabs": tabs, "rows": rows, "page": page, "outcome": outcome, "q": text}


def _tabs(progress: Progress) -> list[Tab]:
    """A tab for each outcome there is."""
    tabs: list[Tab] = [("", "All", progress.total)]
    tabs += [
        (state.value, str(state.label), progress.counts[state])
        for state in ItemState
        if progress.counts.get(state)
    ]
    if progress.not_confirmed:
        words = "Accepted, not confirmed"
        tabs.append((progresses.UNCONFIRMED, words, progress.not_confirmed))
    if progress.unrequested:
        tabs.append((progresses.UNREQUESTED, "Unrequested change", progress.unrequested))
    return tabs


def _segments(progress: Progress) -> list[dict[str, Any]]:
    """The parts of the bar, 100 wide, in the order in which they are named below it."""
    parts, start = [], 0.0
    for state in BAR_ORDER:
        number = progress.counts.get(state, 0)
        if not number:
            continue
        width = 100 * number / progress.total
        parts.append(
            {
                "state": state,
                "number": number,
                "start": f"{start:.3f}",
                "width": f"{width:.3f}",
            }
        )
        start += width
    return parts


BAR_ORDER: Final = (
    ItemState.APPLIED,
    ItemState.UNCHANGED,
    ItemState.NOT_APPLIED,
    ItemState.REFUSED,
    ItemState.FAILED,
    ItemState.CONFLICT,
    ItemState.SKIPPED,
    ItemState.STOPPED,
    ItemState.SENDING,
    ItemState.PENDING,
)


def _entries(request: HttpRequest, change: Change) -> list[AuditEntry] | None:
    """The trail of the change itself, for those who may read it."""
    if not current_user(request).has_perm(permissions.VIEW_TRAIL):
        return None
    about = AuditEntry.objects.filter(change_id=change.pk, batch_id="")
    return list(about.order_by("-sequence")[:ENTRIES_SHOWN])


def _poll_ms(progress: Progress) -> int:
    """Milliseconds until the page should ask again; 0: nothing moves any more."""
    if not progress.is_live:
        return 0
    change = progress.change
    quick = change.state in (ChangeState.RUNNING, ChangeState.QUEUED)
    waits = change.is_halted or change.waiting_reason
    return POLL_RUNNING_MS if quick and not waits else POLL_WAITING_MS
