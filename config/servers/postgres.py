"""How PostgreSQL is connected to, as libpq reads a URL, with a deadline for everything."""

from __future__ import annotations

from typing import Final

import psycopg
from django.core.exceptions import ImproperlyConfigured
from psycopg.conninfo import conninfo_to_dict

from config.environment.options import take_options, whole

SCHEMES: Final = ("postgres://", "postgresql://")
EXPECTED: Final = (
    "must be postgres://user:password@host:5432/name, with special characters in the password "
    "percent-encoded, an IPv6 address in brackets, and the folder of a socket as %2Fvar%2Frun"
)

CONNECTION_DEADLINES: Final = {
    "connect_timeout": "5",
    "keepalives": "1",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}
"""Seconds, the last one milliseconds: a server that vanished is noticed within a minute."""
STATEMENT_DEADLINES: Final = (
    "-c lock_timeout=20s -c statement_timeout=300s -c idle_in_transaction_session_timeout=300s"
)
"""As long as SQLite waits for a lock; no statement of ours takes minutes."""

NUMBERS: Final = frozenset(CONNECTION_DEADLINES)
OPTIONS: Final = frozenset(
    option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults()
) - {"user", "password", "dbname", "host", "port", "service", "replication"}


def parameters(variable: str, url: str) -> dict[str, str]:
    """libpq's parameters for a URL, its own options over the deadlines.

    No server is asked. Raises ImproperlyConfigured that names the variable, without the URL.
    """
    _server, options = take_options(variable, url, OPTIONS, plain=True)
    for name in NUMBERS & options.keys():
        whole(variable, name, options[name], 0, 3_600_000)
    try:
        given = {name: str(value) for name, value in conninfo_to_dict(url).items()}
    except psycopg.Error:
        raise ImproperlyConfigured(f"{variable} {EXPECTED}.") from None
    ports = given.get("port", "5432").split(",")
    if "@" in given.get("host", "") or not all(not port or _is_port(port) for port in ports):
        raise ImproperlyConfigured(f"{variable} {EXPECTED}.")
    if not given.get("dbname"):
        raise ImproperlyConfigured(f"{variable} {EXPECTED}; the name is missing.")
    # Of two options with the same name the server takes the last.
    given["options"] = f"{STATEMENT_DEADLINES} {given.get('options', '')}".rstrip()
    return {**CONNECTION_DEADLINES, **given}


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and 0 < int(text) < 65536
