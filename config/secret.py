"""The demo's own secret, made once and kept beside its data."""

from __future__ import annotations

import secrets
from pathlib import Path


def demo_secret(folder: Path) -> str:
    """The secret key of a demo: made at the first start, readable by its owner alone."""
    path = folder / "secret_key"
    try:
        with path.open("x", opener=_owner_only) as file:
            file.write(secrets.token_urlsafe(50))
    except FileExistsError:
        pass
    return path.read_text().strip()


def _owner_only(path: str, flags: int) -> int:
    import os

    return os.open(path, flags, 0o600)
