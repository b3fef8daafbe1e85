"""The database as the migrations left it, kept so that a test that commits can be undone."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Final

from django.db import connection, transaction

SCHEMA: Final = "as_migrated"
"""Where PostgreSQL keeps the rows that the migrations wrote."""
_file: Final = sqlite3.connect(":memory:", check_same_thread=False)


def keep() -> None:
    """Remember the database as it is now."""
    if connection.vendor == "sqlite":
        connection.ensure_connection()
        connection.connection.backup(_file)
        return
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE SCHEMA {SCHEMA}")
        for table in _filled(_tables()):
            cursor.execute(f"CREATE TABLE {SCHEMA}.{table} AS TABLE public.{table}")


def write_to(file: Path) -> None:
    """Make a database file of SQLite that is as it was then."""
    with contextlib.closing(sqlite3.connect(file)) as copy:
        _file.backup(copy)
        copy.execute("PRAGMA journal_mode=WAL")


def put_back() -> None:
    """Make the database what it was, past the triggers that guard the audit trail."""
    if connection.vendor == "sqlite":
        connection.ensure_connection()
        _file.backup(connection.connection)
        return
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        for table in _filled(_tables()):
            cursor.execute(f"DELETE FROM public.{table}")
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", [SCHEMA])
        for (table,) in cursor.fetchall():
            cursor.execute(f"INSERT INTO public.{table} TABLE {SCHEMA}.{table}")


def _tables() -> list[str]:
    return connection.introspection.django_table_names(only_existing=True, include_views=False)


def _filled(tables: list[str]) -> list[str]:
    """Those of the tables that hold a row."""
    query = " UNION ALL ".join(
        f"SELECT '{table}' WHERE EXISTS (SELECT FROM public.{table})" for table in tables
    )
    with connection.cursor() as cursor:
        cursor.execute(query)
        return [str(name) for (name,) in cursor.fetchall()]
