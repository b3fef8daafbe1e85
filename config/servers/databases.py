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
POOLING: Final = "pooling=transaction"
"""An option of the URL that is ours: between batchops and the server stands such a pooler."""


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
    url, is_pooled = _without_pooling(url)
    given: dict[str, Any] = postgres.parameters("DATABASE_URL", url)
    if is_pooled:
        # Its server has many clients in turn, so what is told to one would be told to others.
        given.pop("options")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": given.pop("dbname"),
        "USER": given.pop("user", ""),
        "PASSWORD": given.pop("password", ""),
        "HOST": given.pop("host", ""),
        "PORT": given.pop("port", ""),
        "CONN_HEALTH_CHECKS": True,
        "DISABLE_SERVER_SIDE_CURSORS": is_pooled,
        "OPTIONS": {**given, "pool": dict(POOL)},
    }


def _without_pooling(url: str) -> tuple[str, bool]:
    """A URL without our own option pooling=transaction, and whether it was there.

    A cursor lives longer than a transaction, and a pooler like PgBouncer gives the connection to
    somebody else after each.
    """
    server, mark, query = url.partition("?")
    options = query.split("&") if mark else []
    if POOLING not in options:
        return url, False
    rest = [option for option in options if option != POOLING]
    if any(option.startswith("options=") for option in rest):
        raise ImproperlyConfigured(
            f"DATABASE_URL has {POOLING} and options, which a pooler in that mode hands to no "
            "server in particular. Give the role its deadlines instead: docs/operations.md."
        )
    return "?".join([server, *filter(None, ["&".join(rest)])]), True
