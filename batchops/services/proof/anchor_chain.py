"""The rules that the anchors stored in the trail follow, one after the other.

They are numbered without a gap, name the anchor before, come in time (the first of them after the
first entry), and are signed where a key is known. What is wrong with their order is a fault until a
signed anchor says that a person has looked into it; what is wrong with their content is one for
ever.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from batchops.audit.canonical_form import GENESIS
from batchops.services.anchors.anchor import Anchor, is_signed
from batchops.services.proof.diagnosis import Fault, FaultKind


@dataclass(slots=True)
class AnchorChain:
    """Where the anchors of a trail are, and the first fault in their order."""

    keys: Mapping[str, Ed25519PublicKey]
    begins_here: bool = True
    """Whether the first anchor met has to be the first that there is."""
    begun_at: str = ""
    """When the first entry met was written."""
    latest: Anchor | None = None
    signed: int = 0
    signed_through: int | None = None
    fault: Fault | None = None
    """What is wrong with the order, and acknowledged by nobody."""
    acknowledged: list[tuple[Fault | None, Anchor]] = field(default_factory=list)
    lost: list[range] = field(default_factory=list)
    """Numbers of anchors that an acknowledged fault took away."""

    def take(self, anchor: Anchor, entry: int) -> Fault | None:
        """Go on to the anchor in an entry; a fault that nobody can acknowledge is returned."""
        before = self.latest
        if anchor.key_id and not is_signed(anchor, self.keys):
            return Fault(
                FaultKind.REWRITTEN,
                entry,
                f"The anchor in it is signed with a key (id {anchor.key_id}) that is not known "
                "here, or the signature is false. Add older public keys to AUDIT_PUBLIC_KEYS; "
                f"otherwise entries after {self.signed_through or 0} may have been rewritten.",
            )
        previous = before.digest() if before else GENESIS if self.begins_here else anchor.previous
        if anchor.previous != previous:
            return Fault(
                FaultKind.REWRITTEN, entry, "The anchor in it does not follow the anchor before it."
            )
        if anchor.is_acknowledgement and (anchor.key_id or not self.keys):
            self._acknowledge(anchor)
        else:
            self._judge(anchor, entry)
        if anchor.key_id:
            self.signed += 1
            self.signed_through = anchor.sequence
        self.latest = anchor
        return None

    def end(self, moment: dt.datetime | None, next_entry: int) -> Fault | None:
        """The first fault in the order, given the moment up to which no further anchor came."""
        latest = self.latest
        if self.fault is not None or not self.keys:
            return self.fault
        if latest is None or not latest.key_id:
            return Fault(
                FaultKind.NOT_ANCHORED,
                next_entry,
                "A signing key is known, but no signed anchor confirms the trail up to here. "
                "On a new trail, sign the first: manage.py anchor_audit. Where signing begins on "
                "an older one, say so: manage.py acknowledge_audit.",
            )
        if moment is not None and latest.is_late(moment):
            return Fault(
                FaultKind.NOT_ANCHORED,
                next_entry,
                f"The last anchor is of {latest.at}; the next was due after {latest.interval} "
                "seconds and is missing.",
            )
        return None

    def unsigned_too_long(self, moment: dt.datetime | None, interval: int) -> Fault | None:
        """The fault of a trail whose first signed anchor comes at this moment, if it is too late.

        Whoever removes all anchors leaves a trail that looks as if signing were about to begin.
        """
        is_begun = self.latest is not None and bool(self.latest.key_id)
        first = Anchor(0, GENESIS, self.begun_at, interval=interval)
        if not self.keys or is_begun or not self.begun_at or not first.is_late(moment):
            return None
        return Fault(
            FaultKind.NOT_ANCHORED,
            (self.latest.entry if self.latest else 0) + 1,
            f"No signed anchor confirms what was recorded from {self.begun_at} on. Either signing "
            "begins only now, or anchors were removed: find out, then say so: "
            "manage.py acknowledge_audit.",
        )

    def _judge(self, anchor: Anchor, entry: int) -> None:
        before = self.latest
        expected = before.number + 1 if before else 1 if self.begins_here else anchor.number
        if anchor.number != expected or anchor.number < 1:
            self._blame(entry, f"It holds anchor {anchor.number} where {expected} should be.")
        if not self.keys:
            return
        if before is None or not before.key_id:
            if anchor.key_id:
                late = self.unsigned_too_long(anchor.moment, anchor.interval)
                self.fault = self.fault or late
        elif not anchor.key_id:
            self._blame(entry, "The anchor in it is not signed, though the one before is.")
        elif before.is_late(anchor.moment):
            self._blame(
                entry,
                f"The anchor in it came late: the one before is of {before.at}, with the next due "
                f"after {before.interval} seconds; this is of {anchor.at}.",
            )

    def _blame(self, entry: int, message: str) -> None:
        self.fault = self.fault or Fault(FaultKind.NOT_ANCHORED, entry, message)

    def _acknowledge(self, anchor: Anchor) -> None:
        after = self.latest.number if self.latest else 0
        self.lost.append(range(after + 1, anchor.number))
        self.acknowledged.append((self.fault, anchor))
        self.fault = None
