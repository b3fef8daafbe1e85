"""The life of a change: confirm, approve, reject, stop, continue, and what is due.

Each move is a conditional UPDATE: an impossible one affects no row and raises WrongState.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.db import transaction
from django.db.models import Count
from django.utils import timezone

from batchops import permissions
from batchops.models import Action, Change, ChangeItem
from batchops.models.change import OPEN_STATES, RUNNABLE_STATES, UNSETTLED_STATES
from batchops.services import audit, drafts, permits, wake
from batchops.services.errors import ChangeError, InvalidInput, NotAllowed, WrongState
from batchops.syllable.patch import BatchPatch

if TYPE_CHECKING:
    from django.contrib.auth.models import User

State, ItemState = Change.State, ChangeItem.State
CHUNK: Final = 1_000
REASON_LIMIT: Final = 2_000


def counts(change: Change) -> dict[str, int]:
    """The items of a change by state, counted now; they add up to the number selected."""
    rows = change.items.values_list("state").annotate(number=Count("id")).order_by()
    return dict(rows)


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
    reason = _required_reason(reason)
    with transaction.atomic():
        change = _locked(change)
        if change.state != State.DRAFT:
            raise WrongState("This change was confirmed already.", change)
        if change.requested_by_id != user.pk:
            raise permits.denied("Only its author can confirm a draft.", actor, change)
        permits.require_for(change, user, actor)
        _check_draft(change, now, run_at, resume_at, typed_count)
        change.reason, change.reference = reason, reference.strip()[:100]
        change.run_at, change.resume_at = run_at, resume_at
        permits.require_open_window(change, run_at)
        change.approval_reason = approval_reason(change)
        change.approval_required = bool(change.approval_reason)
        change.fingerprint = drafts.fingerprint(change)
        change.confirmed_at = now
        change.state = State.AWAITING_APPROVAL if change.approval_required else _ready(change)
        change.counts_json = counts(change)
        change.save()
        _record_confirmation(change, actor)
        wake.workers(at=run_at)
    return change


@permits.records_denials
def discard(change: Change, *, user: User, actor: audit.Actor) -> Change:
    """Throw a draft away. Raises NotAllowed or WrongState."""
    with transaction.atomic():
        change = _locked(change)
        if change.requested_by_id != user.pk:
            raise permits.denied("Only its author can discard a draft.", actor, change)
        if not drafts.drop(change):
            raise WrongState("This change was confirmed already and cannot be discarded.", change)
        audit.record(audit.Fact.about_change(Action.CHANGE_DISCARDED, actor, change))
    return change


@permits.records_denials
def approve(change: Change, *, user: User, actor: audit.Actor, comment: str = "") -> Change:
    """Let a change run that another person asked for.

    Raises NotAllowed (also for the requester), ChangeError when it is no longer what was
    reviewed, or WrongState.
    """
    with transaction.atomic():
        change = _decidable(change, user, actor)
        if drafts.fingerprint(change) != change.fingerprint:
            raise ChangeError("This is no longer what was reviewed. It has to be drafted anew.")
        change.approved_fingerprint = change.fingerprint
        change.state = _ready(change)
        _decide(change, user, actor, comment, Action.CHANGE_APPROVED)
        wake.workers(at=change.run_at)
    return change


@permits.records_denials
def reject(change: Change, *, user: User, actor: audit.Actor, comment: str) -> Change:
    """Refuse a change that another person asked for. Raises as `approve` does."""
    if not comment.strip():
        raise InvalidInput("Say why it is rejected.", "comment")
    with transaction.atomic():
        change = _decidable(change, user, actor)
        change.state = State.REJECTED
        change.finished_at = timezone.now()
        _decide(change, user, actor, comment, Action.CHANGE_REJECTED)
        stop_items(change, actor, "Rejected.")
    return change


@permits.records_denials
def stop(change: Change, *, user: User, actor: audit.Actor, reason: str = "") -> Change:
    """Stop a change, or cancel one that is scheduled: what is not sent yet is not sent.

    Requests under way settle. The requester may always stop; others need the permission.
    Raises NotAllowed or WrongState.
    """
    with transaction.atomic():
        change = _locked(change)
        if change.requested_by_id != user.pk:
            permits.require(user, permissions.CONTROL_CHANGE, actor, change)
        _move(change, OPEN_STATES, State.STOPPED, finished_at=timezone.now())
        action = Action.CHANGE_STOPPED if change.started_at else Action.CHANGE_CANCELLED
        audit.record(audit.Fact.about_change(action, actor, change, detail={"why": reason}))
        stop_items(change, actor, "Stopped before it was sent.")
        refresh_counts(change)
    return change


@permits.records_denials
def proceed(change: Change, *, user: User, actor: audit.Actor) -> Change:
    """Go on with a change that was stopped or that has halted.

    Raises NotAllowed, ResumeWindowClosed, or WrongState when there is nothing to go on with.
    """
    with transaction.atomic():
        change = _locked(change)
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
        )
        change.refresh_from_db()
        audit.record(audit.Fact.about_change(Action.CHANGE_CONTINUED, actor, change))
        wake.workers()
    return change


@permits.records_denials
def move_resume(
    change: Change, resume_at: dt.datetime | None, *, user: User, actor: audit.Actor
) -> Change:
    """Move, or with None cancel, the time at which a pause ends by itself.

    Raises InvalidInput, NotAllowed or WrongState.
    """
    now = timezone.now()
    with transaction.atomic():
        change = _locked(change)
        if change.patch != BatchPatch(paused=True) or change.state in (State.REJECTED, State.DRAFT):
            raise WrongState("Only a pause can end by itself.", change)
        if change.followed_by.filter(source=Change.Source.RESUME).exclude(
            state__in=(State.DRAFT, State.DISCARDED, State.REJECTED)
        ):
            raise WrongState("This pause has ended already.", change)
        permission = permissions.REQUEST_CHANGE if resume_at is None else permissions.RELEASE_CHANGE
        permits.require(user, permission, actor, change)
        if resume_at is not None and resume_at <= now:
            raise InvalidInput("Choose a time in the future.", "resume_at")
        before = change.resume_at
        change.resume_at = resume_at
        change.save(update_fields=["resume_at"])
        audit.record(
            audit.Fact.about_change(
                Action.RESUME_MOVED if resume_at else Action.RESUME_CANCELLED,
                actor,
                change,
                before={"resume_at": _iso(before)},
                after={"resume_at": _iso(resume_at)},
            )
        )
        wake.workers(at=resume_at)
    return change


def queue_due() -> int:
    """Queue the scheduled changes whose time has come; returns how many."""
    due = Change.objects.filter(state=State.SCHEDULED, run_at__lte=timezone.now())
    return due.update(state=State.QUEUED)


def resume_due() -> list[Change]:
    """Resume what pauses left that end by themselves and whose time has come.

    Each becomes a linked change in its author's name; it waits for an open resume window, and
    for approval where that is asked for.
    """
    now = timezone.now()
    due = Change.objects.filter(resume_at__lte=now, state__in=(State.FINISHED, State.STOPPED))
    return [resumed for pause in due if (resumed := _resume(pause, now)) is not None]


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
                    audit.Actor.of_change(change),
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


def sweep_stopped(change: Change) -> None:
    """Settle what a worker gave back after its change was stopped."""
    with transaction.atomic():
        change = _locked(change)
        if change.state == State.STOPPED:
            stop_items(change, audit.Actor.of_change(change), "Stopped before it was sent.")
            refresh_counts(change)


def stop_items(change: Change, actor: audit.Actor, message: str) -> None:
    """Settle all items that are not sent yet as stopped, each with an entry of the trail."""
    now = timezone.now()
    # Those that may have been sent before are left to a worker, which reads what became of them.
    waiting = change.items.filter(state=ItemState.PENDING, attempts=0)
    for chunk in in_chunks(waiting.values_list("pk", flat=True)):
        items = list(
            change.items.select_for_update(of=("self",))
            .filter(pk__in=chunk, state=ItemState.PENDING)
            .select_related("batch__campaign")
        )
        change.items.filter(pk__in=[item.pk for item in items]).update(
            state=ItemState.STOPPED, message=message, settled_at=now
        )
        _record_items(change, actor, items, ItemState.STOPPED, message)


def in_chunks(keys: Iterable[Any], size: int = CHUNK) -> Iterable[list[Any]]:
    """Lists of at most `size` keys; all are read before the first is given out."""
    everything = list(keys)
    return (everything[start : start + size] for start in range(0, len(everything), size))


def approval_reason(change: Change) -> str:
    """Why another person has to approve, in words; empty when nobody has to."""
    threshold = settings.APPROVAL_THRESHOLD
    acting = change.items.filter(state=ItemState.PENDING).count()
    emergency = change.priority == Change.Priority.EMERGENCY
    if settings.APPROVE_RESUME and change.releasing_count:
        return "It lets outreach reach more people."
    if threshold and acting > threshold and not emergency:
        return f"It concerns {acting:,} batches, more than {threshold:,}."
    return ""


def _locked(change: Change) -> Change:
    return Change.objects.select_for_update(of=("self",)).get(pk=change.pk)


def _ready(change: Change) -> Change.State:
    later = change.run_at is not None and change.run_at > timezone.now()
    return State.SCHEDULED if later else State.QUEUED


def _move(change: Change, allowed: Iterable[Change.State], to: Change.State, **fields: Any) -> None:
    moved = Change.objects.filter(pk=change.pk, state__in=allowed).update(state=to, **fields)
    if not moved:
        raise WrongState(f"This change is {change.get_state_display().lower()} already.", change)
    change.refresh_from_db()


def _required_reason(reason: str) -> str:
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
    acting = change.items.filter(state=ItemState.PENDING).count()
    if not acting:
        raise InvalidInput("Nothing is left to do: every batch of this draft is skipped.")
    if run_at is not None and run_at <= now:
        raise InvalidInput("This time is in the past. Choose a later one, or run it now.", "run_at")
    if resume_at is not None:
        if change.patch != BatchPatch(paused=True):
            raise InvalidInput("Only a pause can end by itself.", "resume_at")
        if resume_at <= (run_at or now):
            raise InvalidInput("The pause would end before it begins.", "resume_at")
    needs_typing = acting > settings.TYPED_CONFIRMATION_ABOVE and not _is_emergency(change)
    if needs_typing and typed_count != acting:
        raise InvalidInput(
            f"Type the number of batches that will be changed ({acting}) to confirm.",
            "typed_count",
        )


def _is_emergency(change: Change) -> bool:
    return change.priority == Change.Priority.EMERGENCY


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
                "run_at": _iso(change.run_at),
                "resume_at": _iso(change.resume_at),
                "approval": change.approval_reason,
            },
        )
    )
    settled = change.items.exclude(state=ItemState.PENDING)
    for chunk in in_chunks(settled.values_list("pk", flat=True)):
        items = list(change.items.filter(pk__in=chunk).select_related("batch__campaign"))
        change.items.filter(pk__in=chunk).update(settled_at=timezone.now())
        for state in (ItemState.SKIPPED, ItemState.CONFLICT):
            _record_items(change, actor, [i for i in items if i.state == state], state)


def _record_items(
    change: Change,
    actor: audit.Actor,
    items: Iterable[ChangeItem],
    state: ChangeItem.State,
    message: str = "",
) -> None:
    audit.record(
        *(
            audit.Fact.about_batch(
                f"batch.{state.value}",
                actor,
                item.batch,
                outcome=state.value,
                change_id=change.pk,
                reason=change.reason,
                reference=change.reference,
                before={**item.before.to_json(), "status": item.before_status},
                detail={"asked": item.wanted(change).to_json(), "why": message or item.message},
            )
            for item in items
        )
    )


def _decidable(change: Change, user: User, actor: audit.Actor) -> Change:
    change = _locked(change)
    permits.require(user, permissions.APPROVE_CHANGE, actor, change)
    if change.requested_by_id == user.pk:
        raise permits.denied(
            "You asked for this change: another person has to decide.", actor, change
        )
    if change.state != State.AWAITING_APPROVAL:
        raise WrongState("This change does not wait for approval any more.", change)
    return change


def _decide(change: Change, user: User, actor: audit.Actor, comment: str, action: Action) -> None:
    change.decided_by, change.decided_by_name = user, actor.name
    change.decided_at = timezone.now()
    change.decision_comment = audit.storable_text(comment.strip(), REASON_LIMIT)
    change.save()
    audit.record(
        audit.Fact.about_change(
            action,
            actor,
            change,
            detail={"comment": change.decision_comment, "fingerprint": change.fingerprint},
        )
    )


def _reopen(change: Change) -> None:
    stopped = change.items.filter(state=ItemState.STOPPED)
    if not stopped.exists():
        raise WrongState("There is nothing to go on with.", change)
    stopped.update(state=ItemState.PENDING, message="", settled_at=None)
    _move(change, (State.STOPPED,), State.QUEUED, finished_at=None)


def _resume(pause: Change, now: dt.datetime) -> Change | None:
    """The change that ends a pause; None where nothing is on its hold any more."""
    user = pause.requested_by
    with transaction.atomic():
        taken = Change.objects.filter(pk=pause.pk, resume_at=pause.resume_at).update(resume_at=None)
        if not taken or not pause.held_batches.filter(paused=True).exists():
            return None
        actor = audit.Actor.of_change(pause)
        try:
            if user is None or not user.is_active:
                raise NotAllowed("The account of its author is not active any more.")
            change = drafts.draft_resume(pause, user=user, actor=actor)
            opening = permits.next_resume_opening(now)
            return confirm(
                change,
                user=user,
                actor=actor,
                reason=f"End of the pause: {pause.reason}"[:REASON_LIMIT],
                reference=pause.reference,
                run_at=opening if opening > now else None,
                typed_count=change.items.filter(state=ItemState.PENDING).count(),
            )
        except ChangeError as error:
            audit.record(
                audit.Fact.about_change(
                    Action.RESUME_CANCELLED, actor, pause, detail={"why": error.message}
                )
            )
            return None


def _all_well(numbers: dict[str, int]) -> bool:
    return not set(numbers) - {ItemState.APPLIED, ItemState.UNCHANGED, ItemState.SKIPPED}


def _iso(moment: dt.datetime | None) -> str | None:
    return moment.isoformat() if moment else None
