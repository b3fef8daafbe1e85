"""The file behind a `sqlite://` URL."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from django.core.exceptions import ImproperlyConfigured

from batchops import files
from config.environment.options import take_options

SCHEME: Final = "sqlite://"
EXPECTED: Final = "sqlite:///absolute/path"


def file(variable: str, url: str, default: Path) -> Path:
    """The file at a URL, which need not be there yet; for none, the default.

    Raises ImproperlyConfigured for a path that is not absolute or cannot be a file.
    """
    path = default
    if url:
        server, _options = take_options(variable, url, ())
        # SQLAlchemy's habit writes four slashes.
        path = Path(os.path.normpath(unquote(server.removeprefix(SCHEME))))
    if not path.is_absolute() or "\x00" in str(path):
        raise ImproperlyConfigured(f"{variable} must be {EXPECTED}; its path is not absolute.")
    if not path.parent.is_dir():
        raise ImproperlyConfigured(f"{variable} must be {EXPECTED}; {path.parent} is not a folder.")
    if path.is_dir():
        raise ImproperlyConfigured(f"{variable} must be {EXPECTED}; {path} is a folder.")
    return path


class PrivateConnection(sqlite3.Connection):
    """A connection to a file that, with the -wal and -shm beside it, its owner alone can read."""

    def __init__(self, database: str | Path, *args: Any, **more: Any) -> None:
        if not str(database).startswith(("file:", ":memory:")):
            files.keep_private(Path(database))
        super().__init__(database, *args, **more)
