"""The demo's own secret, made once and kept beside its data."""

from __future__ import annotations

import contextlib
import secrets
from pathlib import Path

from batchops.files import for_owner_alone


def demo_secret(folder: Path) -> str:
    """The secret key of a demo: made at the first start, readable by its owner alone."""
    path = folder / "secret_key"
    with contextlib.suppress(FileExistsError), open(path, "x", opener=for_owner_alone) as file:
        file.write(secrets.token_urlsafe(50))
    return path.read_text().strip()
