"""Anchors: the trail's end, signed on a schedule and kept where the database's owner cannot reach.

A hash chain can be recomputed by whoever owns the database. An anchor that was signed, logged,
mailed or written to a file before cannot be taken back, and shows that the chain was rewritten or
cut. Nothing is signed that was not verified since the last signature.
"""

from __future__ import annotations

import datetime as dt
import logging
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from batchops import audit, permissions
from batchops.audit.canonical_form import GENESIS
from batchops.models import Action, AuditHead
from batchops.services import authorization
from batchops.services.anchors import outlets
from batchops.services.anchors.anchor import Anchor, BadAnchor, is_signed, parse_head, signed
from batchops.services.anchors.signing_keys import (
    BadKey,
    generate_key,
    key_id,
    public_keys,
    signing_key,
)
from batchops.services.errors import ChangeError, InvalidInput
from batchops.services.proof import damage, last_seen, verdicts, verification
from batchops.services.proof.verification import Verdict

if TYPE_CHECKING:
    from django.contrib.auth.models import User

__all__ = [
    "Anchor",
    "BadAnchor",
    "BadKey",
    "NotVerified",
    "acknowledge",
    "anchor_head",
    "anchor_if_due",
    "generate_key",
    "key_id",
    "parse_head",
    "public_keys",
    "signed",
    "signing_key",
    "verified_end",
]

logger = logging.getLogger(__name__)


class NotVerified(ChangeError):
    """The trail is not as it was when it was last signed, so it is not signed again."""


def anchor_head() -> Anchor | None:
    """Sign the end of the trail, record that, and send it out; None when nothing is new.

    Signed anchors also come when nothing is new, once they are due: their absence tells. Raises
    NotVerified, and BadKey.
    """
    if problem := last_seen.check():
        raise NotVerified(f"Nothing is signed: {problem}")
    verdict, walk = verification.verified_since_last_anchor(_head())
    with transaction.atomic():
        head = audit.locked_head()
        before = verification.last_anchor()
        is_idle = before is not None and before.entry == head.sequence
        if not head.sequence or (is_idle and _is_early()):
            return None
        verification.continue_to(head, verdict, walk)
        if verdict.is_good:
            anchor = _record(head)
    if not verdict.is_good:
        verdicts.record_once(verdict)
        raise NotVerified(
            f"Nothing is signed: {verdict.faults[0]} Run manage.py verify_audit, and see "
            "manage.py acknowledge_audit."
        )
    last_seen.remember()
    outlets.log(anchor)
    outlets.send_out()
    return anchor


def anchor_if_due() -> Anchor | None:
    """Anchor the trail when that is due, and deliver what could not be delivered before.

    Looks each time whether the trail was rolled back. What speaks against the trail is logged, and
    recorded once as a bad verdict.
    """
    try:
        return _anchor_if_due()
    except NotVerified as error:
        logger.critical("The audit trail is not signed: %s", error)
    except Exception as error:
        if not damage.is_shown_by(error):
            raise
        verdicts.record_once(Verdict(others=[damage.UNREADABLE]))
        logger.critical(damage.UNREADABLE)
    return None


def _anchor_if_due() -> Anchor | None:
    if last_seen.check() or not _is_due():
        outlets.send_out()
        return None
    return anchor_head()


@authorization.records_denials
def acknowledge(reason: str, *, user: User, actor: audit.Actor) -> Anchor:
    """Let the trail go on after a fault: record who says why, and sign its end as it is now.

    What was altered stays a fault for ever; what is late, missing or rolled back is named with the
    reason from then on. Raises NotAllowed, InvalidInput for no reason or none to acknowledge, and
    BadKey.
    """
    authorization.require(user, permissions.ACKNOWLEDGE_TRAIL, actor)
    reason = audit.storable_text(reason.strip(), 500)
    if not reason:
        raise InvalidInput("Say why the trail may go on.", "reason")
    faults = [problem for problem in (last_seen.contradiction(),) if problem]
    faults += verification.verify().faults
    if not faults and last_seen.open_alarm() is None:
        raise InvalidInput("Nothing speaks against the trail, so there is nothing to acknowledge.")
    known = [seen.number for seen in last_seen.all_seen()]
    with transaction.atomic():
        fact = audit.Fact(
            Action.AUDIT_ACKNOWLEDGED,
            actor,
            outcome="ok",
            reason=reason,
            detail={"faults": [fault[:500] for fault in faults[:20]]},
        )
        audit.record(fact)
        anchor = _record(
            audit.locked_head(), after=max(known, default=0), reason=reason, by=actor.name
        )
    last_seen.remember()
    outlets.log(anchor)
    outlets.send_out()
    return anchor


def verified_end() -> tuple[Anchor, Anchor | None]:
    """The end of the trail for an export, and the last anchor that the trail stores.

    The end is signed only where that anchor is, and everything since verifies. Raises BadKey.
    """
    head = _head()
    stored = verification.last_anchor()
    verdict, _walk = verification.verified_since_last_anchor(head)
    previous = stored.digest() if stored else GENESIS
    is_tied = stored is not None and is_signed(stored, public_keys())
    if is_tied and verdict.is_good and not last_seen.contradiction():
        return signed(head.sequence, head.hash, previous=previous), stored
    return Anchor(head.sequence, head.hash, _now(), previous=previous), stored


def _record(head: AuditHead, *, after: int = 0, reason: str = "", by: str = "") -> Anchor:
    """Sign a head that is locked, and make that an entry."""
    before = verification.last_anchor()
    anchor = signed(
        head.sequence,
        head.hash,
        number=max(after, before.number if before else 0) + 1,
        previous=before.digest() if before else GENESIS,
        interval=settings.AUDIT_ANCHOR_INTERVAL,
        reason=reason,
        by=by,
    )
    audit.record(
        audit.Fact(Action.AUDIT_ANCHORED, audit.SYSTEM, outcome="ok", detail=anchor.to_json())
    )
    return anchor


def _head() -> AuditHead:
    return AuditHead.objects.filter(pk=1).first() or AuditHead()


def _is_early() -> bool:
    """Whether an anchor of a trail in which nothing is new would tell nothing."""
    return signing_key() is None or not _is_due()


def _is_due() -> bool:
    last = verification.last_anchor()
    interval = dt.timedelta(seconds=settings.AUDIT_ANCHOR_INTERVAL)
    # One that is dated ahead would put off the next for ever.
    return last is None or last.moment is None or abs(timezone.now() - last.moment) >= interval


def _now() -> str:
    return timezone.now().astimezone(dt.UTC).isoformat(timespec="microseconds")
