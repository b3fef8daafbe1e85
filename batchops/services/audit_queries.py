"""Questions reviewers ask of the trail, each answered through an index, page by page.

Pages are cut by sequence (keyset), never by a count. Where one of several values may match, each
value is looked up by its own index and the answers are merged, which stays fast when the matches
are rare or long ago.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from django.core.exceptions import EmptyResultSet
from django.db import connection, models
from django.db.models import F, Max, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from batchops.models import Action, AuditEntry, AuditReviewedRange, Batch, Change
from batchops.services.errors import InvalidInput

PAGE_SIZE: Final = 50
MOST_MATCHES: Final = 100
"""Changes or batches that one search looks through; the newest are taken."""
CLOCK_SLACK: Final = dt.timedelta(minutes=10)
"""By how much the clocks of two hosts that write the trail may differ."""
WIDE_RANGE: Final = 5_000
"""Reviewed ranges at least this long are skipped as a whole."""
SEARCH_LIMIT: Final = 255

FAILED_OUTCOMES: Final = (
    "refused",
    "failed",
    "not_applied",
    "conflict",
    "denied",
    "halted",
    "with failures",
    "not_confirmed",
    "unasked",
    "broken",
)
"""Outcomes that say that something did not go as it was asked."""
OUTSIDE: Final = "outside"


class Origin(models.TextChoices):
    """Whether batchops did it, or the vendor's console, command line or another key."""

    INSIDE = "inside", "Inside batchops"
    OUTSIDE = "outside", "Outside batchops"


def action_groups() -> dict[str, str]:
    """The groups of actions by their namespace, each with a label for people."""
    return {
        "change": "Changes",
        "batch": "Batches",
        "sync": "Pulls",
        "account": "Accounts",
        "group": "Groups",
        "access": "Access",
        "audit": "Trail",
    }


@dataclass(frozen=True, slots=True)
class TrailFilter:
    """What a reviewer wants to see. Empty means all. `until` is exclusive; both are aware."""

    person: str = ""
    group: str = ""
    action: str = ""
    batch_id: str = ""
    campaign_id: int | None = None
    change_id: uuid.UUID | None = None
    outcome: str = ""
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    origin: str = ""
    failed: bool = False
    not_reviewed: bool = False
    search: str = ""

    def __post_init__(self) -> None:
        if self.since and self.until and self.since >= self.until:
            raise InvalidInput("The period ends before it begins: swap the two dates.", "until")

    @classmethod
    def from_query(cls, query: Mapping[str, str], zone: dt.tzinfo = dt.UTC) -> TrailFilter:
        """Read the filter of a URL; days are days of the reader's zone, the last one included.

        Names that are no filter are left to others. Raises InvalidInput with the field.
        """
        given = {name: str(query.get(name, "")).strip() for name in FILTER_NAMES}
        origin = given["origin"]
        if origin and origin not in Origin.values:
            raise InvalidInput("Choose inside or outside.", "origin")
        return cls(
            person=given["person"][:255],
            group=given["group"][:64],
            action=given["action"][:64],
            batch_id=given["batch_id"][:255],
            campaign_id=_number(given["campaign_id"], "campaign_id"),
            change_id=_identity(given["change_id"], "change_id"),
            outcome=given["outcome"][:32],
            since=_moment(given["since"], "since", zone),
            until=_moment(given["until"], "until", zone, end=True),
            origin=origin,
            failed=_switch(given["failed"]),
            not_reviewed=_switch(given["not_reviewed"]),
            search=given["search"][:SEARCH_LIMIT].replace("\x00", ""),
        )

    def to_query(self) -> dict[str, str]:
        """The filter for a URL; `from_query` reads it back."""
        return {
            name: _in_url(value)
            for name in FILTER_NAMES
            if (value := getattr(self, name)) not in ("", None, False)
        }

    def describe(self) -> str:
        """The filter in words, as the trail keeps it beside an export or a review."""
        parts = [f"{_WORDS[name]}: {value}" for name, value in self.to_query().items()]
        return "; ".join(parts) or "everything"

    def __bool__(self) -> bool:
        return bool(self.to_query())


FILTER_NAMES: Final = tuple(field.name for field in fields(TrailFilter))
_WORDS: Final = {
    "person": "person",
    "group": "kind",
    "action": "action",
    "batch_id": "batch",
    "campaign_id": "campaign",
    "change_id": "change",
    "outcome": "outcome",
    "since": "from",
    "until": "before",
    "origin": "made",
    "failed": "only what failed",
    "not_reviewed": "only what is not reviewed",
    "search": "search",
}


@dataclass(frozen=True, slots=True)
class Page:
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
) -> Page:
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
    return Page(
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
    nearest = AuditReviewedRange.objects.filter(first__lte=OuterRef("sequence")).order_by("-first")
    return found.annotate(
        reviewed_through=Coalesce(
            Subquery(nearest.values("last")[:1]), 0, output_field=models.BigIntegerField()
        )
    ).filter(reviewed_through__lt=F("sequence"))


def people(limit: int = 500) -> list[str]:
    """The names that appear in the trail, in order; jumps through the index from name to name."""
    table = AuditEntry._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f"""WITH RECURSIVE names(name) AS (
                  SELECT MIN(actor_name) FROM {table}
                  UNION ALL
                  SELECT (SELECT MIN(actor_name) FROM {table} WHERE actor_name > names.name)
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
    if trail_filter.search:
        branches, capped = _search_branches(trail_filter.search)
        return replace(
            resolved,
            common=common & _group_condition(trail_filter) & _failed_condition(trail_filter),
            branches=branches,
            capped=capped,
        )
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
        ("actor_name", trail_filter.person),
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
            last__gte=F("first") + WIDE_RANGE - 1, first__lte=high, last__gt=low - 1
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
        compiler = query.values_list("sequence")[:limit].query.get_compiler(connection=connection)
        try:
            sql, values = compiler.as_sql()
        except EmptyResultSet:
            continue
        parts.append(f"SELECT sequence FROM ({sql}) AS part{len(parts)}")  # noqa: S608
        parameters += values
    if not parts:
        return []
    direction = "" if oldest_first else " DESC"
    with connection.cursor() as cursor:
        cursor.execute(
            f"{' UNION '.join(parts)} ORDER BY sequence{direction} LIMIT %s", [*parameters, limit]
        )
        return [int(row[0]) for row in cursor.fetchall()]


def _number(text: str, field: str) -> int | None:
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise InvalidInput(f"{text[:40]!r} is not a number.", field)
    return int(text)


def _identity(text: str, field: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text) if text else None
    except ValueError:
        raise InvalidInput(f"{text[:40]!r} is not the id of a change.", field) from None


def _switch(text: str) -> bool:
    return text.lower() in ("1", "on", "true", "yes")


def _moment(text: str, field: str, zone: dt.tzinfo, *, end: bool = False) -> dt.datetime | None:
    """An instant from "2026-03-24" (a day of the zone) or "2026-03-24T06:00"."""
    if not text:
        return None
    # A plus sign that a URL lost becomes a blank.
    try:
        moment = dt.datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
        if len(text) == len("2026-03-24") and end:
            moment += dt.timedelta(days=1)
        aware = moment if moment.tzinfo else moment.replace(tzinfo=zone)
        return aware.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        raise InvalidInput(f"{text[:40]!r} is not a date such as 2026-03-24.", field) from None


def _in_url(value: object) -> str:
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
    return "1" if value is True else str(value)
