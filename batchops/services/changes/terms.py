"""The terms on which a change runs: its reason, its times, who set them; and what speaks against.

Whoever sets a time answers for it. The fingerprint of a change covers its terms.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Final

from django.conf import settings

from batchops import audit
from batchops.models import Batch, Change, ChangeState, ItemState
from batchops.services.changes import eligibility, fingerprints
from batchops.services.errors import InvalidInput
from batchops.services.holds import covered
from batchops.syllable.patch import BatchPatch

if TYPE_CHECKING:
    from django.contrib.auth.models import User

REASON_LIMIT: Final = 2_000
FURTHEST_AHEAD: Final = dt.timedelta(days=366)


def needs_typed_count(change: Change) -> bool:
    """Whether the number of batches has to be typed; an emergency never waits for that."""
    emergency = change.priority == Change.Priority.EMERGENCY
    return not emergency and change.acting_count > settings.TYPED_CONFIRMATION_ABOVE


def check(
    change: Change,
    now: dt.datetime,
    starts_at: dt.datetime | None,
    resume_at: dt.datetime | None,
    typed_count: int | None,
) -> None:
    """Raise InvalidInput for what a draft cannot be confirmed with."""
    _check_something_left(change)
    if starts_at is not None:
        check_time(starts_at, now, "starts_at")
    if resume_at is not None:
        if change.patch != BatchPatch(paused=True):
            raise InvalidInput("Only a pause can end by itself.", "resume_at")
        check_time(resume_at, now, "resume_at")
        if starts_at is not None and resume_at <= starts_at:
            raise InvalidInput("The pause would end before it begins.", "resume_at")
    if needs_typed_count(change) and typed_count != change.acting_count:
        raise InvalidInput(
            f"Type the number of batches that will be changed ({change.acting_count}) to confirm.",
            "typed_count",
        )


def _check_something_left(change: Change) -> None:
    waiting = change.items.filter(state=ItemState.PENDING)
    if covered.on_kept(change).exists():
        return
    if not waiting.exists():
        raise InvalidInput("Nothing is left to do: every batch of this draft is skipped.")
    still = Batch.objects.exclude(eligibility.ineligible(change.patch))
    if not waiting.filter(batch__in=still).exists():
        raise InvalidInput(
            "None of these batches can still be changed. Discard this draft and select again."
        )


def check_time(moment: dt.datetime, now: dt.datetime, field: str) -> None:
    """Raise InvalidInput for an instant that is not ahead, or is further ahead than makes sense."""
    if moment <= now:
        raise InvalidInput("This time is in the past. Choose a later one.", field)
    if moment > now + FURTHEST_AHEAD:
        raise InvalidInput("Choose a time within a year from now.", field)


def required_reason(reason: str) -> str:
    reason = reason.strip()
    if not reason:
        raise InvalidInput("Give a reason: it becomes part of the audit trail.", "reason")
    if len(reason) > REASON_LIMIT:
        raise InvalidInput(f"A reason has at most {REASON_LIMIT:,} characters.", "reason")
    return audit.storable_text(reason)


def set_end(
    change: Change, resume_at: dt.datetime | None, user: User, actor: audit.Actor, reason: str
) -> None:
    """Set when a pause ends: whoever does so answers for the end, with an address and a reason."""
    change.resume_at, change.resume_reason = resume_at, reason
    change.resume_set_by, change.resume_set_by_name = user, user.get_username()
    change.resume_set_from = actor.ip


def restamp(change: Change) -> None:
    """Take down what runs now, after batchops itself moved a time; an approval stays one."""
    approved = change.approved_fingerprint and change.approved_fingerprint == change.fingerprint
    change.fingerprint = fingerprints.of(change)
    if approved:
        change.approved_fingerprint = change.fingerprint


def ask_for_approval_again(change: Change) -> None:
    """What was approved is no more: whoever approved it has to decide anew, or another person."""
    change.state = ChangeState.AWAITING_APPROVAL
    change.approved_fingerprint, change.approval_expires_at = "", None
    change.decided_by, change.decided_by_name = None, ""
    change.decided_at, change.decision_comment = None, ""
