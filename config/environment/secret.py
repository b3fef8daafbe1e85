"""Secrets: read from files of their own, or made once for a demo and kept beside its data."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path
from typing import Final

from django.core.exceptions import ImproperlyConfigured

from batchops.files import for_owner_alone

MOST_BYTES: Final = 64 * 1024
"""Of the file of a secret; no key, token or URL comes near it."""


def from_file(variable: str, path: Path) -> str:
    """What a file holds, without the white space around it.

    Raises ImproperlyConfigured that names the variable and the file, never with what is in it, for
    a file that cannot be read or holds nothing.
    """
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise _refused(variable, path, "is no regular file")
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise _refused(variable, path, f"cannot be read: {error.strerror}") from None
    if len(content) > MOST_BYTES:
        raise _refused(variable, path, f"holds more than {MOST_BYTES // 1024} KiB")
    try:
        text = content.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise _refused(variable, path, "is not UTF-8 text") from None
    if not text:
        raise _refused(variable, path, "is empty")
    return text


def _without_waiting(path: str, flags: int) -> int:
    """Opens at once, where a pipe that nobody writes to would hold up whoever opens it."""
    return os.open(path, flags | os.O_NONBLOCK)


def _refused(variable: str, path: Path, why: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(f"{variable} is {str(path)!r}, which {why}.")


def demo_secret(folder: Path) -> str:
    """The secret key of a demo: made at the first start, readable by its owner alone."""
    path = folder / "secret_key"
    with contextlib.suppress(FileExistsError), open(path, "x", opener=for_owner_alone) as file:
        file.write(secrets.token_urlsafe(50))
    return path.read_text().strip()
