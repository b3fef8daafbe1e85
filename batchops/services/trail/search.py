"""Questions reviewers ask of the trail, each answered through an index, page by page.

Pages are cut by sequence (keyset), never by a count. Where one of several values may match, each
value is looked up by its own index and the answers are merged, which stays fast when the matches
are rare or long ago.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from django.db import connection, models
from django.db.models import F, Max, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from batchops.models import Action, AuditEntry, AuditReviewedRange, Batch, Change
from batchops.services.bulk import sql_of
from batchops.services.trail.trail_filter import Origin, TrailFilter

PAGE_SIZE: Final = 50
MOST_MATCHES: Final = 100
"""Changes or batches that one search looks through; the newest are taken."""
CLOCK_SLACK: Final = dt.timedelta(minutes=10)
"""By how much the clocks of two hosts that write the trail may differ."""
WIDE_RANGE: Final = 5_000
"""Reviewed ranges at least this long are skipped as a whole."""

FAILED_OUTCOMES: Final = (
    "refused",
    "failed",
    "not_applied",
    "conflict",
    "denied",
    "halted",
    "with failures",
    "not_confirmed",
    "refuted",
    "unrequested",
    "broken",
)
"""Outcomes that say that something did not go as it was asked."""
OUTSIDE: Final = "outside"


@dataclass(frozen=True, slots=True)
class EntryPage:
    """Entries, newest first. `before` leads to older ones, `after` to newer ones."""

    entries: tuple[AuditEntry, ...]
    before: int | None
    after: int | None
    capped: bool
    """Whether the search matched more changes or batches than it looks through."""


@dataclass(frozen=True, slots=True)
class _Resolved:
    """A filter as database conditions: all of `common`, and one of `branches`."""

    common: Q
    branches: tuple[Q, ...]
    low: int
    high: int | None
    capped: bool = False


def page(
    trail_filter: TrailFilter,
    *,
    before: int | None = None,
    after: int | None = None,
    size: int = PAGE_SIZE,
) -> EntryPage:
    """The newest entries that match, older than `before` or newer than `after` (sequences)."""
    resolved = _resolve(trail_filter)
    newer = after is not None
    spans = _spans(resolved, before, after, trail_filter.not_reviewed)
    if newer:
        spans.reverse()
    found: list[int] = []
    for low, high in spans:
        found += _sequences(resolved, low, high, size + 1 - len(found), newer, trail_filter)
        if len(found) > size:
            break
    more = len(found) > size
    shown = sorted(found[:size], reverse=True)
    entries = AuditEntry.objects.in_bulk(shown)
    ordered = tuple(entries[sequence] for sequence in shown if sequence in entries)
    has_older = more if not newer else before is None and bool(shown)
    has_newer = more if newer else before is not None
    return EntryPage(
        ordered,
        before=shown[-1] if shown and has_older else None,
        after=shown[0] if shown and has_newer else None,
        capped=resolved.capped,
    )


def entries(trail_filter: TrailFilter) -> QuerySet[AuditEntry]:
    """All entries that match, newest first; for exports and reviews, which read them through."""
    resolved = _resolve(trail_filter)
    branches = Q()
    for branch in resolved.branches:
        branches |= branch
    found = AuditEntry.objects.filter(resolved.common, branches, sequence__gte=resolved.low)
    if resolved.high is not None:
        found = found.filter(sequence__lte=resolved.high)
    if trail_filter.not_reviewed:
        found = not_reviewed(found)
    return found.order_by("-sequence")


def not_reviewed(found: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
    """Entries in no reviewed range; the ranges never overlap, so one look-up an entry decides."""
    nearest = AuditReviewedRange.objects.filter(
        first__lte=OuterRef("sequence"), review__gt=0
    ).order_by("-first")
    return found.annotate(
        reviewed_through=Coalesce(
            Subquery(nearest.values("last")[:1]), 0, output_field=models.BigIntegerField()
        )
    ).filter(reviewed_through__lt=F("sequence"))


PERSON_COLUMNS: Final = ("actor_name", "on_behalf_of_name")


def by_person(name: str) -> Q:
    """What a person did, and what batchops did for them."""
    return Q(actor_name=name) | Q(on_behalf_of_name=name)


def first_and_latest(name: str) -> tuple[AuditEntry | None, AuditEntry | None]:
    """The first and the latest entry of a person, each through the indexes."""
    theirs = TrailFilter(person=name)
    ends = (page(theirs, after=0, size=1).entries, page(theirs, size=1).entries)
    first, latest = (next(iter(entries), None) for entries in ends)
    return first, latest


def people(limit: int = 500) -> list[str]:
    """The names that appear in the trail, in order."""
    found = {name for column in PERSON_COLUMNS for name in _names(column, limit)}
    return sorted(found - {""})[:limit]


def _names(column: str, limit: int) -> list[str]:
    """The values of a column; jumps through its index from one to the next."""
    table = AuditEntry._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f"""WITH RECURSIVE names(name) AS (
                  SELECT MIN({column}) FROM {table}
                  UNION ALL
                  SELECT (SELECT MIN({column}) FROM {table} WHERE {column} > names.name)
                  FROM names WHERE names.name IS NOT NULL
                )
                SELECT name FROM names WHERE name IS NOT NULL LIMIT %s""",  # noqa: S608
            [limit],
        )
        return [str(row[0]) for row in cursor.fetchall()]


def sequence_range(since: dt.datetime | None, until: dt.datetime | None) -> tuple[int, int | None]:
    """Sequences between which all entries of a period lie; some of their neighbours may as well.

    Time runs with the sequence but for the clocks of several hosts, hence the slack.
    """
    low, high = 1, None
    if since is not None:
        first = (
            AuditEntry.objects.filter(at__gte=since - CLOCK_SLACK)
            .order_by("at", "sequence")
            .values_list("sequence", flat=True)
            .first()
        )
        newest = AuditEntry.objects.aggregate(newest=Max("sequence"))["newest"] or 0
        low = newest + 1 if first is None else first
    if until is not None:
        last = (
            AuditEntry.objects.filter(at__lt=until + CLOCK_SLACK)
            .order_by("-at", "-sequence")
            .values_list("sequence", flat=True)
            .first()
        )
        high = 0 if last is None else last
    return low, high


def _resolve(trail_filter: TrailFilter) -> _Resolved:
    low, high = sequence_range(trail_filter.since, trail_filter.until)
    common = _plain_conditions(trail_filter)
    resolved = _Resolved(common, (Q(),), low, high)
    person = by_person(trail_filter.person) if trail_filter.person else Q()
    if trail_filter.search:
        branches, capped = _search_branches(trail_filter.search)
        narrowed = _group_condition(trail_filter) & _failed_condition(trail_filter) & person
        return replace(resolved, common=common & narrowed, branches=branches, capped=capped)
    if trail_filter.person:
        narrowed = _group_condition(trail_filter) & _failed_condition(trail_filter)
        branches = tuple(Q(**{column: trail_filter.person}) for column in PERSON_COLUMNS)
        return replace(resolved, common=common & narrowed, branches=branches)
    if trail_filter.failed:
        branches = tuple(Q(outcome=outcome) for outcome in FAILED_OUTCOMES)
        return replace(resolved, common=common & _group_condition(trail_filter), branches=branches)
    if trail_filter.group:
        branches = tuple(Q(action=action) for action in _actions_of(trail_filter.group))
        return replace(resolved, branches=branches or (Q(pk__in=[]),))
    return resolved


def _plain_conditions(trail_filter: TrailFilter) -> Q:
    condition = Q()
    for column, value in (
        ("action", trail_filter.action),
        ("batch_id", trail_filter.batch_id),
        ("campaign_id", trail_filter.campaign_id),
        ("change_id", trail_filter.change_id),
        ("outcome", trail_filter.outcome),
        ("at__gte", trail_filter.since),
        ("at__lt", trail_filter.until),
    ):
        if value not in ("", None):
            condition &= Q(**{column: value})
    if trail_filter.origin == Origin.OUTSIDE:
        condition &= Q(outcome=OUTSIDE)
    elif trail_filter.origin == Origin.INSIDE:
        condition &= ~Q(outcome=OUTSIDE)
    return condition


def _group_condition(trail_filter: TrailFilter) -> Q:
    if not trail_filter.group:
        return Q()
    return Q(action__in=_actions_of(trail_filter.group))


def _failed_condition(trail_filter: TrailFilter) -> Q:
    return Q(outcome__in=FAILED_OUTCOMES) if trail_filter.failed else Q()


def _actions_of(group: str) -> list[str]:
    return [action for action in Action.values if action.startswith(f"{group}.")]


def _search_branches(text: str) -> tuple[tuple[Q, ...], bool]:
    """What a search means: a change's id, a batch id or its beginning, a reason, a reference."""
    branches: list[Q] = []
    with contextlib.suppress(ValueError):
        branches.append(Q(change_id=uuid.UUID(text)))
    batch_ids = list(
        Batch.objects.filter(batch_id__startswith=text)
        .order_by("batch_id")
        .values_list("batch_id", flat=True)[: MOST_MATCHES + 1]
    )
    if len(batch_ids) > MOST_MATCHES:
        branches.append(Q(batch_id__startswith=text))
    else:
        branches += [Q(batch_id=batch_id) for batch_id in batch_ids]
    change_ids = list(
        Change.objects.filter(Q(reason__icontains=text) | Q(reference__icontains=text))
        .order_by("-created_at")
        .values_list("pk", flat=True)[: MOST_MATCHES + 1]
    )
    branches += [Q(change_id=change_id) for change_id in change_ids[:MOST_MATCHES]]
    return tuple(branches) or (Q(pk__in=[]),), len(change_ids) > MOST_MATCHES


def _spans(
    resolved: _Resolved, before: int | None, after: int | None, only_not_reviewed: bool
) -> list[tuple[int, int]]:
    """Where to look, the newest first: one span, or what long reviewed ranges leave of it."""
    low = max(resolved.low, (after or 0) + 1)
    newest = AuditEntry.objects.aggregate(newest=Max("sequence"))["newest"] or 0
    high = newest if resolved.high is None else min(newest, resolved.high)
    if before is not None:
        high = min(high, before - 1)
    if low > high:
        return []
    if not only_not_reviewed:
        return [(low, high)]
    return list(_gaps(low, high))


def _gaps(low: int, high: int) -> Iterator[tuple[int, int]]:
    wide = (
        AuditReviewedRange.objects.filter(
            last__gte=F("first") + WIDE_RANGE - 1, first__lte=high, last__gt=low - 1, review__gt=0
        )
        .order_by("-first")
        .values_list("first", "last")
    )
    for first, last in wide:
        if last < high:
            yield last + 1, high
        high = first - 1
    if low <= high:
        yield low, high


def _sequences(
    resolved: _Resolved,
    low: int,
    high: int,
    limit: int,
    oldest_first: bool,
    trail_filter: TrailFilter,
) -> list[int]:
    """The sequences of up to `limit` matches between two sequences."""
    found = AuditEntry.objects.filter(resolved.common, sequence__gte=low, sequence__lte=high)
    if trail_filter.not_reviewed:
        found = not_reviewed(found)
    order = "sequence" if oldest_first else "-sequence"
    found = found.order_by(order)
    return _merged([found.filter(branch) for branch in resolved.branches], limit, oldest_first)


def _merged(queries: Sequence[QuerySet[AuditEntry]], limit: int, oldest_first: bool) -> list[int]:
    """The first sequences of several queries, each cut to `limit` by the database itself."""
    parts: list[str] = []
    parameters: list[Any] = []
    for query in queries:
        part = sql_of(query.values_list("sequence")[:limit])
        if part is not None:
            parts.append(f"SELECT sequence FROM ({part[0]}) AS part{len(parts)}")  # noqa: S608
            parameters += part[1]
    if not parts:
        return []
    direction = "" if oldest_first else " DESC"
    with connection.cursor() as cursor:
        cursor.execute(
            f"{' UNION '.join(parts)} ORDER BY sequence{direction} LIMIT %s", [*parameters, limit]
        )
        return [int(row[0]) for row in cursor.fetchall()]
