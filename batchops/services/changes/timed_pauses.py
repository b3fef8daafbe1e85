"""Pauses that end by themselves: exactly what they paused, and is still as they left it."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Final

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from batchops import audit, permissions
from batchops.models import (
    DRAFT_STATES,
    ENDED_STATES,
    UNSETTLED_STATES,
    Action,
    Batch,
    Change,
    ChangeState,
)
from batchops.release_windows import openings
from batchops.services import authorization, wake
from batchops.services.changes import drafts, fingerprints, lifecycle, terms
from batchops.services.changes.terms import REASON_LIMIT
from batchops.services.errors import (
    ChangeError,
    EmptySelection,
    InvalidInput,
    NotAllowed,
    WrongState,
)
from batchops.syllable.patch import BatchPatch

if TYPE_CHECKING:
    from django.contrib.auth.models import User


LEASE: Final = dt.timedelta(minutes=5)
"""After so long another worker ends a pause whose worker died over it."""


@authorization.records_denials
def move_resume(
    change: Change,
    resume_at: dt.datetime | None,
    *,
    user: User,
    actor: audit.Actor,
    reason: str = "",
) -> Change:
    """Move, or with None cancel, the time at which a pause ends by itself.

    Whoever does so answers for the end from then on, with a reason of their own: it is needed to
    set an end to somebody else's pause. Raises InvalidInput, NotAllowed or WrongState.
    """
    if resume_at is None:
        authorization.require(user, permissions.REQUEST_CHANGE, actor, change)
    else:
        require_may_set_end(change, user, actor)
    reason = _reason(change, resume_at, user, reason)
    with transaction.atomic():
        change = lifecycle.locked(change)
        _require_pause(change)
        _check_end(change, resume_at, timezone.now())
        before, author = change.resume_at, change.resume_set_by_name
        terms.set_end(change, resume_at, user, actor, reason)
        _keep_approval_true(change)
        change.save()
        audit.record(
            audit.Fact.about_change(
                Action.RESUME_MOVED if resume_at else Action.RESUME_CANCELLED,
                actor,
                change,
                before={"resume_at": lifecycle.iso(before)},
                after={"resume_at": lifecycle.iso(resume_at)},
                detail={
                    "why": reason,
                    "set_before_by": author,
                    "fingerprint": change.fingerprint,
                },
            )
        )
        wake.workers(at=resume_at)
    return change


@authorization.records_denials
def require_may_set_end(change: Change, user: User, actor: audit.Actor) -> None:
    """Raise NotAllowed for whoever may not let a pause end."""
    authorization.require(user, permissions.EXPAND_OUTREACH, actor, change)
    if change.protected and user.pk != change.requested_by_id:
        raise authorization.denied(
            "This pause is protected: only who requested it can set its end.", actor, change
        )


def resume_due() -> list[Change]:
    """Resume what pauses left that end by themselves and whose time has come.

    Each becomes a linked change in the name of whoever set the end; it waits for an open resume
    window, and for approval where that is asked for. What may still become of a stopped pause is
    found out first.
    """
    now = timezone.now()
    due = Change.objects.filter(resume_at__lte=now, state__in=ENDED_STATES).exclude(
        items__state__in=UNSETTLED_STATES
    )
    return [resumed for pause in due if (resumed := _resume(pause, now)) is not None]


def _reason(change: Change, resume_at: dt.datetime | None, user: User, reason: str) -> str:
    if resume_at is None or user.pk == change.requested_by_id:
        return audit.storable_text(reason.strip(), REASON_LIMIT)
    return terms.required_reason(reason)


def _require_pause(change: Change) -> None:
    """Raise WrongState for what is no pause, or has ended."""
    if change.patch != BatchPatch(paused=True) or change.state in (
        ChangeState.REJECTED,
        *DRAFT_STATES,
    ):
        raise WrongState("Only a pause can end by itself.", change)
    ends = (Change.Source.RESUME, Change.Source.END)
    ended = change.followed_by.filter(source__in=ends).exclude(
        state__in=(*DRAFT_STATES, ChangeState.DISCARDED, ChangeState.REJECTED)
    )
    if ended.exists():
        raise WrongState("This pause has already ended.", change)


def _check_end(change: Change, resume_at: dt.datetime | None, now: dt.datetime) -> None:
    if resume_at is None:
        return
    terms.check_time(resume_at, now, "resume_at")
    if change.state == ChangeState.SCHEDULED and change.starts_at and resume_at <= change.starts_at:
        raise InvalidInput("The pause would end before it begins.", "resume_at")


def _keep_approval_true(change: Change) -> None:
    """What is not begun and differs from what was approved has to be approved anew.

    The end of a pause that has begun is a change of its own, with an approval of its own.
    """
    if change.started_at is not None:
        terms.restamp(change)
        return
    change.fingerprint = fingerprints.of(change)
    if change.approval_required and change.state in (ChangeState.SCHEDULED, ChangeState.QUEUED):
        terms.ask_for_approval_again(change)


def _resume(pause: Change, now: dt.datetime) -> Change | None:
    """The change that ends a pause; None where it does not end, or another worker ends it.

    The end is taken off the pause in the transaction that confirms that change. A worker that
    dies before leaves a lease that lapses.
    """
    free = Q(resume_lease_until=None) | Q(resume_lease_until__lte=now)
    mine = Change.objects.filter(free, pk=pause.pk, resume_at=pause.resume_at)
    if not mine.update(resume_lease_until=now + LEASE):
        return None
    actor = audit.Actor.system_for_person(pause.resume_set_by_name, pause.resume_set_by_id)
    try:
        if not Batch.objects.held_by(pause).exists():
            raise EmptySelection("Nothing that it paused is still paused.")
        return _confirmed_resume(pause, actor, now)
    except WrongState:
        # Moved meanwhile, or ended by another worker.
        Change.objects.filter(pk=pause.pk).update(resume_lease_until=None)
    except ChangeError as error:
        _stay_paused(pause, actor, error.message)
    return None


def _confirmed_resume(pause: Change, actor: audit.Actor, now: dt.datetime) -> Change:
    user = pause.resume_set_by
    if user is None or not user.is_active:
        raise NotAllowed("The account of the person who set this end is no longer active.")
    change = drafts.draft_resume(
        pause,
        user=user,
        actor=actor,
        source=Change.Source.END,
        requested_from=pause.resume_set_from,
        lifts=Change.Lifts.FOLLOWED,
    )
    opening = openings.next_opening(change, now)
    try:
        return lifecycle.confirm(
            change,
            user=user,
            actor=actor,
            reason=f"End of the pause: {pause.resume_reason or pause.reason}"[:REASON_LIMIT],
            reference=pause.reference,
            starts_at=opening if opening > now else None,
            typed_count=change.acting_count,
            ends=pause,
        )
    except ChangeError:
        drafts.drop(change, actor, "The pause does not end.")
        raise


def _stay_paused(pause: Change, actor: audit.Actor, why: str) -> None:
    with transaction.atomic():
        locked = lifecycle.locked(pause)
        if locked.resume_at != pause.resume_at:
            return
        locked.resume_at = locked.resume_lease_until = None
        terms.restamp(locked)
        locked.save()
        fact = audit.Fact.about_change(Action.RESUME_CANCELLED, actor, locked, detail={"why": why})
        audit.record(fact)
