"""Walks the chain and gives two verdicts apart: integrity, and completeness.

Integrity: no entry was changed, removed, inserted or moved, and no signed head is contradicted.
Completeness: nothing was cut off the end, which only an anchor kept outside the database can show.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.db import connection

from batchops.models import Action, AuditEntry, AuditHead
from batchops.services import audit_anchors, audit_diagnosis, audit_rows
from batchops.services.audit_anchors import Anchor, BadAnchor
from batchops.services.audit_diagnosis import Fault, Kind
from batchops.services.audit_form import GENESIS, Row, canonical_row

Progress = Callable[[int, int], None]
"""Called with the rows checked so far and the rows there are to check."""

TELLING: Final = frozenset((Action.AUDIT_ANCHORED.value, Action.AUDIT_ARCHIVED.value))
"""Actions whose entries say something about the chain itself."""


@dataclass(slots=True)
class Verdict:
    """What a walk along the chain found."""

    first: int = 0
    last: int = 0
    last_hash: str = GENESIS
    rows: int = 0
    seconds: float = 0.0
    integrity: Fault | None = None
    """The first fault; None: nothing was altered, as far as `trusted_through` reaches."""
    completeness: Fault | None = None
    """Set when the end was cut off."""
    anchored_through: int | None = None
    """The last entry that an anchor kept outside the database confirms."""
    signed_through: int | None = None
    """The last entry that a valid signature inside the trail confirms."""
    signed_heads: int = 0
    anchors_used: int = 0
    anchors_too_old: int = 0
    """Anchors of entries that are not kept any more, or that the walk did not reach."""

    @property
    def is_good(self) -> bool:
        return self.integrity is None and self.completeness is None

    @property
    def trusted_through(self) -> int | None:
        """Up to here, not even the owner of the database can have rewritten the chain."""
        known = [end for end in (self.anchored_through, self.signed_through) if end is not None]
        return max(known) if known else None

    @property
    def rows_per_second(self) -> float:
        return self.rows / self.seconds if self.seconds else 0.0

    def cannot_exclude(self) -> list[str]:
        """What this verdict leaves open, in words."""
        left = []
        if self.trusted_through is None:
            left.append(
                "that whoever owns the database rewrote entries and computed the chain anew: "
                "no signed head and no anchor from elsewhere speaks against it"
            )
        elif self.trusted_through < self.last:
            left.append(
                f"that whoever owns the database rewrote entries after {self.trusted_through}, "
                "the last that a signed head or an anchor confirms"
            )
        if self.anchored_through is None:
            left.append("that entries were cut off the end: no anchor from elsewhere was given")
        elif self.anchored_through < self.last:
            left.append(f"that entries were cut off after {self.last}")
        return left


@dataclass(slots=True)
class _Walk:
    """Where a walk is, and what it has to compare with on its way."""

    anchors: dict[int, list[Anchor]]
    keys: Mapping[str, Ed25519PublicKey]
    verdict: Verdict = field(default_factory=Verdict)
    expected: int = 1
    previous_hash: str = GENESIS
    open_cut: tuple[int, str] | None = None
    last_confirmed: int = 0


def verify(
    *,
    since: int | None = None,
    anchors: Iterable[Anchor] = (),
    progress: Progress = lambda *_: None,
) -> Verdict:
    """Check the chain from an entry on (or all of it) up to the head as it is now.

    Writers may go on meanwhile. Raises `audit_anchors.BadKey` for a key that cannot be used.
    """
    started = time.perf_counter()
    head = AuditHead.objects.filter(pk=1).first() or AuditHead()
    walk = _Walk(_by_sequence(anchors), audit_anchors.public_keys())
    _begin(walk, since)
    total = max(0, head.sequence - walk.expected + 1)
    for rows in audit_rows.chain(after=walk.expected - 1, through=head.sequence):
        walk.verdict.integrity = _check(walk, rows)
        walk.verdict.rows += len(rows)
        progress(walk.verdict.rows, total)
        if walk.verdict.integrity is not None:
            break
    _conclude(walk, head)
    walk.verdict.seconds = time.perf_counter() - started
    return walk.verdict


def _by_sequence(anchors: Iterable[Anchor]) -> dict[int, list[Anchor]]:
    found: dict[int, list[Anchor]] = {}
    for anchor in anchors:
        found.setdefault(anchor.sequence, []).append(anchor)
    return found


def _begin(walk: _Walk, since: int | None) -> None:
    """Find the entry to begin with, and what it has to follow."""
    start = max(1, since or 1)
    first = AuditEntry.objects.filter(sequence__gte=start).order_by("sequence").first()
    if first is None:
        return
    before = AuditEntry.objects.filter(sequence__lt=start).order_by("-sequence").first()
    if before is not None:
        walk.expected, walk.previous_hash = before.sequence + 1, before.hash
    elif first.sequence > 1:
        # What came before was archived, which a later entry has to confirm.
        walk.expected, walk.previous_hash = first.sequence, first.previous_hash
        walk.open_cut = (first.sequence - 1, first.previous_hash)
    walk.verdict.first = walk.expected
    walk.last_confirmed = walk.expected - 1


def _check(walk: _Walk, rows: list[Row]) -> Fault | None:
    """Follow the chain through a slice; the first fault in it."""
    expected, previous = walk.expected, walk.previous_hash
    sha256, anchors = hashlib.sha256, walk.anchors
    for row in rows:
        digest = sha256(f"{previous}\n{canonical_row(row)}".encode()).hexdigest()
        if row[0] != expected or row[-2] != previous or row[-1] != digest:
            return audit_diagnosis.diagnose(row, expected, previous)
        if row[2] in TELLING and (fault := _listen(walk, row)):
            return fault
        previous = digest
        if expected in anchors and (fault := _compare(walk, row)):
            return fault
        expected += 1
    walk.expected, walk.previous_hash = expected, previous
    return None


def _listen(walk: _Walk, row: Row) -> Fault | None:
    """Compare the chain with what an entry says about it."""
    detail = _object(row.detail)
    if row.action == Action.AUDIT_ARCHIVED:
        if walk.open_cut == (detail.get("through"), detail.get("hash")):
            walk.open_cut = None
        return None
    try:
        anchor = Anchor.from_json(detail)
    except BadAnchor as error:
        return Fault(Kind.REWRITTEN, row.sequence, f"Its signed head cannot be read: {error}")
    if (anchor.sequence, anchor.hash) != (row.sequence - 1, row.previous_hash):
        return _rewritten(walk, anchor, f"the head signed in entry {row.sequence}")
    if not anchor.key_id:
        return None
    if not _is_signed(walk, anchor):
        return Fault(
            Kind.REWRITTEN,
            row.sequence,
            f"The head in it is signed with a key (id {anchor.key_id}) that is not known here, or "
            "the signature is false. Add older public keys to AUDIT_PUBLIC_KEYS; otherwise "
            f"entries after {walk.last_confirmed} may have been rewritten.",
        )
    walk.verdict.signed_heads += 1
    walk.verdict.signed_through = walk.last_confirmed = anchor.sequence
    return None


def _compare(walk: _Walk, row: Row) -> Fault | None:
    """Compare an entry with the anchors of it that were kept elsewhere."""
    for anchor in walk.anchors[row.sequence]:
        if anchor.hash != row.hash:
            return _rewritten(walk, anchor, "an anchor kept elsewhere")
        walk.verdict.anchors_used += 1
    walk.verdict.anchored_through = walk.last_confirmed = row.sequence
    return None


def _rewritten(walk: _Walk, anchor: Anchor, what: str) -> Fault:
    when = f" of {anchor.at}" if anchor.at else ""
    return Fault(
        Kind.REWRITTEN,
        walk.last_confirmed + 1,
        f"Entries were rewritten and the chain computed anew, somewhere from this one on: {what}"
        f"{when} gives entry {anchor.sequence} another hash.",
    )


def _is_signed(walk: _Walk, anchor: Anchor) -> bool:
    key = walk.keys.get(anchor.key_id)
    return key is not None and audit_anchors.is_signed_by(anchor, key)


def _conclude(walk: _Walk, head: AuditHead) -> None:
    """Judge the beginning, the end and the anchors that the walk could not meet."""
    verdict = walk.verdict
    verdict.last, verdict.last_hash = walk.expected - 1, walk.previous_hash
    if verdict.integrity is not None:
        return
    if walk.open_cut is not None:
        verdict.integrity = Fault(
            Kind.REMOVED,
            walk.open_cut[0],
            "Entries up to this one are missing, and no entry says that they were archived.",
        )
        return
    verdict.integrity = _beyond_the_head() or _wrong_head(verdict, head)
    verdict.completeness = _cut_off(walk, head)
    verdict.anchors_too_old = sum(
        len(found) for sequence, found in walk.anchors.items() if sequence < verdict.first
    )


def _beyond_the_head() -> Fault | None:
    table, heads = AuditEntry._meta.db_table, AuditHead._meta.db_table
    with connection.cursor() as cursor:
        # One statement, so that a writer cannot come in between.
        cursor.execute(
            f"SELECT (SELECT MAX(sequence) FROM {table}), (SELECT MAX(sequence) FROM {heads})"  # noqa: S608
        )
        last, head = cursor.fetchone()
    if (last or 0) <= (head or 0):
        return None
    return Fault(Kind.INSERTED, head + 1, "It lies behind the head: batchops did not write it.")


def _wrong_head(verdict: Verdict, head: AuditHead) -> Fault | None:
    if verdict.last != head.sequence or verdict.last_hash == head.hash:
        return None
    return Fault(
        Kind.REWRITTEN,
        head.sequence,
        "The last entry has another hash than the head: one of the two was rewritten.",
    )


def _cut_off(walk: _Walk, head: AuditHead) -> Fault | None:
    last = walk.verdict.last
    ends = [(head.sequence, "the head of the chain stands")]
    ends += [
        (sequence, f"an anchor kept elsewhere{f' of {found[0].at}' if found[0].at else ''} stands")
        for sequence, found in walk.anchors.items()
    ]
    end, what = max(ends)
    if end <= last:
        return None
    return Fault(
        Kind.CUT_OFF, last + 1, f"Entries are missing from here on: {what} at entry {end}."
    )


def _object(text: str | None) -> dict[str, Any]:
    try:
        value = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
