"""Pauses that end by themselves: exactly what they paused, and is still as they left it."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from django.db import transaction
from django.utils import timezone

from batchops import permissions
from batchops.models import Action, Change
from batchops.services import audit, changes, drafts, permits, wake
from batchops.services.errors import ChangeError, InvalidInput, NotAllowed, WrongState
from batchops.syllable.patch import BatchPatch

if TYPE_CHECKING:
    from django.contrib.auth.models import User

State = Change.State


@permits.records_denials
def move_resume(
    change: Change, resume_at: dt.datetime | None, *, user: User, actor: audit.Actor
) -> Change:
    """Move, or with None cancel, the time at which a pause ends by itself.

    Raises InvalidInput, NotAllowed or WrongState.
    """
    now = timezone.now()
    with transaction.atomic():
        change = changes.locked(change)
        if change.patch != BatchPatch(paused=True) or change.state in (State.REJECTED, State.DRAFT):
            raise WrongState("Only a pause can end by itself.", change)
        if change.followed_by.filter(source=Change.Source.RESUME).exclude(
            state__in=(State.DRAFT, State.DISCARDED, State.REJECTED)
        ):
            raise WrongState("This pause has ended already.", change)
        permission = permissions.REQUEST_CHANGE if resume_at is None else permissions.RELEASE_CHANGE
        permits.require(user, permission, actor, change)
        _check_end(change, resume_at, now)
        before = change.resume_at
        change.resume_at = resume_at
        _keep_approval_true(change)
        change.save()
        audit.record(
            audit.Fact.about_change(
                Action.RESUME_MOVED if resume_at else Action.RESUME_CANCELLED,
                actor,
                change,
                before={"resume_at": changes.iso(before)},
                after={"resume_at": changes.iso(resume_at)},
            )
        )
        wake.workers(at=resume_at)
    return change


def resume_due() -> list[Change]:
    """Resume what pauses left that end by themselves and whose time has come.

    Each becomes a linked change in its author's name; it waits for an open resume window, and
    for approval where that is asked for.
    """
    now = timezone.now()
    due = Change.objects.filter(resume_at__lte=now, state__in=(State.FINISHED, State.STOPPED))
    return [resumed for pause in due if (resumed := _resume(pause, now)) is not None]


def _check_end(change: Change, resume_at: dt.datetime | None, now: dt.datetime) -> None:
    if resume_at is None:
        return
    changes.check_time(resume_at, now, "resume_at")
    if change.state == State.SCHEDULED and change.run_at and resume_at <= change.run_at:
        raise InvalidInput("The pause would end before it begins.", "resume_at")


def _keep_approval_true(change: Change) -> None:
    """What is not begun and differs from what was approved has to be approved anew.

    The end of a pause that has begun is a change of its own, with an approval of its own.
    """
    change.fingerprint = drafts.fingerprint(change)
    if not change.approval_required:
        return
    if change.started_at is not None:
        change.approved_fingerprint = change.fingerprint
    elif change.state in (State.SCHEDULED, State.QUEUED):
        change.state = State.AWAITING_APPROVAL
        change.approved_fingerprint = ""


def _resume(pause: Change, now: dt.datetime) -> Change | None:
    """The change that ends a pause; None where nothing is on its hold any more."""
    user = pause.requested_by
    with transaction.atomic():
        taken = Change.objects.filter(pk=pause.pk, resume_at=pause.resume_at).update(resume_at=None)
        if not taken:
            return None
        actor = audit.Actor.system_for(pause)
        if not pause.held_batches.filter(paused=True).exists():
            _record_no_resume(pause, actor, "Nothing is on its hold any more.")
            return None
        try:
            with transaction.atomic():
                return _confirmed_resume(pause, user, actor, now)
        except ChangeError as error:
            _record_no_resume(pause, actor, error.message)
            return None


def _confirmed_resume(
    pause: Change, user: User | None, actor: audit.Actor, now: dt.datetime
) -> Change:
    if user is None or not user.is_active:
        raise NotAllowed("The account of its author is not active any more.")
    change = drafts.draft_resume(pause, user=user, actor=actor)
    opening = permits.next_resume_opening(now)
    return changes.confirm(
        change,
        user=user,
        actor=actor,
        reason=f"End of the pause: {pause.reason}"[: changes.REASON_LIMIT],
        reference=pause.reference,
        run_at=opening if opening > now else None,
        typed_count=changes.acting_count(change),
    )


def _record_no_resume(pause: Change, actor: audit.Actor, why: str) -> None:
    audit.record(
        audit.Fact.about_change(Action.RESUME_CANCELLED, actor, pause, detail={"why": why})
    )
