"""Reads the trail as plain rows, in order and in slices, so that memory stays flat."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any, Final

from django.db import connection
from django.db.models import QuerySet

from batchops.audit.canonical_form import Row
from batchops.models import AuditEntry

SLICE: Final = 5_000
TABLE: Final = AuditEntry._meta.db_table
COLUMNS: Final = Row._fields
LENIENT: Final = "surrogateescape"
_POSTGRESQL: Final = {
    "at": """to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"')""",
    "change_id": "change_id::text",
    "before": "before::text",
    "after": "after::text",
    "detail": "detail::text",
}

# SQLite keeps instants as "2026-03-24 06:00:00.123456" and UUIDs without dashes, as text. Any other
# form is marked, so that it does not hash as what it resembles: filters would not find it.
_SQLITE: Final = {
    "at": """CASE
        WHEN typeof(at) = 'text' AND at GLOB '????-??-?? ??:??:??.??????'
        THEN substr(at, 1, 10) || 'T' || substr(at, 12) || '+00:00'
        WHEN typeof(at) = 'text' AND at GLOB '????-??-?? ??:??:??'
        THEN substr(at, 1, 10) || 'T' || substr(at, 12) || '.000000+00:00'
        ELSE '?' || CAST(at AS TEXT) END""",
    "change_id": """CASE WHEN change_id IS NULL THEN NULL
        WHEN typeof(change_id) = 'text' AND length(change_id) = 32
        THEN substr(change_id, 1, 8) || '-' || substr(change_id, 9, 4) || '-'
          || substr(change_id, 13, 4) || '-' || substr(change_id, 17, 4) || '-'
          || substr(change_id, 21)
        ELSE '?' || CAST(change_id AS TEXT) END""",
}


def chain(after: int = 0, through: int | None = None, size: int = SLICE) -> Iterator[list[Row]]:
    """All rows whose sequence is greater than `after`, up to and with `through`, in slices."""
    condition, bound = "sequence > %s", [] if through is None else [through]
    if bound:
        condition += " AND sequence <= %s"
    statement = f"SELECT {_selected()} FROM {TABLE} WHERE {condition} ORDER BY sequence LIMIT %s"  # noqa: S608
    while True:
        rows = _fetched(statement, [after, *bound, size])
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
    statement = f"SELECT {_selected()} FROM {TABLE} WHERE {condition} ORDER BY sequence"  # noqa: S608
    return _fetched(statement, parameters)


def _fetched(statement: str, parameters: list[Any]) -> list[Row]:
    with connection.cursor() as cursor, _any_text():
        cursor.execute(statement, parameters)
        return list(map(Row._make, cursor.fetchall()))


@contextlib.contextmanager
def _any_text() -> Iterator[None]:
    """Read text that is no UTF-8, which SQLite keeps, with surrogates where it is none."""
    if connection.vendor != "sqlite":
        yield
        return
    usual = connection.connection.text_factory
    connection.connection.text_factory = functools.partial(str, encoding="utf-8", errors=LENIENT)
    try:
        yield
    finally:
        connection.connection.text_factory = usual


def _selected() -> str:
    special = _POSTGRESQL if connection.vendor == "postgresql" else _SQLITE
    return ", ".join(special.get(name, name) for name in COLUMNS)
