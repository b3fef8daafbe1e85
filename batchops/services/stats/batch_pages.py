"""Pages of a list of batches, in about the same time however many there are.

How many match is known beforehand from the kept numbers, or counted up to a limit, and decides how
a page is found. Among few, the database sorts them. Of many, an index in the order of the list is
walked until the page is full, from whichever end is nearer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from django.db import connection
from django.db.models import F, Func, QuerySet, Sum
from django.db.models.expressions import Col, OrderBy
from django.db.models.lookups import Exact
from django.db.models.sql.datastructures import BaseTable

from batchops.models import Batch, BatchCountQuerySet

COUNT_LIMIT: Final = 10_000
"""How far batches are counted of which nobody keeps the number."""
FEW: Final = 10_000
"""Batches that are sorted in no time."""
BY_CAMPAIGN: Final = "campaign__campaign_name"
RECENT: Final = ("-last_updated_at", "batch_id")
ORDERS: Final = {
    "batch_id": ("batch_id",),
    BY_CAMPAIGN: (BY_CAMPAIGN, "campaign_id", *RECENT),
    "status": ("status", *RECENT),
    "paused": ("paused", *RECENT),
    "expires_on": ("expires_on", "batch_id"),
    "call_rate": ("call_rate", "batch_id"),
    "created_at": ("created_at", "batch_id"),
    "last_updated_at": ("last_updated_at", "-batch_id"),
}
"""The whole order of a list that is sorted by a column: as an index has it."""
INDEXES: Final = {
    "batch_id": "sqlite_autoindex_batchops_batch_1",
    "status": "batch_status",
    "paused": "batch_paused",
    "expires_on": "batch_expiry",
    "call_rate": "batch_rate",
    "created_at": "batch_created",
    "last_updated_at": "batch_recent",
}
"""The index that is in the order of a column."""
RECENT_OF: Final = {"campaign_id": "batch_campaign", "status": "batch_status"}
"""The index that has what was updated last of one campaign, or in one status."""


@dataclass(frozen=True, slots=True)
class Matching:
    """How many batches match, and the kept numbers that say so. Where inexact, there are more."""

    number: int
    is_exact: bool = True
    counts: BatchCountQuerySet | None = None


def order(column: str) -> tuple[str, ...]:
    """The whole order of a list that is sorted by a column, such as "status" or "-expires_on"."""
    name = BY_CAMPAIGN if column.removeprefix("-") == "campaign" else column.removeprefix("-")
    whole = ORDERS.get(name, (name, "batch_id"))
    return tuple(map(_reversed, whole)) if column.startswith("-") else whole


def count(batches: QuerySet[Batch], counts: BatchCountQuerySet | None) -> Matching:
    """How many batches there are, by the kept numbers of just these, if there are such."""
    if counts is not None:
        return Matching(counts.total(), counts=counts)
    found = batches.order_by()[: COUNT_LIMIT + 1].count()
    return Matching(min(found, COUNT_LIMIT), found <= COUNT_LIMIT)


def keys(batches: QuerySet[Batch], matching: Matching, start: int, end: int) -> list[str]:
    """The ids of the batches from place `start` to before `end`, in the order of the list."""
    if matching.counts is not None and matching.number > FEW and BY_CAMPAIGN in _first(batches):
        return _by_campaign(batches, matching.counts, start, end)
    if not matching.is_exact:
        # At least one more.
        return _walk(batches, max(matching.number, FEW) + 1, start, min(end, matching.number))
    return _from_nearer_end(batches, matching.number, start, end)


def _from_nearer_end(batches: QuerySet[Batch], number: int, start: int, end: int) -> list[str]:
    end = min(end, number)
    if start >= end:
        return []
    if start <= number // 2:
        return _walk(batches, number, start, end)
    return _walk(batches.reverse(), number, number - end, number - start)[::-1]


def _by_campaign(
    batches: QuerySet[Batch], counts: BatchCountQuerySet, start: int, end: int
) -> list[str]:
    """A page in the order of the campaigns' names: the numbers say which of them are on it."""
    by_name: tuple[str, ...] = (BY_CAMPAIGN, "campaign_id")
    if _first(batches).startswith("-"):
        by_name = tuple(map(_reversed, by_name))
    numbers = counts.order_by(*by_name).values_list("campaign_id").annotate(number=Sum("number"))
    before, shown = 0, {}
    for campaign_id, number in numbers:
        if before + number > start and before < end and number:
            shown[campaign_id] = (before, number)
        before += number
    if not shown:
        return []
    first, number = next(iter(shown.values()))
    found = batches.filter(campaign_id__in=shown)
    if len(shown) == 1:
        tail = batches.query.order_by[-2:]
        found = batches.filter(campaign_id=next(iter(shown))).order_by(*tail)
        return _from_nearer_end(found, number, start - first, end - first)
    return list(found.values_list("pk", flat=True)[start - first : end - first])


def _walk(batches: QuerySet[Batch], number: int, start: int, end: int) -> list[str]:
    return list(_planned(batches, number)[start:end].values_list("pk", flat=True))


def _planned(batches: QuerySet[Batch], number: int) -> QuerySet[Batch]:
    """Tell SQLite, which does not know how often a value occurs, how to find a page.

    PostgreSQL has statistics of that.
    """
    first = _first(batches).removeprefix("-")
    if connection.vendor != "sqlite" or first not in INDEXES:
        return batches
    if number <= FEW:
        return batches.order_by(*(_unindexed(str(name)) for name in batches.query.order_by))
    index = INDEXES[first]
    if first == "last_updated_at":
        index = next((RECENT_OF[name] for name in _fixed(batches) if name in RECENT_OF), index)
    return _reading_by(index, batches)


def _first(batches: QuerySet[Batch]) -> str:
    return str(next(iter(batches.query.order_by), ""))


def _fixed(batches: QuerySet[Batch]) -> list[str]:
    """The columns of which all have the same value."""
    return [
        str(one.lhs.target.column)
        for one in batches.query.where.children
        if isinstance(one, Exact) and isinstance(one.lhs, Col)
    ]


def _reading_by(index: str, batches: QuerySet[Batch]) -> QuerySet[Batch]:
    planned = batches.all()
    alias = str(planned.query.get_initial_alias())
    planned.query.alias_map[alias] = _IndexedTable(index, alias)
    return planned


def _unindexed(name: str) -> OrderBy:
    """An order that no index has, so that one is used by which the batches are found."""
    column = Func(F(name.removeprefix("-")), template="+%(expressions)s")
    return column.desc() if name.startswith("-") else column.asc()


def _reversed(name: str) -> str:
    return name.removeprefix("-") if name.startswith("-") else f"-{name}"


class _IndexedTable(BaseTable):
    """The table of batches, read by a certain index of SQLite."""

    def __init__(self, index: str, alias: str) -> None:
        super().__init__(Batch._meta.db_table, alias)
        self.index = index

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        sql, parameters = super().as_sql(compiler, connection)
        return f"{sql} INDEXED BY {connection.ops.quote_name(self.index)}", parameters
