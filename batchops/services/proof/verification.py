"""Walks the chain and judges it: integrity, anchors, completeness, and what is not proven.

Integrity: no entry was changed, removed, inserted or moved, and no anchor is contradicted.
Anchors: where keys are known, signed anchors confirm the trail without a gap and in time.
Completeness: nothing was cut off the end, which only an anchor kept outside the database can show.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.conf import settings
from django.db import connection
from django.utils import timezone

from batchops.audit.canonical_form import GENESIS
from batchops.models import Action, AuditEntry, AuditHead
from batchops.services.anchors import signing_keys
from batchops.services.anchors.anchor import Anchor, is_signed
from batchops.services.proof import archive_files, damage, guards
from batchops.services.proof.anchor_chain import AnchorChain
from batchops.services.proof.diagnosis import Fault, FaultKind
from batchops.services.proof.walk import Walk
from batchops.services.trail import stored_rows

Progress = Callable[[int, int], None]
"""Called with the rows checked so far and the rows there are to check."""


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
    anchoring: Fault | None = None
    """Set when, with keys known, an anchor is missing, unsigned or late."""
    completeness: Fault | None = None
    """Set when the end was cut off."""
    others: list[str] = field(default_factory=list)
    """What else speaks against it, such as a trigger that is gone."""
    unproven: list[str] = field(default_factory=list)
    """Ranges that were archived and whose files were not given."""
    acknowledged: list[str] = field(default_factory=list)
    """Faults that a person let the trail go on after, with their reason."""
    anchored_through: int | None = None
    """The last entry that an anchor kept outside the database confirms."""
    signed_through: int | None = None
    """The last entry that a valid signature inside the trail confirms."""
    signed_anchors: int = 0
    anchors_used: int = 0
    anchors_too_old: int = 0
    """Anchors of entries that are not kept any more, or that the walk did not reach."""

    @property
    def faults(self) -> list[str]:
        """All that speaks against the trail."""
        found = (self.integrity, self.anchoring, self.completeness)
        return [str(fault) for fault in found if fault is not None] + self.others

    @property
    def is_good(self) -> bool:
        return not self.faults

    @property
    def outcome(self) -> str:
        """In a word: ok, not proven, broken."""
        return "broken" if self.faults else "not proven" if self.unproven else "ok"

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
                "that whoever owns the database rewrote entries and recomputed the chain: "
                "no signed anchor and no anchor from elsewhere speaks against it"
            )
        elif self.trusted_through < self.last:
            left.append(
                f"that whoever owns the database rewrote entries after {self.trusted_through}, "
                "the last that an anchor confirms"
            )
        if self.anchored_through is None:
            left.append("that entries were cut off the end: no anchor from elsewhere was given")
        elif self.anchored_through < self.last:
            left.append(f"that entries were cut off after {self.last}")
        return left


def verify(
    *,
    since: int | None = None,
    anchors: Iterable[Anchor] = (),
    archives: Iterable[Path] = (),
    keys: Mapping[str, Ed25519PublicKey] | None = None,
    progress: Progress = lambda *_: None,
) -> Verdict:
    """Check the chain from an entry on (or all of it) up to the head as it is now.

    `archives` hold what is no longer in the database; `keys` replace those of the settings.
    Writers may go on meanwhile. Raises `audit_keys.BadKey`, and InvalidInput for a bad archive.
    """
    started = time.perf_counter()
    files = archive_files.look_into(archives)
    keys = signing_keys.public_keys() if keys is None else keys
    walk = Walk(AnchorChain(keys), _by_sequence(anchors))
    verdict = Verdict()
    head = AuditHead.objects.filter(pk=1).first() or AuditHead()
    oldest = AuditEntry.objects.order_by("sequence").first()
    left_out = 0
    if oldest is not None and since is None:
        left_out = oldest.sequence - 1
        verdict.integrity = _through_archives(walk, files, oldest, verdict)
    elif oldest is not None:
        _begin_at(walk, since or 1)
    if verdict.integrity is None:
        total = verdict.rows + max(0, head.sequence - walk.expected + 1)
        verdict.integrity = _through_database(walk, head.sequence, verdict, progress, total)
    _conclude(walk, verdict, head, left_out)
    verdict.seconds = time.perf_counter() - started
    return verdict


def verified_since_last_anchor(head: AuditHead) -> tuple[Verdict, Walk]:
    """Check what came since the last signed anchor, up to a head; before it is signed itself.

    Where there is no signed anchor, all that is there is checked, and must not be older than what a
    first one may take. After that, being late is no fault here.
    Raises `audit_keys.BadKey`.
    """
    walk, verdict = Walk(AnchorChain(signing_keys.public_keys())), Verdict()
    anchor = last_anchor()
    oldest = AuditEntry.objects.order_by("sequence").first()
    if anchor is not None and is_signed(anchor, walk.anchors.keys):
        walk.begin(anchor.entry, anchor.hash, first=True)
    elif oldest is not None:
        walk.begin(oldest.sequence, oldest.previous_hash, first=True)
    continue_to(head, verdict, walk)
    return verdict, walk


def continue_to(head: AuditHead, verdict: Verdict, walk: Walk) -> None:
    """Follow the chain further, up to a head; what is found is added to the verdict."""
    if verdict.integrity is None:
        verdict.integrity = _through_database(walk, head.sequence, verdict)
    if verdict.integrity is None and (walk.expected - 1, walk.previous_hash) != (
        head.sequence,
        head.hash,
    ):
        verdict.integrity = Fault(
            FaultKind.REWRITTEN, head.sequence, "The last entry is not the one that the head names."
        )
    verdict.anchoring = walk.anchors.fault or walk.anchors.unsigned_too_long(
        timezone.now(), settings.AUDIT_ANCHOR_INTERVAL
    )
    verdict.last, verdict.last_hash = walk.expected - 1, walk.previous_hash


def last_anchor(through: int | None = None) -> Anchor | None:
    """The last anchor that the trail stores, up to an entry; None for none that can be read."""
    found = AuditEntry.objects.filter(action=Action.AUDIT_ANCHORED)
    if through is not None:
        found = found.filter(sequence__lte=through)
    # BadAnchor is an error of a value, too.
    return damage.unless_unreadable(lambda: _anchor_in(found.order_by("-sequence").first()), None)


def _anchor_in(entry: AuditEntry | None) -> Anchor | None:
    return None if entry is None else Anchor.from_json(entry.detail)


def _by_sequence(anchors: Iterable[Anchor]) -> dict[int, list[Anchor]]:
    found: dict[int, list[Anchor]] = {}
    for anchor in anchors:
        found.setdefault(anchor.sequence, []).append(anchor)
    return found


def _begin_at(walk: Walk, since: int) -> None:
    """Begin with an entry in the middle, after the one before it and the anchor before it."""
    first = AuditEntry.objects.filter(sequence__gte=since).order_by("sequence").first()
    if first is None:
        return
    before = AuditEntry.objects.filter(sequence__lt=since).order_by("-sequence").first()
    walk.begin(first.sequence, first.previous_hash, first=True)
    if before is None:
        return
    walk.begin(before.sequence + 1, before.hash, first=True)
    anchor = last_anchor(through=since - 1)
    if anchor is not None and (not anchor.key_id or is_signed(anchor, walk.anchors.keys)):
        walk.anchors.latest = anchor


def _through_archives(
    walk: Walk,
    files: Iterable[archive_files.ArchiveFile],
    oldest: AuditEntry,
    verdict: Verdict,
) -> Fault | None:
    """Follow the chain through what is no longer in the database, and end where that begins."""
    for file in files:
        for rows in file.rows(before=oldest.sequence):
            fresh = [row for row in rows if row.sequence >= walk.expected]
            if not fresh:
                continue
            if fresh[0].sequence != walk.expected:
                walk.begin(fresh[0].sequence, str(fresh[0].previous_hash), first=not verdict.rows)
            if fault := walk.follow(fresh):
                return fault
            verdict.rows += len(fresh)
    if oldest.sequence != walk.expected:
        walk.begin(oldest.sequence, oldest.previous_hash, first=not verdict.rows)
    return None


def _through_database(
    walk: Walk,
    through: int,
    verdict: Verdict,
    progress: Progress = lambda *_: None,
    total: int = 0,
) -> Fault | None:
    for rows in stored_rows.chain(after=walk.expected - 1, through=through):
        fault = walk.follow(rows)
        verdict.rows += len(rows)
        progress(verdict.rows, total)
        if fault is not None:
            return fault
    return None


def _conclude(walk: Walk, verdict: Verdict, head: AuditHead, left_out: int) -> None:
    """Judge the beginning, the end and the anchors that the walk could not meet."""
    chain = walk.anchors
    verdict.first, verdict.last = walk.first if verdict.rows else 0, walk.expected - 1
    verdict.last_hash = walk.previous_hash
    verdict.signed_anchors, verdict.signed_through = chain.signed, chain.signed_through
    verdict.anchored_through, verdict.anchors_used = walk.confirmed_outside, walk.outside_met
    verdict.acknowledged = [_acknowledged(fault, anchor) for fault, anchor in chain.acknowledged]
    verdict.others = guards.problems(head)
    if verdict.integrity is not None:
        return
    verdict.integrity = (
        _left_out(walk, verdict, left_out)
        or _contradicted(walk)
        or _beyond_the_head()
        or _wrong_head(verdict, head)
    )
    verdict.completeness = _cut_off(walk, head)
    if verdict.rows:
        verdict.anchoring = chain.end(timezone.now(), (chain.signed_through or 0) + 1)
    verdict.anchors_too_old = sum(
        len(found) for sequence, found in walk.outside.items() if sequence < verdict.first
    )


def _acknowledged(fault: Fault | None, anchor: Anchor) -> str:
    what = f" after this: {fault}" if fault else ""
    return (
        f"On {anchor.at} {anchor.by} let the trail go on after entry {anchor.sequence}, "
        f"because: {anchor.reason}{what}"
    )


def _left_out(walk: Walk, verdict: Verdict, left_out: int) -> Fault | None:
    """Name what was not walked because it was archived; a fault where nothing says that it was."""
    if not left_out:
        return None
    if not any(note.first <= left_out <= note.through for note in walk.archived):
        return Fault(
            FaultKind.REMOVED,
            left_out,
            "Entries up to this one are missing, and no entry says that they were archived.",
        )
    for first, last, digest in walk.skipped:
        notes = [note for note in walk.archived if note.first <= last and first <= note.through]
        wrong = [note for note in notes if note.through == last and note.hash != digest]
        if wrong:
            return Fault(
                FaultKind.REWRITTEN, last, f"What was {wrong[0]} ended with another hash than this."
            )
        words = "; ".join(str(note) for note in notes) or "archived before"
        verdict.unproven.append(f"Entries {first} to {last} are not proven: {words}.")
    return None


def _contradicted(walk: Walk) -> Fault | None:
    """The first anchor from elsewhere that the chain does not fit, and that nobody gave up."""
    for anchor, confirmed in walk.contradicted:
        if not _given_up(walk, anchor):
            return walk.rewritten(anchor, confirmed, "an anchor kept elsewhere")
    return None


def _given_up(walk: Walk, anchor: Anchor) -> bool:
    return any(anchor.number in numbers for numbers in walk.anchors.lost)


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
    return Fault(
        FaultKind.INSERTED, head + 1, "It lies behind the head: batchops did not write it."
    )


def _wrong_head(verdict: Verdict, head: AuditHead) -> Fault | None:
    if verdict.last != head.sequence or verdict.last_hash == head.hash:
        return None
    return Fault(
        FaultKind.REWRITTEN,
        head.sequence,
        "The last entry has another hash than the head: one of the two was rewritten.",
    )


def _cut_off(walk: Walk, head: AuditHead) -> Fault | None:
    last = walk.expected - 1
    ends = [(head.sequence, "the head of the chain stands")]
    ends += [
        (anchor.sequence, f"an anchor kept elsewhere{_dated(anchor)} stands")
        for found in walk.outside.values()
        for anchor in found
        if not _given_up(walk, anchor)
    ]
    end, what = max(ends)
    if end <= last:
        return None
    return Fault(
        FaultKind.CUT_OFF, last + 1, f"Entries are missing from here on: {what} at entry {end}."
    )


def _dated(anchor: Anchor) -> str:
    return f" of {anchor.at}" if anchor.at else ""
