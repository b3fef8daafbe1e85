"""Four eyes: another person approves or rejects a change before it runs.

What was approved is what runs: the engine compares the fingerprint once more before the start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction
from django.utils import timezone

from batchops import permissions
from batchops.models import Action, Change
from batchops.services import audit, changes, drafts, permits, unsent, wake
from batchops.services.errors import ChangeError, InvalidInput, WrongState

if TYPE_CHECKING:
    from django.contrib.auth.models import User

State = Change.State


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
        changes.open_window(change)
        change.state = changes.ready_state(change)
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
    unsent.stop_waiting(change, actor, "Rejected.", unsent.AT_ONCE)
    changes.refresh_counts(change)
    return change


def _decidable(change: Change, user: User, actor: audit.Actor) -> Change:
    change = changes.locked(change)
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
    change.decision_comment = audit.storable_text(comment.strip(), changes.REASON_LIMIT)
    change.save()
    audit.record(
        audit.Fact.about_change(
            action,
            actor,
            change,
            detail={"comment": change.decision_comment, "fingerprint": change.fingerprint},
        )
    )
