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


def database(url: str, folder: Path) -> dict[str, Any]:
    """Django's settings for the database at a URL. Raises ImproperlyConfigured for other kinds."""
    if not url:
        url = f"sqlite:///{folder / 'batchops.sqlite3'}"
    if url.startswith(("sqlite:///", "sqlite://")):
        name = url.removeprefix("sqlite://")
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": name,
            "OPTIONS": dict(SQLITE_OPTIONS),
            "TEST": {"NAME": str(folder / "test.sqlite3")},
        }
    if url.startswith(("postgres://", "postgresql://")):
        settings: dict[str, Any] = environ.Env.db_url_config(url)
        settings["ENGINE"] = "django.db.backends.postgresql"
        settings["CONN_HEALTH_CHECKS"] = True
        options = settings.setdefault("OPTIONS", {})
        options.setdefault("pool", {"min_size": 1, "max_size": 20, "timeout": 20})
        return settings
    raise ImproperlyConfigured(
        "DATABASE_URL must start with sqlite:/// or postgres://, "
        f"but starts with {url.split(':')[0]!r}."
    )
