"""Reads the trail as plain rows, in order and in slices, so that memory stays flat."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from django.db import connection
from django.db.models import QuerySet

from batchops.models import AuditEntry
from batchops.services.audit_form import Row

SLICE: Final = 5_000
TABLE: Final = AuditEntry._meta.db_table
COLUMNS: Final = Row._fields
_POSTGRESQL: Final = {
    "at": """to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"')""",
    "change_id": "change_id::text",
    "before": "before::text",
    "after": "after::text",
    "detail": "detail::text",
}

# A cast keeps the driver from making a datetime of the text.
_SQLITE: Final = {"at": "CAST(at AS TEXT)"}


def chain(after: int = 0, through: int | None = None, size: int = SLICE) -> Iterator[list[Row]]:
    """All rows whose sequence is greater than `after`, up to and with `through`, in slices."""
    condition, bound = "sequence > %s", [] if through is None else [through]
    if bound:
        condition += " AND sequence <= %s"
    statement = f"SELECT {_selected()} FROM {TABLE} WHERE {condition} ORDER BY sequence LIMIT %s"  # noqa: S608
    while True:
        with connection.cursor() as cursor:
            cursor.execute(statement, [after, *bound, size])
            rows = _rows(cursor.fetchall())
        if not rows:
            return
        yield rows
        after = rows[-1].sequence


def matching(found: QuerySet[AuditEntry], through: int, size: int = SLICE) -> Iterator[list[Row]]:
    """The rows of a query up to `through`, oldest first, in slices."""
    after = 0
    while True:
        part = found.filter(sequence__gt=after, sequence__lte=through).order_by("sequence")
        keys = list(part.values_list("sequence", flat=True)[:size])
        if not keys:
            return
        yield by_sequences(keys)
        after = keys[-1]


def by_sequences(sequences: list[int]) -> list[Row]:
    """The rows of these sequences, oldest first."""
    if connection.vendor == "postgresql":
        condition, parameters = "sequence = ANY(%s)", [sequences]
    else:
        condition, parameters = f"sequence IN ({', '.join(map(str, map(int, sequences)))})", []
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {_selected()} FROM {TABLE} WHERE {condition} ORDER BY sequence",  # noqa: S608
            parameters,
        )
        return _rows(cursor.fetchall())


def _selected() -> str:
    special = _POSTGRESQL if connection.vendor == "postgresql" else _SQLITE
    return ", ".join(special.get(name, name) for name in COLUMNS)


def _rows(values: list[tuple[Any, ...]]) -> list[Row]:
    make: Callable[[tuple[Any, ...]], Row] = (
        Row._make if connection.vendor == "postgresql" else _from_sqlite
    )
    return [make(row) for row in values]


def _from_sqlite(values: tuple[Any, ...]) -> Row:
    """SQLite keeps instants as "2026-03-24 06:00:00.123456" and UUIDs without dashes.

    Any other form is passed on as it is, so that it does not hash as what it resembles.
    """
    at, change = values[1], values[10]
    if isinstance(at, str) and at[10:11] == " ":
        if len(at) == 26 and at[19] == ".":
            at = f"{at[:10]}T{at[11:]}+00:00"
        elif len(at) == 19:
            at = f"{at[:10]}T{at[11:]}.000000+00:00"
    if isinstance(change, str) and len(change) == 32:
        change = f"{change[:8]}-{change[8:12]}-{change[12:16]}-{change[16:20]}-{change[20:]}"
    return Row._make((values[0], at, *values[2:10], change, *values[11:]))
