"""What a backup holds, as far as it decides whether it may come back."""

from __future__ import annotations

from dataclasses import dataclass


class BackupError(Exception):
    """A backup that cannot be made or brought back; the message says why and what to do."""


class InUse(BackupError):
    """Somebody else is connected to the database that is to be replaced."""


@dataclass(frozen=True, slots=True)
class Content:
    """The end of the audit trail in a backup, and the migrations that made its tables."""

    sequence: int
    hash: str
    migrations: frozenset[tuple[str, str]]

    @property
    def head(self) -> str:
        """As `verify_audit --anchor` takes it."""
        return f"{self.sequence}:{self.hash}"
