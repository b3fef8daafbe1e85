"""Reviews of the trail: marked as reviewed, sampled at random, signed off. Each is an entry itself.

Which entries are covered is kept as ranges of sequences that never overlap, so that "not yet
reviewed" is answered quickly however much was reviewed.
"""

from __future__ import annotations

import datetime as dt
import random
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from django.db.models import Max, QuerySet
from django.utils import timezone

from batchops import audit, permissions
from batchops.models import Action, AuditEntry
from batchops.services import authorization
from batchops.services.errors import InvalidInput
from batchops.services.trail import reviewed_ranges, search, slices
from batchops.services.trail.reviewed_ranges import CHUNK, Covered
from batchops.services.trail.trail_filter import TrailFilter

if TYPE_CHECKING:
    from django.contrib.auth.models import User

COMMENT_LIMIT: Final = 2_000
LARGEST_SAMPLE: Final = 1_000


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


@authorization.records_denials
def mark_entries(
    sequences: Sequence[int], *, user: User, actor: audit.Actor, comment: str
) -> Review:
    """Mark entries as reviewed. Raises NotAllowed, or InvalidInput (with the field)."""
    authorization.require(user, permissions.REVIEW_TRAIL, actor)
    found = AuditEntry.objects.filter(pk__in=list(sequences)[:CHUNK]).order_by("sequence")
    return _mark(found, actor, comment, "chosen entries")


@authorization.records_denials
def mark_filtered(
    trail_filter: TrailFilter, *, user: User, actor: audit.Actor, comment: str
) -> Review:
    """Mark all entries that match a filter now as reviewed. Raises as `mark_entries` does."""
    authorization.require(user, permissions.REVIEW_TRAIL, actor)
    return _mark(search.entries(trail_filter), actor, comment, trail_filter.describe())


@authorization.records_denials
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
    authorization.require(user, permissions.REVIEW_TRAIL, actor)
    if not 1 <= size <= LARGEST_SAMPLE:
        raise InvalidInput(f"Draw between 1 and {LARGEST_SAMPLE:,} entries.", "size")
    seed = audit.storable_text(seed.strip(), 100) or secrets.token_hex(16)
    found = search.entries(trail_filter).order_by("sequence")
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


@authorization.records_denials
def sign_off(
    since: dt.datetime, until: dt.datetime, *, user: User, actor: audit.Actor, comment: str
) -> Review:
    """Sign off a period that is over (`until` is exclusive; both aware).

    All of its entries count as reviewed from then on; the entry says how many were reviewed one
    by one before. Raises NotAllowed, or InvalidInput (with the field).
    """
    authorization.require(user, permissions.REVIEW_TRAIL, actor)
    period = TrailFilter(since=since, until=until)
    if until > timezone.now():
        raise InvalidInput("A period can be signed off once it is over.", "until")
    return _mark(search.entries(period), actor, comment, period.describe(), Action.AUDIT_SIGNED_OFF)


def review_of(sequence: int) -> AuditEntry | None:
    """The entry of the review that covers an entry; None when it is not reviewed."""
    reviewed = reviewed_ranges.effective()
    nearest = reviewed.filter(first__lte=sequence).order_by("-first").first()
    if nearest is None or nearest.last < sequence:
        return None
    return AuditEntry.objects.filter(pk=nearest.review).first()


def reviewed_among(sequences: Iterable[int]) -> set[int]:
    """Those of some entries that are reviewed."""
    wanted = set(sequences)
    if not wanted:
        return set()
    found = AuditEntry.objects.filter(pk__in=wanted)
    return wanted - set(search.not_reviewed(found).values_list("sequence", flat=True))


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
    with slices.lease("review") as lease:
        reviewed_ranges.settle(lease)
        newest = AuditEntry.objects.aggregate(newest=Max("sequence"))["newest"] or 0
        found = found.filter(sequence__lte=newest).order_by("sequence")
        own = found.filter(search.by_person(actor.name)).count()
        covered = Covered(_keys(found))
        if not covered.entries:
            raise InvalidInput("No entry matches, so there is nothing to review.")
        token = -secrets.randbelow(2**62) - 1
        covered.write(token, lease)
        detail = {**covered.to_json(), "own": own, "filter": description, "token": token}
        fact = audit.Fact(action, actor, outcome="ok", reason=comment, detail=detail)
        entry = audit.record_now(fact)[0]
        covered.hand_over(token, entry.sequence, lease)
    return Review(entry, covered.entries, covered.newly)


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
