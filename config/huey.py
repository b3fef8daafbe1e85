"""The queue from `QUEUE_URL`. It only wakes workers: the truth is in the database."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured
from huey import Huey, MemoryHuey, PostgresHuey, RedisHuey, SqliteHuey

from batchops.logs import begin_task

NAME = "batchops"


EXPECTED = (
    "QUEUE_URL must be sqlite:///absolute/path, redis://host:6379/0 or "
    "postgres://user:password@host:5432/name"
)
"""Never followed by the value, which may hold a password."""


def queue(url: str, folder: Path) -> Huey:
    """The queue at a URL: SQLite (default), Redis, PostgreSQL, or memory for tests.

    No server is asked yet. Raises ImproperlyConfigured for anything else.
    """
    url = url or f"sqlite://{folder / 'queue.sqlite3'}"
    try:
        huey = _queue(url)
    except (ValueError, sqlite3.Error) as error:
        reason = f"; {error}" if isinstance(error, sqlite3.Error) else ""
        raise ImproperlyConfigured(f"{EXPECTED}{reason}.") from None
    huey.pre_execute("request_id")(begin_task)
    return huey


def _queue(url: str) -> Huey:
    # Reading the port raises ValueError for what is none.
    _port = urlsplit(url).port
    if url.startswith("sqlite:///"):
        return SqliteHuey(NAME, filename=url.removeprefix("sqlite://"), timeout=20, results=False)
    if url.startswith(("redis://", "rediss://", "unix://")):
        limits = "socket_connect_timeout=5&socket_timeout=10"
        return RedisHuey(NAME, url=f"{url}{'&' if '?' in url else '?'}{limits}", results=False)
    if url.startswith(("postgres://", "postgresql://")):
        # Its tables are made after each migrate, so that settings can be read without a server.
        return PostgresHuey(NAME, dsn=url, results=False, create_tables=False)
    if url == "memory://":
        return MemoryHuey(NAME, results=False)
    raise ValueError


def prepare(huey: Huey) -> None:
    """Make the queue's own tables, where it keeps any."""
    if isinstance(huey, PostgresHuey):
        huey.storage.initialize_schema()
