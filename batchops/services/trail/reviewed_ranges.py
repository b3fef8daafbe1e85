"""Which entries are reviewed, as ranges of sequences that never overlap; written in slices.

A review of a million entries must not hold the database's lock for long. So its ranges are written
under a negative token first, which counts for nothing; then the entry that records the review is
written, with the token and a digest of the ranges; then the ranges are handed over to it. What a
crash left between is finished or taken back by whoever reviews next.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Iterator
from typing import Any, Final

from django.db.models import QuerySet

from batchops.models import Action, AuditEntry, AuditReviewedRange
from batchops.services.bulk import in_chunks
from batchops.services.trail.slices import STEP_ROWS, Lease, in_slices

CHUNK: Final = 5_000
LISTED: Final = 1_000
"""Most sequences that a review lists one by one in its entry."""
REVIEWS: Final = (Action.AUDIT_REVIEWED, Action.AUDIT_SIGNED_OFF)


class Covered:
    """What a review covers: counted, digested, and the ranges that no review covered before."""

    def __init__(self, sequences: Iterator[int]) -> None:
        self.entries = self.newly = self.first = self.last = 0
        self._listed: list[int] = []
        self._digest = hashlib.sha256()
        self._firsts, self._lasts = array("q"), array("q")
        for chunk in in_chunks(sequences, CHUNK):
            self._count(chunk)
            known = _Known(chunk[0], chunk[-1])
            for first, last in ranges(number for number in chunk if number not in known):
                self._add(first, last)

    def write(self, token: int, lease: Lease) -> None:
        """Write the new ranges under a token, in slices."""

        def write(pairs: list[tuple[int, int]]) -> None:
            AuditReviewedRange.objects.bulk_create(
                AuditReviewedRange(first=first, last=last, review=token) for first, last in pairs
            )

        in_slices(self._steps(), write, lease)

    def hand_over(self, token: int, review: int, lease: Lease) -> None:
        """Give the ranges of a token to the entry that records the review, in slices."""

        def hand_over(pairs: list[tuple[int, int]]) -> None:
            AuditReviewedRange.objects.filter(
                review=token, first__gte=pairs[0][0], first__lte=pairs[-1][0]
            ).update(review=review)

        in_slices(self._steps(), hand_over, lease)

    def to_json(self) -> dict[str, Any]:
        """What the entry keeps: enough to tell later exactly which entries were covered.

        `digest` is SHA-256 over the sequences in decimal, each followed by a line feed; that of
        the ranges is over "FIRST-LAST" of those that are new, each followed by a line feed.
        """
        return {
            "entries": self.entries,
            "newly": self.newly,
            "first": self.first,
            "last": self.last,
            "digest": self._digest.hexdigest(),
            "ranges": len(self._firsts),
            "ranges_digest": _digest_of(zip(self._firsts, self._lasts, strict=True)),
            "sequences": self._listed if self.entries <= LISTED else [],
        }

    def _steps(self) -> Iterator[list[tuple[int, int]]]:
        for at in range(0, len(self._firsts), STEP_ROWS):
            end = at + STEP_ROWS
            yield list(zip(self._firsts[at:end], self._lasts[at:end], strict=True))

    def _count(self, chunk: list[int]) -> None:
        self.first = self.first or chunk[0]
        self.last = chunk[-1]
        self.entries += len(chunk)
        self._listed += chunk[: LISTED - len(self._listed)]
        self._digest.update("".join(f"{sequence}\n" for sequence in chunk).encode())

    def _add(self, first: int, last: int) -> None:
        self.newly += last - first + 1
        if self._lasts and self._lasts[-1] + 1 == first:
            self._lasts[-1] = last
        else:
            self._firsts.append(first)
            self._lasts.append(last)


class _Known:
    """The reviewed ranges between two sequences, asked in ascending order."""

    def __init__(self, low: int, high: int) -> None:
        self._ranges = list(
            AuditReviewedRange.objects.filter(first__lte=high, last__gte=low)
            .order_by("first")
            .values_list("first", "last")
        )
        self._at = 0

    def __contains__(self, sequence: int) -> bool:
        while self._at < len(self._ranges) and self._ranges[self._at][1] < sequence:
            self._at += 1
        return self._at < len(self._ranges) and self._ranges[self._at][0] <= sequence


def effective() -> QuerySet[AuditReviewedRange]:
    """The ranges that an entry of the trail stands for."""
    return AuditReviewedRange.objects.filter(review__gt=0)


def settle(lease: Lease) -> None:
    """Finish or take back what a crash left of earlier reviews."""
    in_slices(iter(_left_over, None), _settle, lease)


def _left_over() -> AuditReviewedRange | None:
    """The first range of which it is open whether it counts."""
    return AuditReviewedRange.objects.filter(review__lt=0).order_by("first").first()


def _settle(one: AuditReviewedRange) -> None:
    """Settle the next ranges of the same review."""
    review = AuditEntry.objects.filter(action__in=REVIEWS, detail__token=one.review).first()
    mine = AuditReviewedRange.objects.filter(review=one.review).order_by("first")
    last = list(mine.values_list("first", flat=True)[:STEP_ROWS])[-1]
    found = AuditReviewedRange.objects.filter(review=one.review, first__lte=last)
    if review is not None:
        found.update(review=review.sequence)
    else:
        found.delete()


def problems() -> list[str]:
    """What counts as reviewed without an entry of the trail that says so, in words."""
    found, known = [], set()
    for review in AuditEntry.objects.filter(action__in=REVIEWS).order_by("sequence"):
        known.add(review.sequence)
        mine = AuditReviewedRange.objects.filter(review__in=_names(review)).order_by("first")
        digest = _digest_of(mine.values_list("first", "last").iterator(CHUNK))
        if digest != review.detail.get("ranges_digest"):
            found.append(
                f"What counts as reviewed by entry {review.sequence} is not what it covers."
            )
    oldest = AuditEntry.objects.order_by("sequence").values_list("sequence", flat=True).first()
    others = effective().filter(review__gte=oldest or 0).values_list("review", flat=True)
    found += [
        f"Entries count as reviewed by entry {number}, which is no review."
        for number in sorted(set(others.distinct().iterator(CHUNK)) - known)
    ]
    return found


def ranges(sequences: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Ascending sequences as ranges without holes."""
    first = last = None
    for sequence in sequences:
        if first is None or last is None:
            first = last = sequence
        elif sequence == last + 1:
            last = sequence
        else:
            yield first, last
            first = last = sequence
    if first is not None and last is not None:
        yield first, last


def _names(review: AuditEntry) -> list[int]:
    """By what its ranges name a review: its sequence, or still its token."""
    token = review.detail.get("token")
    return [review.sequence, token] if type(token) is int and token < 0 else [review.sequence]


def _digest_of(pairs: Iterable[tuple[int, int]]) -> str:
    digest = hashlib.sha256()
    for first, last in pairs:
        digest.update(f"{first}-{last}\n".encode())
    return digest.hexdigest()
