"""The state file: a small SQLite database that outlives the process, even a killed one."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from batchops.sandbox.records import (
    Batch,
    InvalidRecord,
    batch_from_stored,
    campaign_from_stored,
    stored_batch,
    stored_campaign,
)
from batchops.sandbox.world import World

FORMAT: Final = 1
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS campaign (id INTEGER PRIMARY KEY, data TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS batch (
    position INTEGER PRIMARY KEY AUTOINCREMENT, batch_id TEXT NOT NULL UNIQUE, data TEXT NOT NULL
);
"""
_UPSERT: Final = """
INSERT INTO batch (batch_id, data) VALUES (?, ?)
ON CONFLICT (batch_id) DO UPDATE SET data = excluded.data
"""


class StateFileError(Exception):
    """The state file cannot be used; the message says why and what to do."""


class StateFile:
    """One file for one sandbox: a second one that opens it is refused."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.touch(mode=0o600)
            self._database = sqlite3.connect(path, timeout=1, check_same_thread=False)
            self._prepare()
        except (OSError, sqlite3.Error) as error:
            raise self._unusable(error) from error

    def _prepare(self) -> None:
        self._database.execute("PRAGMA locking_mode=EXCLUSIVE")
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        found = self._database.execute("PRAGMA user_version").fetchone()[0]
        tables = self._database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if found != FORMAT and tables:
            raise StateFileError(
                f"{self.path} was not written by this version of the sandbox. Name another "
                "file, or move this one away to start with a new world."
            )
        with self._database:
            self._database.executescript(_SCHEMA)
            self._database.execute(f"PRAGMA user_version={FORMAT}")

    def _unusable(self, error: Exception) -> StateFileError:
        if "locked" in str(error):
            return StateFileError(
                f"{self.path} is in use by another sandbox. Stop that one or name another file."
            )
        if isinstance(error, OSError) or "unable to open" in str(error):
            return StateFileError(f"{self.path} cannot be opened: {error}. Name another file.")
        return StateFileError(
            f"{self.path} is damaged or not a state file ({error}). Move it away or delete it, "
            "and start again with a new world."
        )

    def load(self) -> World | None:
        """The world as last written, None for a new file. Raises `StateFileError`."""
        try:
            campaigns = self._database.execute("SELECT data FROM campaign ORDER BY id").fetchall()
            batches = self._database.execute("SELECT data FROM batch ORDER BY position").fetchall()
            if not campaigns and not batches:
                return None
            return World(
                [campaign_from_stored(json.loads(data)) for (data,) in campaigns],
                [batch_from_stored(json.loads(data)) for (data,) in batches],
            )
        except (sqlite3.Error, ValueError, InvalidRecord) as error:
            raise self._unusable(error) from error

    def save_world(self, world: World) -> None:
        """Write a new world, whole or not at all. Raises `StateFileError`."""
        campaigns = [(one.id, json.dumps(stored_campaign(one))) for one in world.campaigns.values()]
        batches = [_row(key, batch) for key, batch in world.batches.items()]
        try:
            with self._database:
                self._database.executemany(
                    "INSERT INTO campaign (id, data) VALUES (?, ?)", campaigns
                )
                self._database.executemany(_UPSERT, batches)
        except sqlite3.Error as error:
            raise self._unwritable(error) from error

    def save(self, changes: Mapping[str, Batch | None]) -> None:
        """Write changed batches and forget vanished ones. Raises `StateFileError`."""
        kept = [_row(key, batch) for key, batch in changes.items() if batch is not None]
        gone = [(key,) for key, batch in changes.items() if batch is None]
        try:
            with self._database:
                self._database.executemany(_UPSERT, kept)
                self._database.executemany("DELETE FROM batch WHERE batch_id = ?", gone)
        except sqlite3.Error as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: Exception) -> StateFileError:
        return StateFileError(
            f"{self.path} cannot be written: {error}. Make room on the disk; what the "
            "sandbox holds in memory is written as soon as there is some."
        )

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()


def _row(key: str, batch: Batch) -> tuple[str, str]:
    return key, json.dumps(stored_batch(batch))


def restore_or_make(state_file: StateFile, make: Callable[[], World]) -> tuple[World, bool]:
    """The world of the file, or a new one written to it; and whether it was there already.

    Raises `StateFileError`.
    """
    world = state_file.load()
    if world is not None:
        return world, True
    world = make()
    state_file.save_world(world)
    return world, False
