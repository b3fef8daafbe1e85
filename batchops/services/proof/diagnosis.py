"""How the first bad entry is bad: what was done to the trail, as far as its rows tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from django.db import models

from batchops.audit.canonical_form import Row, row_hash
from batchops.models import AuditEntry
from batchops.services.trail import stored_rows

NEIGHBOURHOOD: Final = 1_000
"""How far around an entry its original number is looked for."""


class FaultKind(models.TextChoices):
    """What was done to the trail."""

    CHANGED = "changed", "changed"
    REMOVED = "removed", "removed"
    INSERTED = "inserted", "inserted"
    REORDERED = "reordered", "reordered"
    REWRITTEN = "rewritten", "rewritten with a recomputed chain"
    CUT_OFF = "cut off", "cut off at the end"
    NOT_ANCHORED = "not anchored", "not anchored as promised"
    FORGED = "forged", "not written by batchops"


@dataclass(frozen=True, slots=True)
class Fault:
    """The first entry that is not as it was written, and how."""

    kind: FaultKind
    sequence: int
    message: str

    def __str__(self) -> str:
        return f"Entry {self.sequence} was {self.kind.label}. {self.message}"


def diagnose(row: Row, expected: int, previous_hash: str) -> Fault:
    """Name what was done, given the first row that does not continue the chain."""
    if row.sequence != expected:
        return Fault(FaultKind.REMOVED, expected, f"The next entry is {row.sequence}.")
    fits_itself = row_hash(row) == row.hash
    links = row.previous_hash == previous_hash
    original = None if fits_itself or links else _original_number(row)
    if original is not None and original > row.sequence:
        return _moved_down(row, original, previous_hash)
    following = _at(row.sequence + 1)
    if following is not None and following.previous_hash == previous_hash:
        return Fault(FaultKind.INSERTED, row.sequence, "The next entry follows the one before it.")
    if links:
        return Fault(FaultKind.CHANGED, row.sequence, "Its content does not match its hash.")
    if fits_itself:
        return _broken_link(row, following)
    if original is not None:
        return Fault(
            FaultKind.INSERTED,
            row.sequence - 1,
            f"The next entry was written as number {original} and moved up.",
        )
    return Fault(
        FaultKind.CHANGED, row.sequence, "Neither its content nor its place matches its hash."
    )


def _broken_link(row: Row, following: Row | None) -> Fault:
    """A row that fits its own hash, but does not name the hash before as the one before."""
    before = _at(row.sequence - 1)
    if before is None or (following is not None and following.previous_hash != row.hash):
        return Fault(
            FaultKind.CHANGED, row.sequence, "Its previous hash is not that of the entry before it."
        )
    return Fault(
        FaultKind.CHANGED,
        before.sequence,
        "Its hash was recomputed: the next entry remembers another one.",
    )


def _moved_down(row: Row, original: int, previous_hash: str) -> Fault:
    """A row that was written under a higher number: what was here was removed, or put elsewhere."""
    displaced = AuditEntry.objects.filter(previous_hash=previous_hash).first()
    if displaced is not None:
        return Fault(
            FaultKind.REORDERED,
            row.sequence,
            f"It was written as number {original}; what was here is now {displaced.sequence}.",
        )
    return Fault(
        FaultKind.REMOVED, row.sequence, f"What stands here now was written as number {original}."
    )


def _original_number(row: Row) -> int | None:
    for distance in range(1, NEIGHBOURHOOD + 1):
        for number in (row.sequence + distance, row.sequence - distance):
            if row_hash(row._replace(sequence=number)) == row.hash:
                return number
    before = AuditEntry.objects.filter(hash=row.previous_hash).first()
    if before is not None:
        number = before.sequence + 1
        if row_hash(row._replace(sequence=number)) == row.hash:
            return number
    return None


def _at(sequence: int) -> Row | None:
    rows = stored_rows.by_sequences([sequence])
    return rows[0] if rows else None
