"""Backups of SQLite, by its online backup: whole while others write, and back without files moved.

A file that is put back by hand stands beside the -wal of the one before, which undoes it silently;
the online backup writes through SQLite, which knows its own -wal.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote

from django.db import connection

from batchops.backups.content import BackupError, Content, InUse
from batchops.models import AuditEntry, AuditHead
from config.servers.sqlite import PrivateConnection

SUFFIX: Final = ".sqlite3"
BESIDE: Final = ("", "-wal", "-shm", "-journal")
LOCK_SECONDS: Final = 20.0

_HEAD: Final = f"SELECT sequence, hash FROM {AuditHead._meta.db_table}"  # noqa: S608 - constants
_LAST: Final = f"SELECT hash FROM {AuditEntry._meta.db_table} WHERE sequence = ?"  # noqa: S608


def database_file() -> Path:
    """The file of the database that batchops runs on."""
    return Path(connection.settings_dict["NAME"])


def copy(target: Path) -> None:
    """Write the database into a file, as it is at one moment; others read and write meanwhile."""
    with _opened(database_file()) as source, _created(target) as copied:
        source.backup(copied)
        # One file that needs none beside it.
        copied.execute("PRAGMA journal_mode=DELETE")


def content(path: Path) -> Content:
    """Check a backup page by page, and say what it holds. Raises BackupError."""
    try:
        with _opened(path) as database:
            return _content(database, path)
    except sqlite3.Error as error:
        raise BackupError(f"{path} is not a sound database of batchops: {error}.") from error


def is_empty() -> bool:
    """Whether there is nothing to lose: no file, or one without tables."""
    if not database_file().exists():
        return True
    with _opened(database_file()) as database:
        return not database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]


def refuse_others() -> None:
    """Raise InUse while any other process has the database open."""
    connection.close()
    try:
        with _created(database_file()) as database:
            # Leaving WAL needs the file for oneself. Whoever connects next enters it again.
            database.execute("PRAGMA busy_timeout=1000")
            database.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.OperationalError as error:
        if "locked" not in str(error):
            raise BackupError(f"The database cannot be opened: {error}.") from error
        raise InUse("Another process has the database open.") from None
    except sqlite3.DatabaseError:
        # Too damaged to tell; whether it may be replaced is asked later.
        return


def replace(path: Path) -> None:
    """Put the content of a backup into the database, in one transaction."""
    connection.close()
    try:
        _replace(path)
    except sqlite3.OperationalError as error:
        raise BackupError(f"The database cannot be written: {error}.") from error
    except sqlite3.DatabaseError:
        # What is there is damaged beyond opening: keep it for those who mend such things.
        _set_aside()
        _replace(path)


def _replace(path: Path) -> None:
    with _opened(path) as source, _created(database_file()) as database:
        source.backup(database)


def _set_aside() -> None:
    file = database_file()
    stamp = f"{dt.datetime.now(dt.UTC):%Y%m%d-%H%M%S}"
    for suffix in BESIDE:
        with contextlib.suppress(FileNotFoundError):
            Path(f"{file}{suffix}").rename(f"{file}.damaged-{stamp}{suffix}")


def _content(database: sqlite3.Connection, path: Path) -> Content:
    problems = [row[0] for row in database.execute("PRAGMA integrity_check(3)")]
    if problems != ["ok"]:
        raise BackupError(f"{path} is damaged: {'; '.join(problems)}")
    if database.execute("PRAGMA foreign_key_check").fetchone():
        raise BackupError(f"{path} is damaged: some rows point to others that do not exist.")
    sequence, digest = database.execute(_HEAD).fetchone() or (0, "")
    last = database.execute(_LAST, [sequence]).fetchone()
    if sequence and (last is None or last[0] != digest):
        raise BackupError(f"{path} lacks the last entry of its own audit trail.")
    applied = database.execute("SELECT app, name FROM django_migrations")
    return Content(sequence, digest, frozenset(applied))


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection to a file that must be there."""
    address = f"file:{quote(str(path))}?mode=rw"
    with contextlib.closing(sqlite3.connect(address, timeout=LOCK_SECONDS, uri=True)) as database:
        yield database


@contextlib.contextmanager
def _created(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection to a file that is made for its owner alone, if it is not there."""
    with contextlib.closing(
        sqlite3.connect(path, timeout=LOCK_SECONDS, factory=PrivateConnection)
    ) as database:
        yield database
