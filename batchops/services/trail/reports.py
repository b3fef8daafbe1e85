"""Numbers for reviewers: what was done by whom, where and when, and what is not yet reviewed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Count, F, Max, Q, QuerySet, Sum, Value
from django.db.models.functions import Coalesce, Greatest, NullIf, TruncDate

from batchops.models import Action, AuditEntry, AuditReviewedRange
from batchops.services.trail.search import FAILED_OUTCOMES

LONGEST_SPAN: Final = dt.timedelta(days=367)
ROWS_LIMIT: Final = 200
"""People and campaigns listed at most; the busiest are kept."""

TROUBLE_OUTCOMES: Final = tuple(name for name in FAILED_OUTCOMES if name != "denied")
"""Outcomes that somebody should look at; denied tries are counted apart."""


@dataclass(frozen=True, slots=True)
class Tally:
    """How many entries of which kind."""

    entries: int = 0
    confirmed: int = 0
    applied: int = 0
    trouble: int = 0
    outside: int = 0
    denied: int = 0


@dataclass(frozen=True, slots=True)
class NamedTally:
    """The tally of a person or a campaign. `campaign_id` is None for people."""

    name: str
    tally: Tally
    campaign_id: int | None = None


@dataclass(frozen=True, slots=True)
class DayTally:
    """The tally of one day of the reader's calendar."""

    day: dt.date
    tally: Tally


@dataclass(frozen=True, slots=True)
class Report:
    """What was done from `since` up to, but not at, `until`."""

    since: dt.datetime
    until: dt.datetime
    total: Tally
    people: Sequence[NamedTally]
    campaigns: Sequence[NamedTally]
    days: Sequence[DayTally]
    is_cut: bool
    """Whether there were more people or campaigns than are listed."""


COUNTS: Final[Mapping[str, Count]] = {
    "entries": Count("pk"),
    "confirmed": Count("pk", filter=Q(action=Action.CHANGE_CONFIRMED)),
    "applied": Count("pk", filter=Q(action=Action.BATCH_APPLIED)),
    "trouble": Count("pk", filter=Q(outcome__in=TROUBLE_OUTCOMES)),
    "outside": Count("pk", filter=Q(action=Action.BATCH_CHANGED_OUTSIDE)),
    "denied": Count("pk", filter=Q(outcome="denied")),
}


def report(since: dt.datetime, until: dt.datetime, zone: dt.tzinfo) -> Report:
    """Count the entries from `since` up to `until` (aware), by days of the zone given.

    Raises ValueError when the span is empty, upside down, or longer than `LONGEST_SPAN`.
    """
    if since >= until:
        raise ValueError("The end of a report lies after its start.")
    if until - since > LONGEST_SPAN:
        raise ValueError("A report covers a year at most.")
    entries = AuditEntry.objects.filter(at__gte=since, at__lt=until).order_by()
    people = _by_person(entries)
    campaigns = _by_campaign(entries)
    days = _by_day(entries, since, until, zone)
    return Report(
        since,
        until,
        _sum(days),
        people[:ROWS_LIMIT],
        campaigns[:ROWS_LIMIT],
        days,
        max(len(people), len(campaigns)) > ROWS_LIMIT,
    )


def not_reviewed_count() -> int:
    """How many entries no review covers. Exact and fast: sequences have no holes."""
    oldest = AuditEntry.objects.order_by("sequence").values_list("sequence", flat=True).first()
    newest = AuditEntry.objects.order_by("sequence").values_list("sequence", flat=True).last()
    if oldest is None or newest is None:
        return 0
    reviewed = AuditReviewedRange.objects.filter(last__gte=oldest, review__gt=0).aggregate(
        entries=Sum(F("last") - Greatest(F("first"), oldest) + 1)
    )
    return newest - oldest + 1 - int(reviewed["entries"] or 0)


def _by_person(entries: QuerySet[AuditEntry]) -> list[NamedTally]:
    """What people did, and what batchops did for them."""
    rows = (
        entries.annotate(person=Coalesce(NullIf("on_behalf_of_name", Value("")), "actor_name"))
        .values("person")
        .annotate(busy=Count("pk"), **COUNTS)
        .order_by("-busy", "person")
    )
    return [NamedTally(row["person"], _tally(row)) for row in rows[: ROWS_LIMIT + 1]]


def _by_campaign(entries: QuerySet[AuditEntry]) -> list[NamedTally]:
    """By the campaign's number, under the latest name that the entries give it."""
    rows = list(
        entries.filter(campaign_id__isnull=False)
        .values("campaign_id")
        .annotate(busy=Count("pk"), named=Max("pk", filter=~Q(campaign_name="")), **COUNTS)
        .order_by("-busy", "campaign_id")[: ROWS_LIMIT + 1]
    )
    naming = AuditEntry.objects.filter(pk__in=[row["named"] for row in rows if row["named"]])
    names = dict(naming.values_list("campaign_id", "campaign_name"))
    return [
        NamedTally(names.get(row["campaign_id"], ""), _tally(row), row["campaign_id"])
        for row in rows
    ]


def _by_day(
    entries: QuerySet[AuditEntry], since: dt.datetime, until: dt.datetime, zone: dt.tzinfo
) -> list[DayTally]:
    """Every day of the span, those on which nothing happened included."""
    rows = entries.annotate(day=TruncDate("at", tzinfo=zone)).values("day").annotate(**COUNTS)
    by_day = {row["day"]: _tally(row) for row in rows}
    first = since.astimezone(zone).date()
    last = (until - dt.timedelta(microseconds=1)).astimezone(zone).date()
    days = [first + dt.timedelta(days=index) for index in range((last - first).days + 1)]
    return [DayTally(day, by_day.get(day, Tally())) for day in days]


def _sum(days: Sequence[DayTally]) -> Tally:
    return Tally(**{name: sum(getattr(day.tally, name) for day in days) for name in COUNTS})


def _tally(row: Mapping[str, Any]) -> Tally:
    return Tally(**{name: row[name] for name in COUNTS})
