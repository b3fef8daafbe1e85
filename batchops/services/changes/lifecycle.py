"""The life of a change: confirm, discard, stop, continue, and what is due.

Each move is a conditional UPDATE: an impossible one affects no row and raises WrongState.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from django.db import transaction
from django.db.models import Count, Q
from django.utils import timezone

from batchops import audit, permissions
from batchops.models import (
    OPEN_STATES,
    RUNNABLE_STATES,
    UNSETTLED_STATES,
    Action,
    Batch,
    Change,
    ChangeState,
    ItemState,
)
from batchops.release_windows import openings
from batchops.services import authorization, wake
from batchops.services.bulk import update_in_order
from batchops.services.changes import drafts, fingerprints, terms, unsent
from batchops.services.errors import Moved, WrongState
from batchops.syllable.patch import BatchPatch

if TYPE_CHECKING:
    from django.contrib.auth.models import User

CHUNK: Final = 1_000
STOPPED_UNSENT: Final = "Stopped before it was sent."
REOPENING: Final = "It is being continued. If this takes long, choose Continue again."


def counts(change: Change) -> dict[str, int]:
    """The items of a change by state, counted now; they add up to the number selected."""
    rows = change.items.values_list("state").annotate(number=Count("id")).order_by()
    return dict(rows)


@authorization.records_denials
def confirm(
    change: Change,
    *,
    user: User,
    actor: audit.Actor,
    reason: str,
    reference: str = "",
    starts_at: dt.datetime | None = None,
    resume_at: dt.datetime | None = None,
    typed_count: int | None = None,
    seen: str | None = None,
    ends: Change | None = None,
    protected: bool = False,
) -> Change:
    """Confirm a reviewed draft: from here on batchops sees it through.

    `starts_at` schedules it; `resume_at` ends a pause by itself (both aware). `typed_count` is the
    number of batches as the person typed it, asked for above `TYPED_CONFIRMATION_ABOVE`. `seen` is
    the fingerprint of what the person was shown; else what was given counts as seen. `ends` is the
    pause whose end has come with this: it is over in the same transaction. `protected` lets nobody
    but its author lift a pause without approval.
    Raises InvalidInput (with the field), NotAllowed, ResumeWindowClosed, WrongState, or Moved.
    """
    now = timezone.now()
    seen = change.fingerprint if seen is None else seen
    change.refresh_from_db()
    _require_may_confirm(change, user, actor, resume_at)
    reason = terms.required_reason(reason)
    terms.check(change, now, starts_at, resume_at, typed_count)
    openings.require_open(change, starts_at)
    numbers = counts(change)
    with transaction.atomic():
        authorization.lock_person(user)
        if ends is not None:
            _end_pause(ends)
        change = locked(change)
        _require_draft(change)
        if change.fingerprint != seen:
            raise Moved("This draft is no longer what you were shown. Look at it again.", change)
        change.requested_by_name = user.get_username()
        change.requested_from = actor.ip or change.requested_from
        change.protected = protected and change.patch.paused is True
        change.reason, change.reference = reason, reference.strip()[:100]
        change.starts_at, change.resume_at = starts_at, resume_at
        if resume_at is not None:
            terms.set_end(change, resume_at, user, actor, "")
        change.approval_reason = authorization.approval_reason(change)
        change.approval_required = bool(change.approval_reason)
        change.fingerprint = fingerprints.of(change)
        change.confirmed_at = now
        change.state = (
            ChangeState.AWAITING_APPROVAL if change.approval_required else ready_state(change)
        )
        change.counts_json = numbers
        change.save()
        _record_confirmation(change, actor)
        wake.workers(at=starts_at)
    unsent.record_left_out(change, unsent.SYNC_LIMIT)
    return change


def pause_now(batch: Batch, *, user: User, actor: audit.Actor, reason: str) -> Change:
    """Pause one batch at once: what is small and safe needs no preview.

    Raises as `drafts.draft` and `confirm` do; a draft that cannot be confirmed stays one.
    """
    reason = terms.required_reason(reason)
    draft = drafts.draft(
        Batch.objects.filter(pk=batch.pk),
        BatchPatch(paused=True),
        user=user,
        actor=actor,
        source=Change.Source.FORM,
        selection=f"Batch {batch.batch_id}",
    )
    return confirm(draft, user=user, actor=actor, reason=reason)


@authorization.records_denials
def discard(change: Change, *, user: User, actor: audit.Actor) -> Change:
    """Throw a draft away. Raises NotAllowed or WrongState."""
    change.refresh_from_db()
    if change.requested_by_id != user.pk:
        raise authorization.denied("Only its author can discard a draft.", actor, change)
    if not drafts.drop(change, actor):
        raise WrongState("This change has already been confirmed and cannot be discarded.", change)
    return change


@authorization.records_denials
def stop(change: Change, *, user: User, actor: audit.Actor, reason: str = "") -> Change:
    """Stop a change, or cancel one that is scheduled: what is not sent yet is not sent.

    Requests under way settle. Who answers for it may always stop it; others need the permission.
    Raises NotAllowed or WrongState.
    """
    change.refresh_from_db()
    if user.pk not in (change.requested_by_id, change.responsible_id):
        authorization.require(user, permissions.CONTROL_CHANGE, actor, change)
    with transaction.atomic():
        change = locked(change)
        move(change, OPEN_STATES, ChangeState.STOPPED, finished_at=timezone.now())
        action = Action.CHANGE_STOPPED if change.started_at else Action.CHANGE_CANCELLED
        audit.record(audit.Fact.about_change(action, actor, change, detail={"why": reason}))
        # What may have been sent is settled by reading it.
        wake.workers()
    # Nothing is sent from here on; what never was is settled in groups.
    unsent.stop_waiting(change, actor, STOPPED_UNSENT, unsent.SYNC_LIMIT)
    refresh_counts(change)
    return change


@authorization.records_denials
def proceed(change: Change, *, user: User, actor: audit.Actor) -> Change:
    """Go on with a change that was stopped or that has halted.

    From now on this person answers for it, so it cannot be whoever approved it; an approval that
    has expired meanwhile has to be given again. Raises NotAllowed, ResumeWindowClosed, or
    WrongState when there is nothing to go on with.
    """
    change.refresh_from_db()
    authorization.require(user, permissions.CONTROL_CHANGE, actor, change)
    authorization.require_for(change, user, actor)
    if change.approval_required and change.decided_by_id == user.pk:
        raise authorization.denied(
            "You approved this change: another person has to continue it.", actor, change
        )
    openings.require_open(change)
    left = change.items.filter(state=ItemState.STOPPED)
    if change.state == ChangeState.STOPPED and change.started_at and left.exists():
        # Halted while its batches are taken up again, slice by slice; a worker keeps off it.
        ends = ("finished_at", "read_back_at", "read_back_due_at")
        fields = {"halted_reason": REOPENING, **dict.fromkeys(ends)}
        move(change, (ChangeState.STOPPED,), ChangeState.QUEUED, **fields)
    elif not (change.is_halted and change.state in RUNNABLE_STATES):
        raise WrongState("There is nothing to continue.", change)
    _reopen(change)
    with transaction.atomic():
        change = locked(change)
        if not (change.is_halted and change.state in RUNNABLE_STATES):
            raise WrongState("Somebody else continued or stopped it.", change)
        change.halted_reason, change.preflight_at = "", None
        change.waiting_reason, change.waiting_since, change.waiting_until = "", None, None
        change.proceeded_by, change.proceeded_by_name = user, user.get_username()
        if has_expired(change):
            terms.ask_for_approval_again(change)
        change.save()
        audit.record(
            audit.Fact.about_change(
                Action.CHANGE_CONTINUED, actor, change, detail={"fingerprint": change.fingerprint}
            )
        )
        wake.workers()
    return change


def has_expired(change: Change) -> bool:
    """Whether the approval of a change was given too long ago to start or continue it."""
    expires = change.approval_expires_at
    return change.approval_required and expires is not None and expires <= timezone.now()


def queue_due() -> int:
    """Queue the scheduled changes whose time has come; returns how many.

    What would let outreach start in closed hours, because it had to wait, is postponed.
    """
    due = Q(state=ChangeState.SCHEDULED, starts_at__lte=timezone.now())
    waiting = Q(state=ChangeState.QUEUED, started_at=None)
    for change in Change.objects.filter(due | waiting, expanding_count__gt=0):
        postpone(change)
    return update_in_order(Change.objects.filter(due), state=ChangeState.QUEUED)


def postpone(change: Change) -> bool:
    """Move a change that would start in closed hours to when they open; whether it was moved."""
    if not open_window(change):
        return False
    start, why = change.starts_at, openings.why_closed(change, timezone.now())
    with transaction.atomic():
        change = locked(change)
        if change.state not in (ChangeState.SCHEDULED, ChangeState.QUEUED) or change.started_at:
            return False
        before, change.starts_at, change.state = change.starts_at, start, ChangeState.SCHEDULED
        terms.restamp(change)
        change.save()
        audit.record(
            audit.Fact.about_change(
                Action.CHANGE_RESCHEDULED,
                audit.SYSTEM,
                change,
                before={"starts_at": iso(before)},
                after={"starts_at": iso(start)},
                detail={
                    "why": why or "Resuming is not allowed at this hour.",
                    "fingerprint": change.fingerprint,
                },
            )
        )
        wake.workers(at=start)
    return True


def open_window(change: Change) -> bool:
    """Set `starts_at` to when resuming is allowed again, if it would start at a closed hour."""
    start = max(timezone.now(), change.starts_at or timezone.now())
    if not change.expanding_count or openings.is_open(change, start):
        return False
    change.starts_at = openings.next_opening(change, start)
    return True


def finish(change: Change) -> bool:
    """End a running change when every item is settled; False when it is not, or ended already."""
    if change.items.filter(state__in=UNSETTLED_STATES).exists():
        return False
    with transaction.atomic():
        numbers = counts(change)
        ended = Change.objects.filter(pk=change.pk, state=ChangeState.RUNNING).update(
            state=ChangeState.FINISHED,
            finished_at=timezone.now(),
            counts_json=numbers,
            waiting_reason="",
            waiting_since=None,
            waiting_until=None,
        )
        if ended:
            change.refresh_from_db()
            audit.record(
                audit.Fact.about_change(
                    Action.CHANGE_FINISHED,
                    audit.Actor.system_for(change),
                    change,
                    outcome="ok" if _all_well(numbers) else "with failures",
                    detail={"counts": numbers},
                )
            )
    return bool(ended)


def refresh_counts(change: Change) -> None:
    """Keep the counts shown in lists up to date."""
    change.counts_json = counts(change)
    Change.objects.filter(pk=change.pk).update(counts_json=change.counts_json)


def sweep_stopped(change: Change) -> bool:
    """Settle a part of what was never sent of a stopped change; whether all of it is settled."""
    change.refresh_from_db(fields=["state"])
    if change.state != ChangeState.STOPPED:
        return True
    actor = audit.Actor.system_for(change)
    done = unsent.stop_waiting(change, actor, STOPPED_UNSENT, unsent.SYNC_LIMIT)
    refresh_counts(change)
    return done


def locked(change: Change) -> Change:
    """The change as it is now, locked until the transaction ends."""
    return Change.objects.select_for_update(no_key=True, of=("self",)).get(pk=change.pk)


def ready_state(change: Change) -> ChangeState:
    """The state of a change that nothing holds back any more."""
    later = change.starts_at is not None and change.starts_at > timezone.now()
    return ChangeState.SCHEDULED if later else ChangeState.QUEUED


def move(change: Change, allowed: Iterable[ChangeState], to: ChangeState, **fields: Any) -> None:
    """Move a change to a state. Raises WrongState when it is in none of the allowed ones."""
    moved = Change.objects.filter(pk=change.pk, state__in=allowed).update(state=to, **fields)
    if not moved:
        raise WrongState(f"This change is already {change.get_state_display().lower()}.", change)
    change.refresh_from_db()


def _require_may_confirm(
    change: Change, user: User, actor: audit.Actor, resume_at: dt.datetime | None
) -> None:
    """Raise NotAllowed, or WrongState, before anything is looked at or locked."""
    if change.requested_by_id != user.pk:
        raise authorization.denied("Only its author can confirm a draft.", actor, change)
    authorization.require_for(change, user, actor)
    if resume_at is not None:
        authorization.require(user, permissions.EXPAND_OUTREACH, actor, change)
    _require_draft(change)


def _require_draft(change: Change) -> None:
    if change.state == ChangeState.DRAFTING:
        raise WrongState("This change is still being drafted. Try again in a moment.", change)
    if change.state != ChangeState.DRAFT:
        raise WrongState("This change has already been confirmed.", change)


def _end_pause(pause: Change) -> None:
    """Take the end off a pause, unless it was moved since it was looked at."""
    due, pause = pause.resume_at, locked(pause)
    if pause.resume_at != due:
        raise WrongState("The end of this pause has been moved in the meantime.", pause)
    pause.resume_at = pause.resume_lease_until = None
    terms.restamp(pause)
    pause.save()


def _record_confirmation(change: Change, actor: audit.Actor) -> None:
    audit.record(
        audit.Fact.about_change(
            Action.CHANGE_CONFIRMED,
            actor,
            change,
            after=change.patch_json,
            detail={
                "counts": change.counts_json,
                "fingerprint": change.fingerprint,
                "starts_at": iso(change.starts_at),
                "resume_at": iso(change.resume_at),
                "approval": change.approval_reason,
                "lifts": change.lifts,
                "protected": change.protected,
            },
        )
    )


def _reopen(change: Change) -> None:
    """Make pending again what was stopped, slice by slice."""
    stopped = change.items.filter(state=ItemState.STOPPED)
    while keys := list(stopped.order_by("pk").values_list("pk", flat=True)[:CHUNK]):
        with transaction.atomic():
            again = change.items.filter(pk__in=keys, state=ItemState.STOPPED)
            update_in_order(again, state=ItemState.PENDING, message="", settled_at=None)


def _all_well(numbers: dict[str, int]) -> bool:
    return not set(numbers) - {ItemState.APPLIED, ItemState.UNCHANGED, ItemState.SKIPPED}


def iso(moment: dt.datetime | None) -> str | None:
    """An instant as the trail keeps it."""
    return moment.isoformat() if moment else None
