"""A server that takes a connection and stays silent holds nobody up for ever."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis
from django.core import mail
from django.db import connection
from psycopg.conninfo import make_conninfo

from config.servers import postgres, queue
from config.servers.mail import mail_server


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that never says a word."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield int(server.getsockname()[1])


def test_a_queue_in_redis_gives_up(silent: int, tmp_path: Path) -> None:
    url = f"redis://127.0.0.1:{silent}/0?socket_timeout=0.2"
    with pytest.raises(redis.exceptions.TimeoutError):
        queue.queue(url, tmp_path).storage.enqueue(b"task")


def test_a_connection_to_postgres_gives_up(silent: int) -> None:
    url = f"postgres://user@127.0.0.1:{silent}/name?connect_timeout=2"
    with pytest.raises(psycopg.errors.ConnectionTimeout):
        psycopg.connect(make_conninfo(**postgres.parameters("DATABASE_URL", url)))


def test_a_mail_server_is_given_up(silent: int) -> None:
    settings = mail_server(f"smtp://127.0.0.1:{silent}?timeout=1")
    backend = mail.get_connection(
        "django.core.mail.backends.smtp.EmailBackend",
        host=settings["EMAIL_HOST"],
        port=settings["EMAIL_PORT"],
        timeout=settings["EMAIL_TIMEOUT"],
    )
    with pytest.raises(OSError, match="timed out"):
        backend.open()


@pytest.mark.django_db
def test_the_database_gives_up_waiting_and_never_what_it_committed() -> None:
    def told(question: str) -> str:
        with connection.cursor() as cursor:
            cursor.execute(question)
            return str(cursor.fetchone()[0])

    if connection.vendor == "sqlite":
        assert told("PRAGMA synchronous") == "2"
        assert int(told("PRAGMA busy_timeout")) == 20_000
    else:
        assert told("SHOW lock_timeout") == "20s"
        assert told("SHOW statement_timeout") == "5min"
        assert told("SHOW idle_in_transaction_session_timeout") == "5min"
