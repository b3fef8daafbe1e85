"""The database from `DATABASE_URL`: SQLite by default, PostgreSQL for more than one host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

SQLITE_OPTIONS = {
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
}


EXPECTED = (
    "DATABASE_URL must be sqlite:///absolute/path or postgres://user:password@host:5432/name, "
    "with special characters in the password percent-encoded"
)
"""Never followed by the value, which may hold a password."""


def database(url: str, folder: Path) -> dict[str, Any]:
    """Django's settings for the database at a URL; for none, a SQLite file in a folder.

    Raises ImproperlyConfigured for anything else.
    """
    if not url:
        return _sqlite(folder / "batchops.sqlite3", folder)
    if url.startswith("sqlite://"):
        return _sqlite(Path(url.removeprefix("sqlite://")), folder)
    if url.startswith(("postgres://", "postgresql://")):
        return _postgres(url)
    raise ImproperlyConfigured(f"{EXPECTED}.")


def _sqlite(path: Path, folder: Path) -> dict[str, Any]:
    if not path.is_absolute():
        raise ImproperlyConfigured(f"{EXPECTED}; its path is not absolute.")
    if not path.parent.is_dir():
        raise ImproperlyConfigured(f"{EXPECTED}; {path.parent} is not a folder.")
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(path),
        "OPTIONS": dict(SQLITE_OPTIONS),
        "TEST": {"NAME": str(folder / "test.sqlite3")},
    }


def _postgres(url: str) -> dict[str, Any]:
    try:
        settings: dict[str, Any] = environ.Env.db_url_config(url)
    except ValueError:
        raise ImproperlyConfigured(f"{EXPECTED}.") from None
    if not settings["NAME"]:
        raise ImproperlyConfigured(f"{EXPECTED}; the name is missing.")
    settings["ENGINE"] = "django.db.backends.postgresql"
    settings["CONN_HEALTH_CHECKS"] = True
    options = settings.setdefault("OPTIONS", {})
    options.setdefault("pool", {"min_size": 1, "max_size": 20, "timeout": 20})
    return settings
