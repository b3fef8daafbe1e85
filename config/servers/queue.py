"""The queue from `QUEUE_URL`. It only wakes workers: the truth is in the database."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured
from huey import Huey, MemoryHuey, PostgresHuey, RedisHuey, SqliteHuey
from psycopg.conninfo import make_conninfo

from batchops.logs import begin_task
from config.environment.options import take_options
from config.servers import postgres, sqlite

NAME: Final = "batchops"

EXPECTED: Final = (
    "QUEUE_URL must be sqlite:///absolute/path, redis://host:6379/0 or "
    "postgres://user:password@host:5432/name"
)
"""Never followed by the value, which may hold a password."""

REDIS_SCHEMES: Final = ("redis://", "rediss://", "unix://")
REDIS_DEADLINES: Final = {"socket_connect_timeout": "2", "socket_timeout": "5"}
"""Seconds; workers ask for one at a time for work."""
REDIS_OPTIONS: Final = frozenset(REDIS_DEADLINES) | {
    *("db", "username", "password", "client_name", "protocol"),
    *("socket_keepalive", "health_check_interval", "max_connections"),
    *("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname"),
}


def queue(url: str, folder: Path) -> Huey:
    """The queue at a URL: SQLite (default), Redis, PostgreSQL, or memory for tests.

    No server is asked yet. Raises ImproperlyConfigured for anything else.
    """
    try:
        huey = _queue(url, folder)
    except (ValueError, OSError, sqlite3.Error) as error:
        reason = "" if isinstance(error, ValueError) else f"; {error}"
        raise ImproperlyConfigured(f"{EXPECTED}{reason}.") from None
    huey.pre_execute("request_id")(begin_task)
    return huey


def _queue(url: str, folder: Path) -> Huey:
    if not url or url.startswith(sqlite.SCHEME):
        path = sqlite.file("QUEUE_URL", url, folder / "queue.sqlite3")
        return SqliteHuey(
            NAME, filename=str(path), timeout=20, results=False, factory=sqlite.PrivateConnection
        )
    if url.startswith(REDIS_SCHEMES):
        return RedisHuey(NAME, url=_redis(url), results=False)
    if url.startswith(postgres.SCHEMES):
        dsn = make_conninfo(**postgres.parameters("QUEUE_URL", url))
        # Its tables are made after each migrate, so that settings can be read without a server.
        return PostgresHuey(NAME, dsn=dsn, results=False, create_tables=False)
    if url == "memory://":
        return MemoryHuey(NAME, results=False)
    raise ValueError


def _redis(url: str) -> str:
    """A URL of Redis with deadlines, unless it brings its own. Raises ValueError."""
    server, options = take_options("QUEUE_URL", url, REDIS_OPTIONS, plain=True)
    parts = urlsplit(server)
    # Reading the port raises ValueError for what is none.
    _port = parts.port
    database = parts.path.strip("/")
    if parts.fragment or (parts.scheme != "unix" and database and not database.isdigit()):
        raise ValueError
    if parts.scheme != "rediss" and any(name.startswith("ssl_") for name in options):
        raise ValueError
    query = "&".join(f"{name}={value}" for name, value in (REDIS_DEADLINES | options).items())
    return f"{server}?{query}"


def prepare(huey: Huey) -> None:
    """Make the queue's own tables, where it keeps any."""
    if isinstance(huey, PostgresHuey):
        huey.storage.initialize_schema()
