"""Reviews of the trail: marked as reviewed, sampled at random, signed off. Each is an entry itself.

Which entries are covered is kept as ranges of sequences that never overlap, so that "not yet
reviewed" is answered quickly however much was reviewed.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import random
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from django.db import connection, transaction
from django.db.models import Max, QuerySet
from django.utils import timezone

from batchops import permissions
from batchops.models import Action, AuditEntry, AuditReviewedRange
from batchops.services import audit, audit_queries, permits
from batchops.services.audit_filter import TrailFilter
from batchops.services.errors import InvalidInput

if TYPE_CHECKING:
    from django.contrib.auth.models import User

CHUNK: Final = 5_000
COMMENT_LIMIT: Final = 2_000
LARGEST_SAMPLE: Final = 1_000
REVIEW_LOCK: Final = 0x6261746368
"""Number of the advisory lock on PostgreSQL."""
LISTED: Final = 1_000
"""Most sequences that a review lists one by one in its entry."""


@dataclass(frozen=True, slots=True)
class Review:
    """What was recorded: the entry, how many entries it covers, and how many of them anew."""

    entry: AuditEntry
    entries: int
    newly: int


@dataclass(frozen=True, slots=True)
class Sample:
    """A random sample; the same seed over the same entries draws it again."""

    entry: AuditEntry
    seed: str
    population: int
    sequences: tuple[int, ...]


@permits.records_denials
def mark_entries(
    sequences: Sequence[int], *, user: User, actor: audit.Actor, comment: str
) -> Review:
    """Mark entries as reviewed. Raises NotAllowed, or InvalidInput (with the field)."""
    permits.require(user, permissions.REVIEW_TRAIL, actor)
    found = AuditEntry.objects.filter(pk__in=list(sequences)[:CHUNK]).order_by("sequence")
    return _mark(found, actor, comment, "chosen entries")


@permits.records_denials
def mark_filtered(
    trail_filter: TrailFilter, *, user: User, actor: audit.Actor, comment: str
) -> Review:
    """Mark all entries that match a filter now as reviewed. Raises as `mark_entries` does."""
    permits.require(user, permissions.REVIEW_TRAIL, actor)
    return _mark(audit_queries.entries(trail_filter), actor, comment, trail_filter.describe())


@permits.records_denials
def draw_sample(
    trail_filter: TrailFilter,
    size: int,
    *,
    user: User,
    actor: audit.Actor,
    seed: str = "",
) -> Sample:
    """Draw entries at random out of those that match, and record which and by what seed.

    Every match is as likely as any other. Raises NotAllowed, or InvalidInput (with the field).
    """
    permits.require(user, permissions.REVIEW_TRAIL, actor)
    if not 1 <= size <= LARGEST_SAMPLE:
        raise InvalidInput(f"Draw between 1 and {LARGEST_SAMPLE:,} entries.", "size")
    seed = audit.storable_text(seed.strip(), 100) or secrets.token_hex(16)
    found = audit_queries.entries(trail_filter).order_by("sequence")
    chosen, population = _reservoir(_keys(found), size, seed)
    if not population:
        raise InvalidInput("No entry matches this filter, so there is nothing to draw from.")
    sequences = tuple(sorted(chosen))
    entry = audit.record_now(
        audit.Fact(
            Action.AUDIT_SAMPLED,
            actor,
            outcome="ok",
            detail={
                "entries": len(sequences),
                "population": population,
                "filter": trail_filter.describe(),
                "seed": seed,
                "sequences": sequences,
            },
        )
    )[0]
    return Sample(entry, seed, population, sequences)


@permits.records_denials
def sign_off(
    since: dt.datetime, until: dt.datetime, *, user: User, actor: audit.Actor, comment: str
) -> Review:
    """Sign off a period that is over (`until` is exclusive; both aware).

    All of its entries count as reviewed from then on; the entry says how many were reviewed one
    by one before. Raises NotAllowed, or InvalidInput (with the field).
    """
    permits.require(user, permissions.REVIEW_TRAIL, actor)
    period = TrailFilter(since=since, until=until)
    if until > timezone.now():
        raise InvalidInput("A period can be signed off once it is over.", "until")
    return _mark(
        audit_queries.entries(period), actor, comment, period.describe(), Action.AUDIT_SIGNED_OFF
    )


def review_of(sequence: int) -> AuditEntry | None:
    """The entry of the review that covers an entry; None when it is not reviewed."""
    nearest = AuditReviewedRange.objects.filter(first__lte=sequence).order_by("-first").first()
    if nearest is None or nearest.last < sequence:
        return None
    return AuditEntry.objects.filter(pk=nearest.review).first()


def reviewed_among(sequences: Iterable[int]) -> set[int]:
    """Those of some entries that are reviewed."""
    wanted = set(sequences)
    if not wanted:
        return set()
    found = AuditEntry.objects.filter(pk__in=wanted)
    return wanted - set(audit_queries.not_reviewed(found).values_list("sequence", flat=True))


def _mark(
    found: QuerySet[AuditEntry],
    actor: audit.Actor,
    comment: str,
    description: str,
    action: Action = Action.AUDIT_REVIEWED,
) -> Review:
    comment = comment.strip()
    if not comment:
        raise InvalidInput(
            "Say what you checked: the comment becomes part of the trail.", "comment"
        )
    if len(comment) > COMMENT_LIMIT:
        raise InvalidInput(f"Keep the comment below {COMMENT_LIMIT:,} characters.", "comment")
    with transaction.atomic():
        _one_reviewer_at_a_time()
        newest = AuditEntry.objects.aggregate(newest=Max("sequence"))["newest"] or 0
        found = found.filter(sequence__lte=newest).order_by("sequence")
        own = found.filter(audit_queries.by_person(actor.name)).count()
        covered = _Covered()
        covered.take(_keys(found))
        if not covered.entries:
            raise InvalidInput("No entry matches, so there is nothing to review.")
        detail = {**covered.to_json(), "own": own, "filter": description}
        fact = audit.Fact(action, actor, outcome="ok", reason=comment, detail=detail)
        entry = audit.record(fact)[0]
        AuditReviewedRange.objects.filter(review=covered.token).update(review=entry.sequence)
    return Review(entry, covered.entries, covered.newly)


def _one_reviewer_at_a_time() -> None:
    """Keep two reviewers from covering the same entries; SQLite has one writer anyway."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [REVIEW_LOCK])


class _Covered:
    """Writes the ranges that a review covers anew, while it counts and digests all it covers.

    The trail is not locked meanwhile, so the review's own sequence is not known yet: a negative
    token stands for it.
    """

    def __init__(self) -> None:
        self.token = -secrets.randbelow(2**62) - 1
        self.entries = self.newly = self.first = self.last = 0
        self.listed: list[int] = []
        self.digest = hashlib.sha256()
        self._open: tuple[int, int] | None = None

    def take(self, sequences: Iterator[int]) -> None:
        for chunk in _chunks(sequences):
            self._count(chunk)
            known = _Known(chunk[0], chunk[-1])
            self._write(ranges(sequence for sequence in chunk if sequence not in known))
        if self._open is not None:
            self._save([self._open])

    def to_json(self) -> dict[str, Any]:
        """What the entry keeps: enough to tell later exactly which entries were covered.

        `digest` is SHA-256 over the sequences in decimal, each followed by a line feed.
        """
        return {
            "entries": self.entries,
            "newly": self.newly,
            "first": self.first,
            "last": self.last,
            "digest": self.digest.hexdigest(),
            "sequences": self.listed if self.entries <= LISTED else [],
        }

    def _count(self, chunk: list[int]) -> None:
        self.first = self.first or chunk[0]
        self.last = chunk[-1]
        self.entries += len(chunk)
        self.listed += chunk[: LISTED - len(self.listed)]
        self.digest.update("".join(f"{sequence}\n" for sequence in chunk).encode())

    def _write(self, found: Iterable[tuple[int, int]]) -> None:
        """Save all ranges but the last, which the next chunk may go on with."""
        done: list[tuple[int, int]] = []
        for first, last in found:
            self.newly += last - first + 1
            if self._open is not None and self._open[1] + 1 == first:
                first = self._open[0]
            elif self._open is not None:
                done.append(self._open)
            self._open = (first, last)
        self._save(done)

    def _save(self, done: list[tuple[int, int]]) -> None:
        AuditReviewedRange.objects.bulk_create(
            AuditReviewedRange(first=first, last=last, review=self.token) for first, last in done
        )


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


def _reservoir(sequences: Iterator[int], size: int, seed: str) -> tuple[list[int], int]:
    """A uniform sample of a stream in one pass (Algorithm R); also how long the stream was."""
    # Reproducible on purpose: an auditor draws the same sample again from the recorded seed.
    chance = random.Random(seed)  # noqa: S311
    chosen: list[int] = []
    number = 0
    for number, sequence in enumerate(sequences, start=1):
        if number <= size:
            chosen.append(sequence)
        elif (place := chance.randrange(number)) < size:
            chosen[place] = sequence
    return chosen, number


def _keys(found: QuerySet[AuditEntry]) -> Iterator[int]:
    """The sequences of a query in ascending order, read in slices."""
    after = 0
    while True:
        part = found.filter(sequence__gt=after).order_by("sequence")
        keys = list(part.values_list("sequence", flat=True)[:CHUNK])
        if not keys:
            return
        yield from keys
        after = keys[-1]


def _chunks(sequences: Iterator[int]) -> Iterator[list[int]]:
    chunk: list[int] = []
    for sequence in sequences:
        chunk.append(sequence)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
