"""The life of a change: confirm, discard, stop, continue, and what is due.

Each move is a conditional UPDATE: an impossible one affects no row and raises WrongState.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Q
from django.utils import timezone

from batchops import permissions
from batchops.models import Action, Batch, Change, ChangeItem
from batchops.models.change import OPEN_STATES, RUNNABLE_STATES, UNSETTLED_STATES
from batchops.services import audit, drafts, effects, permits, unsent, wake
from batchops.services.bulk import update_in_order
from batchops.services.errors import InvalidInput, WrongState
from batchops.syllable.patch import BatchPatch

if TYPE_CHECKING:
    from django.contrib.auth.models import User

State, ItemState = Change.State, ChangeItem.State
CHUNK: Final = 1_000
REASON_LIMIT: Final = 2_000
STOPPED_UNSENT: Final = "Stopped before it was sent."
FURTHEST_AHEAD: Final = dt.timedelta(days=366)


def counts(change: Change) -> dict[str, int]:
    """The items of a change by state, counted now; they add up to the number selected."""
    rows = change.items.values_list("state").annotate(number=Count("id")).order_by()
    return dict(rows)


def acting_count(change: Change) -> int:
    """How many batches a draft will change."""
    return change.items.filter(plan=ChangeItem.Plan.ACT).count()


def needs_typed_count(change: Change) -> bool:
    """Whether the number of batches has to be typed; an emergency never waits for that."""
    emergency = change.priority == Change.Priority.EMERGENCY
    return not emergency and acting_count(change) > settings.TYPED_CONFIRMATION_ABOVE


@permits.records_denials
def confirm(
    change: Change,
    *,
    user: User,
    actor: audit.Actor,
    reason: str,
    reference: str = "",
    run_at: dt.datetime | None = None,
    resume_at: dt.datetime | None = None,
    typed_count: int | None = None,
) -> Change:
    """Confirm a reviewed draft: from here on batchops sees it through.

    `run_at` schedules it; `resume_at` ends a pause by itself (both aware). `typed_count` is the
    number of batches as the person typed it, asked for above `TYPED_CONFIRMATION_ABOVE`.
    Raises InvalidInput (with the field), NotAllowed, ResumeWindowClosed or WrongState.
    """
    now = timezone.now()
    reason = required_reason(reason)
    with transaction.atomic():
        change = locked(change)
        if change.state != State.DRAFT:
            raise WrongState("This change was confirmed already.", change)
        if change.requested_by_id != user.pk:
            raise permits.denied("Only its author can confirm a draft.", actor, change)
        permits.require_for(change, user, actor)
        if resume_at is not None:
            permits.require(user, permissions.RELEASE_CHANGE, actor, change)
        _check_draft(change, now, run_at, resume_at, typed_count)
        change.reason, change.reference = reason, reference.strip()[:100]
        change.run_at, change.resume_at = run_at, resume_at
        permits.require_open_window(change, run_at)
        change.approval_reason = permits.approval_reason(change)
        change.approval_required = bool(change.approval_reason)
        change.fingerprint = drafts.fingerprint(change)
        change.confirmed_at = now
        change.state = State.AWAITING_APPROVAL if change.approval_required else ready_state(change)
        change.counts_json = counts(change)
        change.save()
        _record_confirmation(change, actor)
        wake.workers(at=run_at)
    unsent.record_left_out(change, unsent.AT_ONCE)
    return change


@permits.records_denials
def discard(change: Change, *, user: User, actor: audit.Actor) -> Change:
    """Throw a draft away. Raises NotAllowed or WrongState."""
    with transaction.atomic():
        change = locked(change)
        if change.requested_by_id != user.pk:
            raise permits.denied("Only its author can discard a draft.", actor, change)
        if not drafts.drop(change):
            raise WrongState("This change was confirmed already and cannot be discarded.", change)
        audit.record(audit.Fact.about_change(Action.CHANGE_DISCARDED, actor, change))
    return change


@permits.records_denials
def stop(change: Change, *, user: User, actor: audit.Actor, reason: str = "") -> Change:
    """Stop a change, or cancel one that is scheduled: what is not sent yet is not sent.

    Requests under way settle. The requester may always stop; others need the permission.
    Raises NotAllowed or WrongState.
    """
    with transaction.atomic():
        change = locked(change)
        if change.requested_by_id != user.pk:
            permits.require(user, permissions.CONTROL_CHANGE, actor, change)
        move(change, OPEN_STATES, State.STOPPED, finished_at=timezone.now())
        action = Action.CHANGE_STOPPED if change.started_at else Action.CHANGE_CANCELLED
        audit.record(audit.Fact.about_change(action, actor, change, detail={"why": reason}))
        # What may have been sent is settled by reading it.
        wake.workers()
    # Nothing is sent from here on; what never was is settled in groups.
    unsent.stop_waiting(change, actor, STOPPED_UNSENT, unsent.AT_ONCE)
    refresh_counts(change)
    return change


@permits.records_denials
def proceed(change: Change, *, user: User, actor: audit.Actor) -> Change:
    """Go on with a change that was stopped or that has halted.

    Raises NotAllowed, ResumeWindowClosed, or WrongState when there is nothing to go on with.
    """
    with transaction.atomic():
        change = locked(change)
        permits.require(user, permissions.CONTROL_CHANGE, actor, change)
        permits.require_for(change, user, actor)
        permits.require_open_window(change)
        if change.state == State.STOPPED and change.started_at:
            _reopen(change)
        elif not (change.is_halted and change.state in RUNNABLE_STATES):
            raise WrongState("There is nothing to go on with.", change)
        # A halt for the requester's sake ends here: from now on this person answers for it.
        Change.objects.filter(pk=change.pk).update(
            halted_reason="",
            waiting_reason="",
            waiting_since=None,
            waiting_until=None,
            preflight_at=None,
            proceeded_by=user,
            proceeded_by_name=actor.name,
        )
        change.refresh_from_db()
        audit.record(audit.Fact.about_change(Action.CHANGE_CONTINUED, actor, change))
        wake.workers()
    return change


def queue_due() -> int:
    """Queue the scheduled changes whose time has come; returns how many.

    What would let outreach start in closed hours, because it had to wait, is postponed.
    """
    due = Q(state=State.SCHEDULED, run_at__lte=timezone.now())
    waiting = Q(state=State.QUEUED, started_at=None)
    for change in Change.objects.filter(due | waiting, releasing_count__gt=0):
        postpone(change)
    return update_in_order(Change.objects.filter(due), state=State.QUEUED)


def postpone(change: Change) -> bool:
    """Move a change that would start in closed hours to when they open; whether it was moved."""
    if not open_window(change):
        return False
    with transaction.atomic():
        moved = Change.objects.filter(
            pk=change.pk, state__in=(State.SCHEDULED, State.QUEUED), started_at=None
        ).update(state=State.SCHEDULED, run_at=change.run_at)
        if moved:
            fact = audit.Fact.about_change(
                Action.CHANGE_RESCHEDULED,
                audit.SYSTEM,
                change,
                after={"run_at": iso(change.run_at)},
                detail={"why": "Resuming is not allowed at this hour."},
            )
            audit.record(fact)
            wake.workers(at=change.run_at)
    return bool(moved)


def open_window(change: Change) -> bool:
    """Set `run_at` to when resuming is allowed again, if it would start at a closed hour."""
    start = max(timezone.now(), change.run_at or timezone.now())
    if not change.releasing_count or permits.resume_allowed_at(start):
        return False
    change.run_at = permits.next_resume_opening(start)
    return True


def halt(change: Change, reason: str, actor: audit.Actor = audit.SYSTEM) -> bool:
    """Stop sending until a person goes on with it; False when it was halted already."""
    with transaction.atomic():
        halted = Change.objects.filter(
            pk=change.pk, halted_reason="", state__in=RUNNABLE_STATES
        ).update(halted_reason=reason)
        if halted:
            audit.record(
                audit.Fact.about_change(
                    Action.CHANGE_HALTED, actor, change, outcome="halted", detail={"why": reason}
                )
            )
    return bool(halted)


def finish(change: Change) -> bool:
    """End a running change when every item is settled; False when it is not, or ended already."""
    if change.items.filter(state__in=UNSETTLED_STATES).exists():
        return False
    with transaction.atomic():
        numbers = counts(change)
        ended = Change.objects.filter(pk=change.pk, state=State.RUNNING).update(
            state=State.FINISHED,
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
    if change.state != State.STOPPED:
        return True
    actor = audit.Actor.system_for(change)
    done = unsent.stop_waiting(change, actor, STOPPED_UNSENT, unsent.AT_ONCE)
    refresh_counts(change)
    return done


def in_chunks(keys: Iterable[Any], size: int = CHUNK) -> Iterable[list[Any]]:
    """Lists of at most `size` keys; all are read before the first is given out."""
    everything = list(keys)
    return (everything[start : start + size] for start in range(0, len(everything), size))


def locked(change: Change) -> Change:
    """The change as it is now, locked until the transaction ends."""
    return Change.objects.select_for_update(no_key=True, of=("self",)).get(pk=change.pk)


def ready_state(change: Change) -> Change.State:
    """The state of a change that nothing holds back any more."""
    later = change.run_at is not None and change.run_at > timezone.now()
    return State.SCHEDULED if later else State.QUEUED


def move(change: Change, allowed: Iterable[Change.State], to: Change.State, **fields: Any) -> None:
    """Move a change to a state. Raises WrongState when it is in none of the allowed ones."""
    moved = Change.objects.filter(pk=change.pk, state__in=allowed).update(state=to, **fields)
    if not moved:
        raise WrongState(f"This change is {change.get_state_display().lower()} already.", change)
    change.refresh_from_db()


def required_reason(reason: str) -> str:
    reason = reason.strip()
    if not reason:
        raise InvalidInput("Say why: the reason becomes part of the audit trail.", "reason")
    if len(reason) > REASON_LIMIT:
        raise InvalidInput(f"Keep the reason below {REASON_LIMIT:,} characters.", "reason")
    return audit.storable_text(reason)


def _check_draft(
    change: Change,
    now: dt.datetime,
    run_at: dt.datetime | None,
    resume_at: dt.datetime | None,
    typed_count: int | None,
) -> None:
    """Raise InvalidInput for what a draft cannot be confirmed with."""
    _check_something_left(change)
    if run_at is not None:
        check_time(run_at, now, "run_at")
    if resume_at is not None:
        if change.patch != BatchPatch(paused=True):
            raise InvalidInput("Only a pause can end by itself.", "resume_at")
        check_time(resume_at, now, "resume_at")
        if run_at is not None and resume_at <= run_at:
            raise InvalidInput("The pause would end before it begins.", "resume_at")
    if needs_typed_count(change) and typed_count != (acting := acting_count(change)):
        raise InvalidInput(
            f"Type the number of batches that will be changed ({acting}) to confirm.",
            "typed_count",
        )


def check_time(moment: dt.datetime, now: dt.datetime, field: str) -> None:
    """Raise InvalidInput for an instant that is not ahead, or is further ahead than makes sense."""
    if moment <= now:
        raise InvalidInput("This time is in the past. Choose a later one.", field)
    if moment > now + FURTHEST_AHEAD:
        raise InvalidInput("Choose a time within a year from now.", field)


def _check_something_left(change: Change) -> None:
    waiting = change.items.filter(state=ItemState.PENDING)
    if not waiting.exists():
        raise InvalidInput("Nothing is left to do: every batch of this draft is skipped.")
    still = Batch.objects.exclude(effects.ineligible(change.patch))
    if not waiting.filter(batch__in=still).exists():
        raise InvalidInput(
            "None of these batches can be changed any more. Discard this draft and select again."
        )


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
                "run_at": iso(change.run_at),
                "resume_at": iso(change.resume_at),
                "approval": change.approval_reason,
            },
        )
    )


def _reopen(change: Change) -> None:
    stopped = change.items.filter(state=ItemState.STOPPED)
    if not stopped.exists():
        raise WrongState("There is nothing to go on with.", change)
    update_in_order(stopped, state=ItemState.PENDING, message="", settled_at=None)
    move(change, (State.STOPPED,), State.QUEUED, finished_at=None, read_back_at=None)


def _all_well(numbers: dict[str, int]) -> bool:
    return not set(numbers) - {ItemState.APPLIED, ItemState.UNCHANGED, ItemState.SKIPPED}


def iso(moment: dt.datetime | None) -> str | None:
    """An instant as the trail keeps it."""
    return moment.isoformat() if moment else None
