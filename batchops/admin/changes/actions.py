"""The buttons of a change: each is a POST that calls one service."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, Final

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.models import User
from django.http import Http404, HttpRequest, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone

from batchops import audit
from batchops.accounts import reauth
from batchops.admin.changes.forms import CancelEndForm, DecisionForm, EndForm
from batchops.admin.ui.addresses import to_preview
from batchops.admin.ui.base import current_user, promise
from batchops.admin.ui.times import in_words
from batchops.models import Change, ChangeState
from batchops.services.changes import approvals, drafts, lifecycle, timed_pauses
from batchops.services.errors import ChangeError, InvalidInput, Moved
from batchops.services.trail import sentences

Action = Callable[[HttpRequest, Change, User, audit.Actor], HttpResponseRedirect]


def act(request: HttpRequest, pk: uuid.UUID, action: str) -> HttpResponseRedirect:
    """Carry out what a button asks for; what speaks against it is shown on the change's page."""
    change = get_object_or_404(Change.objects.visible(), pk=pk)
    user, actor = current_user(request), audit.Actor.of_request(request)
    try:
        if action in DRAFTS:
            return to_preview(DRAFTS[action](change, user=user, actor=actor))
        if action in ACTIONS:
            return ACTIONS[action](request, change, user, actor)
    except Moved as moved:
        _tell_moves(request, moved)
        return to_page(change)
    except ChangeError as error:
        messages.error(request, error.message)
        return to_page(change)
    raise Http404


def to_page(change: Change) -> HttpResponseRedirect:
    return redirect("admin:batchops_change_change", change.pk)


def _stop(
    request: HttpRequest, change: Change, user: User, actor: audit.Actor
) -> HttpResponseRedirect:
    lifecycle.stop(change, user=user, actor=actor)
    messages.success(request, "Stopped. Requests under way finish; nothing more is sent.")
    return to_page(change)


def _continue(
    request: HttpRequest, change: Change, user: User, actor: audit.Actor
) -> HttpResponseRedirect:
    if change.expanding_count > settings.REAUTH_ABOVE:
        reauth.require(request)
    lifecycle.proceed(change, user=user, actor=actor)
    promise(request, "The change continues.")
    return to_page(change)


def _approve(
    request: HttpRequest, change: Change, user: User, actor: audit.Actor
) -> HttpResponseRedirect:
    approvals.require_may_decide(change, user, actor)
    decision = _cleaned(DecisionForm(request.POST))
    reauth.require(request)
    approvals.approve(change, user=user, actor=actor, **decision)
    messages.success(request, "Approved.")
    return to_page(change)


def _reject(
    request: HttpRequest, change: Change, user: User, actor: audit.Actor
) -> HttpResponseRedirect:
    approvals.require_may_decide(change, user, actor)
    decision = _cleaned(DecisionForm(request.POST))
    approvals.reject(change, user=user, actor=actor, comment=decision["comment"])
    messages.success(request, "Rejected. Nothing is sent.")
    return to_page(change)


def _move_end(
    request: HttpRequest, change: Change, user: User, actor: audit.Actor
) -> HttpResponseRedirect:
    timed_pauses.require_may_set_end(change, user, actor)
    given = _cleaned(EndForm(request.POST))
    end = given["resume_at"]
    moved = timed_pauses.move_resume(change, end, user=user, actor=actor, reason=given["reason"])
    promise(request, f"The pause ends on {in_words(end)}.")
    if moved.state == ChangeState.AWAITING_APPROVAL:
        messages.warning(
            request, "This differs from what was approved, so it needs approval again."
        )
    return to_page(change)


def _cancel_end(
    request: HttpRequest, change: Change, user: User, actor: audit.Actor
) -> HttpResponseRedirect:
    given = _cleaned(CancelEndForm(request.POST))
    timed_pauses.move_resume(change, None, user=user, actor=actor, reason=given["reason"])
    messages.success(request, "The batches stay paused until somebody resumes them.")
    return to_page(change)


def _cleaned(form: forms.Form) -> dict[str, Any]:
    """What a form gives. Raises InvalidInput in its words."""
    for field, said in form.errors.items():
        raise InvalidInput(" ".join(str(message) for message in said), field)
    return form.cleaned_data


def _tell_moves(request: HttpRequest, moved: Moved) -> None:
    """Say what moved the terms since the page was shown, by whom, and from what to what."""
    messages.error(request, moved.message)
    for entry in moved.since:
        zone = timezone.get_current_timezone()
        values = (
            f"{one.field.replace('_', ' ')}: {one.before} → {one.after}"
            for one in sentences.differences(entry, zone)
        )
        words = " · ".join([sentences.sentence(entry, zone), *values])
        messages.warning(request, f"Since then: {words}")


DRAFTS: Final = {
    "retry": drafts.draft_retry,
    "undo": drafts.draft_undo,
    "resume": drafts.draft_resume,
}
"""What begins a new change, to be reviewed."""
ACTIONS: Final[dict[str, Action]] = {
    "stop": _stop,
    "continue": _continue,
    "approve": _approve,
    "reject": _reject,
    "move-end": _move_end,
    "cancel-end": _cancel_end,
}
