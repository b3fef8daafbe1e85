"""What can go wrong between a request and a change; each message says what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from batchops.audit import Fact
    from batchops.models import AuditEntry, Change


class ChangeError(Exception):
    """A request that cannot be carried out. `field` names the input it is about, if any."""

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.field = field


class NotAllowed(ChangeError):
    """The person lacks the permission. `fact` is the denied try, not yet recorded."""

    def __init__(self, message: str, fact: Fact | None = None) -> None:
        super().__init__(message)
        self.fact = fact


class EmptySelection(ChangeError):
    """There is no batch to do anything with."""


class InvalidInput(ChangeError):
    """A value that cannot be used."""


class WrongState(ChangeError):
    """The change is no longer in a state in which this is possible."""

    def __init__(self, message: str, change: Change) -> None:
        super().__init__(message)
        self.change = change


class Moved(ChangeError):
    """What would run is no longer what the person was shown. `since` tells what moved it."""

    def __init__(self, message: str, change: Change, since: Sequence[AuditEntry] = ()) -> None:
        super().__init__(message)
        self.change = change
        self.since = since


class ResumeWindowClosed(ChangeError):
    """Resuming is not allowed at this hour."""
