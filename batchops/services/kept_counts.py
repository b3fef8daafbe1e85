"""Looks after the numbers of batches that the database keeps by triggers; see `BatchCount`."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

from django.db import connection, transaction

from batchops.models import BatchCount

MIGRATION: Final = import_module("batchops.migrations.0004_count_batches")
MERGED_FROM: Final = 2
"""Rows for each kind, from which on they are merged."""
_TABLE: Final = BatchCount._meta.db_table
_COLUMNS: Final = ", ".join(MIGRATION.KINDS)
_MERGE: Final = f"""
    WITH taken AS (
      DELETE FROM {_TABLE} WHERE id IN (SELECT id FROM {_TABLE} FOR UPDATE SKIP LOCKED) RETURNING *
    )
    INSERT INTO {_TABLE} ({_COLUMNS}, number)
      SELECT {_COLUMNS}, SUM(number) FROM taken GROUP BY {_COLUMNS} HAVING SUM(number) <> 0"""  # noqa: S608


def ensure(**_: Any) -> None:
    """Install the triggers where any is missing, and count anew; after each `migrate`."""
    if _TABLE in connection.introspection.table_names() and not _are_there():
        with transaction.atomic():
            MIGRATION.install(connection)


def merge() -> None:
    """Make one row of those that are alike, so that a sum is over few.

    Only PostgreSQL has such rows. What others add or merge meanwhile is left as it is.
    """
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT COUNT(*), COUNT(DISTINCT ({_COLUMNS})) FROM {_TABLE}")  # noqa: S608
        rows, kinds = cursor.fetchone()
        if rows >= MERGED_FROM * kinds:
            cursor.execute(_MERGE)


def _are_there() -> bool:
    if connection.vendor == "sqlite":
        query = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = %s"
    else:
        query = "SELECT tgname FROM pg_trigger WHERE tgrelid = to_regclass(%s) AND tgenabled <> 'D'"
    with connection.cursor() as cursor:
        cursor.execute(query, [MIGRATION.BATCHES])
        there = {str(name) for (name,) in cursor.fetchall()}
    return there.issuperset(MIGRATION.TRIGGERS[connection.vendor])
