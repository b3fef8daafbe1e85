"""What the database keeps of batches by triggers: their numbers (`BatchCount`), and their ids.

A migration that makes the table of batches anew on SQLite takes the triggers with it.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

from django.db import connection, transaction

from batchops.models import BatchCount

MIGRATION: Final = import_module("batchops.migrations.0004_count_batches")
SEARCH: Final = import_module("batchops.migrations.0008_search_batch_ids")
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
    """Install the triggers where any is missing, with what they keep; after each `migrate`."""
    tables, triggers = connection.introspection.table_names(), _triggers()
    if _TABLE in tables and not triggers.issuperset(MIGRATION.TRIGGERS[connection.vendor]):
        with transaction.atomic():
            MIGRATION.install(connection)
    if SEARCH.IDS in tables and SEARCH.TRIGGER not in triggers:
        SEARCH.keep(connection)


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


def _triggers() -> set[str]:
    """The names of those on the table of batches that are in force."""
    if connection.vendor == "sqlite":
        query = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = %s"
    else:
        query = "SELECT tgname FROM pg_trigger WHERE tgrelid = to_regclass(%s) AND tgenabled <> 'D'"
    with connection.cursor() as cursor:
        cursor.execute(query, [MIGRATION.BATCHES])
        return {str(name) for (name,) in cursor.fetchall()}
