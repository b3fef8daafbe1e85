"""Four eyes: another person approves or rejects a change before it runs.

What was approved is what runs: an approval names the fingerprint of what the approver saw, and the
engine compares it once more before the start.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from batchops import audit, permissions
from batchops.models import Action, AuditEntry, Change, ChangeState
from batchops.services import authorization, wake
from batchops.services.changes import fingerprints, lifecycle, terms, unsent
from batchops.services.errors import ChangeError, InvalidInput, Moved, WrongState

if TYPE_CHECKING:
    from django.contrib.auth.models import User


TERMS_MOVED_BY: Final = (
    Action.CHANGE_CONFIRMED,
    Action.CHANGE_RESCHEDULED,
    Action.CHANGE_CONTINUED,
    Action.RESUME_MOVED,
    Action.RESUME_CANCELLED,
)
"""What settles or moves the terms of a change; such an entry names the fingerprint since."""
MOVES_SHOWN: Final = 20


@authorization.records_denials
def approve(
    change: Change, *, user: User, actor: audit.Actor, seen: str, comment: str = ""
) -> Change:
    """Let a change run that others asked for, as the approver saw it: `seen` is its fingerprint.

    Raises NotAllowed (also for whoever determined any of it), Moved when it is no longer what was
    seen, ChangeError when it was tampered with, or WrongState.
    """
    require_may_decide(change, user, actor)
    if not fingerprints.is_whole(change):
        raise ChangeError("This change is no longer what was reviewed. Draft it again.")
    with transaction.atomic():
        change = lifecycle.locked(change)
        _require_decidable(change, user, actor)
        if change.fingerprint != seen:
            words = "This change is no longer what you were shown. Look again before you decide."
            raise Moved(words, change, moved_since(change, seen))
        lifecycle.open_window(change)
        change.fingerprint = change.approved_fingerprint = fingerprints.of(change)
        change.approval_expires_at = expiry(change)
        change.state = lifecycle.ready_state(change)
        _decide(change, user, actor, comment, Action.CHANGE_APPROVED)
        wake.workers(at=change.starts_at)
    return change


@authorization.records_denials
def reject(change: Change, *, user: User, actor: audit.Actor, comment: str) -> Change:
    """Refuse a change that others asked for. Raises as `approve` does."""
    require_may_decide(change, user, actor)
    if not comment.strip():
        raise InvalidInput("Give a reason for rejecting it.", "comment")
    with transaction.atomic():
        change = lifecycle.locked(change)
        _require_decidable(change, user, actor)
        # What may have been sent of it before is settled as of any change that was stopped.
        change.state = ChangeState.STOPPED if change.started_at else ChangeState.REJECTED
        change.finished_at = timezone.now()
        _decide(change, user, actor, comment, Action.CHANGE_REJECTED)
    unsent.stop_waiting(change, actor, "Rejected.", unsent.SYNC_LIMIT)
    lifecycle.refresh_counts(change)
    return change


@authorization.records_denials
def require_may_decide(change: Change, user: User, actor: audit.Actor) -> None:
    """Raise NotAllowed or WrongState, before anything is looked at or locked."""
    change.refresh_from_db()
    authorization.require(user, permissions.APPROVE_CHANGE, actor, change)
    _require_decidable(change, user, actor)


def moved_since(change: Change, seen: str = "") -> Sequence[AuditEntry]:
    """What moved the terms of a change after they had a fingerprint, or since its confirmation."""
    about = AuditEntry.objects.filter(
        change_id=change.pk, batch_id="", action__in=TERMS_MOVED_BY
    ).order_by("-sequence")
    found: list[AuditEntry] = []
    for entry in about[:MOVES_SHOWN]:
        known = entry.detail.get("fingerprint") == seen
        if known or entry.action == Action.CHANGE_CONFIRMED:
            break
        found.append(entry)
    return found[::-1]


def expiry(change: Change) -> dt.datetime | None:
    """Until when an approval given now lets a change start, its schedule counted in."""
    if not settings.APPROVAL_HOURS:
        return None
    start = max(timezone.now(), change.starts_at or timezone.now())
    return start + dt.timedelta(hours=settings.APPROVAL_HOURS)


def require(change: Change) -> bool:
    """Whether a change may start, as far as approval goes; one that has expired is asked for anew.

    Raises ChangeError when it is not what was approved.
    """
    if not change.approval_required:
        return True
    if change.approved_fingerprint != change.fingerprint or not fingerprints.is_whole(change):
        raise ChangeError("This change is not what was approved. Stop it and draft it again.")
    if not lifecycle.has_expired(change):
        return True
    with transaction.atomic():
        change = lifecycle.locked(change)
        if change.state in (ChangeState.QUEUED, ChangeState.SCHEDULED):
            expired = lifecycle.iso(change.approval_expires_at)
            detail = {"approved_by": change.decided_by_name, "expired_at": expired}
            terms.ask_for_approval_again(change)
            change.save()
            system = audit.Actor.system_for(change)
            action = Action.CHANGE_APPROVAL_EXPIRED
            audit.record(audit.Fact.about_change(action, system, change, detail=detail))
    return False


def _require_decidable(change: Change, user: User, actor: audit.Actor) -> None:
    if user.pk in change.author_ids:
        did = "requested" if user.pk == change.requested_by_id else "changed what is requested by"
        raise authorization.denied(
            f"You {did} this change: another person has to decide.", actor, change
        )
    if change.state != ChangeState.AWAITING_APPROVAL:
        raise WrongState("This change is no longer awaiting approval.", change)


def _decide(change: Change, user: User, actor: audit.Actor, comment: str, action: Action) -> None:
    change.decided_by, change.decided_by_name = user, actor.name
    change.decided_at = timezone.now()
    change.decision_comment = audit.storable_text(comment.strip(), terms.REASON_LIMIT)
    change.save()
    detail = {"comment": change.decision_comment, "fingerprint": change.fingerprint}
    if change.approval_expires_at and action == Action.CHANGE_APPROVED:
        detail["expires_at"] = change.approval_expires_at.isoformat()
    audit.record(audit.Fact.about_change(action, actor, change, detail=detail))
