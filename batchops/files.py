"""Files and folders for their owner alone, whatever the umask is."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700


def for_owner_alone(path: str, flags: int) -> int:
    """An opener for `open()`: what it creates can be read and written by its owner alone."""
    return os.open(path, flags, FILE_MODE)


def make_folder(path: Path) -> None:
    """Make a folder, and those it lies in, for their owner alone; what is there stays as it is.

    Raises OSError where that is impossible.
    """
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(mode=FOLDER_MODE, exist_ok=True)


def flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk. Raises OSError."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def keep_private(path: Path) -> None:
    """Make a file for its owner alone, or close one that is there to others.

    SQLite gives the files that it puts beside a database (-wal, -shm, -journal) the mode of the
    database. Raises OSError where the file cannot be made.

    A file that is there is never opened: to close it again would take away all locks that this
    process has on it (POSIX), and the next process to end would delete the -wal under our hands.
    """
    if not path.exists():
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, FILE_MODE))
    if path.stat().st_mode & 0o777 & ~FILE_MODE:
        # Somebody else's file is theirs to close.
        with contextlib.suppress(PermissionError):
            path.chmod(FILE_MODE)
