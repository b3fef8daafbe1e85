"""What may be concluded about an item from what was read of its batch, without a request."""

from __future__ import annotations

from dataclasses import replace

from batchops.models import ENDED_STATUSES, ItemState
from batchops.services.attempts.assignments import Assignment, Found, Mode
from batchops.services.attempts.outcomes import Settled
from batchops.services.changes.eligibility import LACKS_EXPIRY, SHARED_ID, revives
from batchops.syllable.patch import Values
from batchops.syllable.records import BatchRecord


def of_another_batch(assignment: Assignment, record: BatchRecord) -> Settled | None:
    """What becomes of an item whose id the vendor shows in another campaign than ours."""
    if assignment.campaign_id in (None, record.campaign_id):
        return None
    return Settled(assignment, ItemState.SKIPPED, message=SHARED_ID)


def foreseen(assignment: Assignment) -> Settled | None:
    """The outcome that needs no request: already so, changed meanwhile, ended. None: send it.

    "Already so" takes an answer that is provably no older than what is known; an update too many
    does no harm, one too few does. Where no answer proves anything, our own last reply tells what
    would be overwritten, unless a later write of ours may have taken effect.
    """
    patch, known, found = assignment.patch, assignment.known, assignment.found
    record = found.record if found else None
    now, status = known.values, known.status
    if record is not None:
        if record.deleted_at is not None:
            return Settled(
                assignment, ItemState.SKIPPED, message="Deleted at the vendor.", record=record
            )
        now, status = Values.of(record), record.status
    if record is not None or _was_compared(assignment):
        if patch.is_satisfied_by(now):
            return already_so(assignment, record)
    elif known.is_in_doubt:
        return None
    if status in ENDED_STATUSES and not (status == "EXPIRED" and revives(patch)):
        message = f"{status.capitalize()} meanwhile: its outreach has ended."
        return Settled(assignment, ItemState.SKIPPED, message=message, record=record)
    if fields := patch.conflicts(assignment.expected, now):
        message = f"Changed meanwhile: {', '.join(fields)}. Review it again."
        return Settled(assignment, ItemState.CONFLICT, message=message, record=record)
    if patch.auto_call_rate is True and patch.applied_to(now).expires_on is None:
        return Settled(assignment, ItemState.SKIPPED, message=LACKS_EXPIRY, record=record)
    return None


def seen_so(assignment: Assignment) -> Settled | None:
    """What an emergency leaves as it is: it was so when it was drafted, and by the mirror still is.

    Only for a mirror that is fresh, and where nothing of ours may have moved it unseen; it is read
    back like everything else. None: send it.
    """
    patch, known = assignment.patch, assignment.known
    if assignment.mode is not Mode.SEND_AT_ONCE or assignment.in_doubt or known.is_in_doubt:
        return None
    if not (patch.is_satisfied_by(assignment.before) and patch.is_satisfied_by(known.values)):
        return None
    message = "Already so when the vendor was last read."
    return Settled(assignment, ItemState.UNCHANGED, message=message)


def _was_compared(assignment: Assignment) -> bool:
    """Whether list pages, read for this change, prove what the mirror holds."""
    compared_at, known = assignment.compared_at, assignment.known
    return compared_at is not None and known.is_outrun_by(compared_at)


def already_so(assignment: Assignment, record: BatchRecord | None) -> Settled | None:
    """It is as requested: how it came to be so, as far as is known. None: another PUT will tell."""
    if record is None or not assignment.in_doubt:
        message = "Already so at the vendor."
        return Settled(assignment, ItemState.UNCHANGED, message=message, record=record)
    known = assignment.known
    was_so = assignment.patch.is_satisfied_by(known.values)
    if was_so and record.last_updated_at and record.last_updated_at == known.last_updated_at:
        message = "Already so at the vendor, and not changed since before it was sent."
        return Settled(assignment, ItemState.UNCHANGED, message=message, record=record)
    if _is_our_doing(assignment, record):
        return applied_unseen(assignment, record)
    if assignment.may_be_sent:
        return None
    by = record.last_updated_by or "somebody"
    if not assignment.own_names:
        message = (
            f"As requested when read back, changed last by {by}; no reply of ours has arrived."
        )
        return Settled(assignment, ItemState.APPLIED, message=message, record=record)
    message = (
        f"As requested at the vendor, changed last by {by}. Whether by our request is not known."
    )
    return Settled(assignment, ItemState.UNCHANGED, message=message, record=record)


def _is_our_doing(assignment: Assignment, record: BatchRecord) -> bool:
    """Whether the vendor says that a change was made with our key, as far as that is known.

    Before any reply has told our name, a try that was sent stands for it.
    """
    by = record.last_updated_by
    if assignment.own_names and by:
        return by in assignment.own_names
    return assignment.was_sent or bool(assignment.tries)


def applied_unseen(assignment: Assignment, record: BatchRecord) -> Settled:
    base = assignment.base
    return Settled(
        assignment,
        ItemState.APPLIED,
        message="As requested when read back; an earlier try had no clear answer.",
        record=record,
        unrequested=assignment.patch.unrequested(base, record)
        if base and assignment.judged
        else (),
    )


def was_carried_out(assignment: Assignment, record: BatchRecord) -> bool:
    """Whether an answer, however old, shows what an earlier try of ours asked for.

    The batch is as requested, and was changed later than anything known, with our key.
    """
    shown, seen = record.last_updated_at, assignment.known.last_updated_at
    return (
        assignment.in_doubt
        and bool(shown and seen and shown > seen)
        and assignment.patch.is_satisfied_by(record)
        and _is_our_doing(assignment, record)
    )


def with_found(assignment: Assignment, found: Found) -> Assignment:
    """The assignment with what was proven; what our own earlier try may have moved is as it was."""
    base = Values.of(found.record)
    if assignment.in_doubt:
        known = assignment.base or assignment.known.values
        base = replace(base, **{name: getattr(known, name) for name in assignment.patch.touched})
    return replace(assignment, found=found, base=base, judged=True)
