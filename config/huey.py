"""The queue from `QUEUE_URL`. It only wakes workers: the truth is in the database."""

from __future__ import annotations

from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from huey import Huey, MemoryHuey, PostgresHuey, RedisHuey, SqliteHuey

NAME = "batchops"


def queue(url: str, folder: Path) -> Huey:
    """The queue at a URL: SQLite (default), Redis, PostgreSQL, or memory for tests.

    Raises ImproperlyConfigured for anything else.
    """
    if not url:
        url = f"sqlite:///{folder / 'queue.sqlite3'}"
    if url.startswith("sqlite://"):
        return SqliteHuey(NAME, filename=url.removeprefix("sqlite://"), timeout=20, results=False)
    if url.startswith(("redis://", "rediss://", "unix://")):
        return RedisHuey(NAME, url=url, results=False)
    if url.startswith(("postgres://", "postgresql://")):
        return PostgresHuey(NAME, dsn=url, results=False)
    if url == "memory://":
        return MemoryHuey(NAME, results=False)
    raise ImproperlyConfigured(
        "QUEUE_URL must start with sqlite:///, redis:// or postgres://, "
        f"but starts with {url.split(':')[0]!r}."
    )
