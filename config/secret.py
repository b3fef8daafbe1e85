"""The demo's own secret, made once and kept beside its data."""

from __future__ import annotations

import secrets
from pathlib import Path


def demo_secret(folder: Path) -> str:
    """The secret key of a demo: made at the first start, readable by its owner alone."""
    path = folder / "secret_key"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(50))
    return path.read_text().strip()
