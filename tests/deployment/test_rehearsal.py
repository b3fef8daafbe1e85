"""A deployment whose parts are killed one after the other loses nothing, and the site stays up."""

from __future__ import annotations

import shutil

import pytest

from tools import postgres, rehearsal
from tools.topology import SYSTEM_FOLDERS

MISSING = [
    name
    for name in ("nginx", "redis-server")
    if not (shutil.which(name) or shutil.which(name, path=SYSTEM_FOLDERS))
]


@pytest.mark.once
@pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")
@pytest.mark.skipif(postgres.folder_of_programs() is None, reason="PostgreSQL is not installed")
def test_nothing_is_lost_while_parts_are_killed_and_come_back() -> None:
    said: list[str] = []
    with rehearsal.folder_for_it() as folder:
        rehearsal.Rehearsal(folder, 200, 240, said.append, change_seconds=6).run(whole=False)
    killed = [line.split()[2] for line in said if "killed" in line]
    assert killed == ["web-1", "worker-1", "redis", "postgres"]
    assert "200 batches sent" in said[-2]
