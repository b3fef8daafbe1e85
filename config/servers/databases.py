"""The database from `DATABASE_URL`: SQLite by default, PostgreSQL for more than one host."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from django.core.exceptions import ImproperlyConfigured

from config.servers import postgres, sqlite

SQLITE_OPTIONS: Final[dict[str, Any]] = {
    "factory": sqlite.PrivateConnection,
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    # FULL: what is committed survives a power cut; a request must not leave before its intent.
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
}
POOL: Final = {"min_size": 1, "max_size": 20, "timeout": 20}
"""Connections of a process, and seconds to wait for one."""


def database(url: str, folder: Path) -> dict[str, Any]:
    """Django's settings for the database at a URL; for none, a SQLite file in a folder.

    Raises ImproperlyConfigured for anything else.
    """
    if not url or url.startswith(sqlite.SCHEME):
        return _sqlite(sqlite.file("DATABASE_URL", url, folder / "batchops.sqlite3"), folder)
    if url.startswith(postgres.SCHEMES):
        return _postgres(url)
    raise ImproperlyConfigured(
        f"DATABASE_URL must be {sqlite.EXPECTED} or postgres://user:password@host:5432/name."
    )


def _sqlite(path: Path, folder: Path) -> dict[str, Any]:
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(path),
        "OPTIONS": dict(SQLITE_OPTIONS),
        "TEST": {"NAME": str(folder / "test.sqlite3")},
    }


def _postgres(url: str) -> dict[str, Any]:
    given: dict[str, Any] = postgres.parameters("DATABASE_URL", url)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": given.pop("dbname"),
        "USER": given.pop("user", ""),
        "PASSWORD": given.pop("password", ""),
        "HOST": given.pop("host", ""),
        "PORT": given.pop("port", ""),
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {**given, "pool": dict(POOL)},
    }
