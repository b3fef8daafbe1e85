"""Follows the chain row by row, and compares it with anchors from inside and outside.

The rows may come from archive files first and from the database then: one chain, one walk.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from batchops.audit.canonical_form import GENESIS, Row, canonical_row, json_object
from batchops.models import Action
from batchops.services.anchors.anchor import Anchor, BadAnchor
from batchops.services.proof import diagnosis
from batchops.services.proof.anchor_chain import AnchorChain
from batchops.services.proof.diagnosis import Fault, FaultKind
from batchops.services.trail.sentences import shown

TELLING: Final = frozenset(
    action.value
    for action in (Action.AUDIT_ANCHORED, Action.AUDIT_ARCHIVED, Action.AUDIT_ARCHIVE_REQUESTED)
)
"""Actions whose entries say something about the chain itself."""


@dataclass(frozen=True, slots=True)
class Archived:
    """What an entry says was archived."""

    entry: int
    first: int
    through: int
    hash: str
    file: str
    by: str
    at: str

    def __str__(self) -> str:
        return f"archived by {self.by} on {self.at[:10]} to {self.file} (entry {self.entry})"


@dataclass(slots=True)
class Walk:
    """Where a walk is, what it has met, and what it has to compare with on its way."""

    anchors: AnchorChain
    outside: Mapping[int, list[Anchor]] = field(default_factory=dict)
    """Anchors kept elsewhere, by sequence."""
    first: int = 1
    expected: int = 1
    previous_hash: str = GENESIS
    last_confirmed: int = 0
    confirmed_outside: int | None = None
    outside_met: int = 0
    contradicted: list[tuple[Anchor, int]] = field(default_factory=list)
    """Anchors kept elsewhere that the chain does not fit, and the last entry confirmed before."""
    archived: list[Archived] = field(default_factory=list)
    skipped: list[tuple[int, int, str]] = field(default_factory=list)
    """Ranges that were not there to be walked, and the hash that they have to end with."""
    requests: dict[int, str] = field(default_factory=dict)
    """Who asked for an archive, by the number of the entry."""

    def begin(self, sequence: int, previous_hash: str, *, first: bool = False) -> None:
        """Go on at a row that does not follow what was walked. `first`: nothing was, before it."""
        if sequence > self.expected:
            self.skipped.append((self.expected, sequence - 1, previous_hash))
        if first:
            self.first = sequence
        self.anchors.begins_here = sequence == 1
        self.anchors.latest, self.anchors.begun_at = None, ""
        self.expected, self.previous_hash = sequence, previous_hash
        self.last_confirmed = sequence - 1

    def follow(self, rows: Sequence[Row]) -> Fault | None:
        """Follow the chain through a slice; the first fault in it."""
        self.anchors.begun_at = self.anchors.begun_at or str(rows[0].at)
        expected, previous = self.expected, self.previous_hash
        sha256, outside = hashlib.sha256, self.outside
        for row in rows:
            digest = sha256(f"{previous}\n{canonical_row(row)}".encode()).hexdigest()
            if row[0] != expected or row[-2] != previous or row[-1] != digest:
                return diagnosis.diagnose(row, expected, previous)
            if row[2] in TELLING and (fault := self._listen(row)):
                return fault
            previous = digest
            if expected in outside:
                self._compare(row)
            expected += 1
            self.expected, self.previous_hash = expected, previous
        return None

    def rewritten(self, anchor: Anchor, after: int, what: str) -> Fault:
        """The fault that an anchor shows which the chain does not fit."""
        when = f" of {anchor.at}" if anchor.at else ""
        return Fault(
            FaultKind.REWRITTEN,
            after + 1,
            f"Entries were rewritten and the chain recomputed, somewhere from this one on: "
            f"{what}{when} gives entry {anchor.sequence} another hash.",
        )

    def _listen(self, row: Row) -> Fault | None:
        """Compare the chain with what an entry says about it."""
        detail = json_object(row.detail)
        if row.action == Action.AUDIT_ARCHIVE_REQUESTED:
            self.requests[row.sequence] = row.actor_name
            return None
        if row.action == Action.AUDIT_ARCHIVED:
            return self._note_archive(row, detail)
        try:
            anchor = Anchor.from_json(detail)
        except BadAnchor as error:
            return Fault(FaultKind.REWRITTEN, row.sequence, f"Its anchor cannot be read: {error}")
        if (anchor.sequence, anchor.hash) != (row.sequence - 1, row.previous_hash):
            return self.rewritten(
                anchor, self.last_confirmed, f"the anchor in entry {row.sequence}"
            )
        fault = self.anchors.take(anchor, row.sequence)
        if fault is None and anchor.key_id:
            self.last_confirmed = anchor.sequence
        return fault

    def _note_archive(self, row: Row, detail: dict[str, Any]) -> Fault | None:
        numbers = [detail.get(name) for name in ("first", "through", "request")]
        first, through, request = (number if type(number) is int else 0 for number in numbers)
        if not 0 < first <= through < row.sequence:
            return Fault(FaultKind.FORGED, row.sequence, "It archives nothing that there can be.")
        asked_by = self.requests.get(request)
        if asked_by == row.actor_name or (asked_by is None and request >= self.first):
            return Fault(
                FaultKind.FORGED,
                row.sequence,
                "It archives entries that no second person had asked to archive.",
            )
        self.archived.append(
            Archived(
                row.sequence,
                first,
                through,
                str(detail.get("hash", "")),
                shown(str(detail.get("file", ""))),
                shown(row.actor_name),
                row.at,
            )
        )
        return None

    def _compare(self, row: Row) -> None:
        """Compare an entry with the anchors of it that were kept elsewhere."""
        for anchor in self.outside[row.sequence]:
            if anchor.hash != row.hash:
                self.contradicted.append((anchor, self.last_confirmed))
                continue
            self.outside_met += 1
            self.confirmed_outside = self.last_confirmed = row.sequence
