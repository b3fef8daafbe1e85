"""Lets items of a change through once the mirror is fresh enough to compare them with."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator
from contextlib import suppress
from uuid import UUID

from django.db import DatabaseError
from django.utils import timezone

from batchops.models import Change
from batchops.services import vendor
from batchops.services.runs import preflight
from batchops.syllable.errors import SyllableError
from batchops.syllable.rate.limiter import Use


class FreshnessGate:
    """Reads the vendor's lists for changes of many batches; few are read one by one when sent.

    Nothing here waits: `advance` goes on with what is being read.
    """

    def __init__(self) -> None:
        self._preflights: dict[UUID, preflight.Preflight] = {}
        self._read_each: set[UUID] = set()
        self._unread: dict[UUID, set[str]] = {}

    @property
    def is_reading(self) -> bool:
        return bool(self._preflights)

    def is_open(self, change: Change) -> bool:
        """Whether all items of a change may be sent; begins to read for it where nobody does."""
        now = timezone.now()
        if change.priority == Change.Priority.EMERGENCY or preflight.is_fresh(change, now):
            return True
        if change.pk in self._preflights:
            return False
        if change.pk in self._read_each or preflight.reads_each(change):
            self._read_each.add(change.pk)
            return True
        if preflight.take_turn(change, now):
            self._preflights[change.pk] = preflight.Preflight(change, vendor.client(use=Use.WRITE))
        return False

    def just_compared(self, change: Change) -> list[str]:
        """The batches compared since the last call, which may be sent before the gate is open."""
        reading = self._preflights.get(change.pk)
        return reading.take_seen() if reading else []

    def advance(self) -> Iterator[tuple[Change, SyllableError]]:
        """Write what came in for comparison; yields what broke off, with its error."""
        for key, reading in list(self._preflights.items()):
            try:
                if not reading.step():
                    continue
            except SyllableError as error:
                yield reading.change, error
            self._unread[key] = reading.unread
            self._preflights.pop(key).close()

    def compared_at(self, change: Change, batch_id: str) -> dt.datetime | None:
        """When the list was last read that showed a batch; None: read it before it is sent."""
        if change.pk in self._read_each or batch_id in self._unread.get(change.pk, ()):
            return None
        reading = self._preflights.get(change.pk)
        return reading.started_at if reading else change.preflight_at

    def forget_others(self, change_ids: Collection[UUID]) -> None:
        """Keep only what is known for these changes."""
        self._read_each &= set(change_ids)
        for key in self._unread.keys() - set(change_ids):
            del self._unread[key]

    def close(self) -> None:
        """Break off what is being read, so that another worker may have its turn."""
        for reading in self._preflights.values():
            with suppress(DatabaseError):
                reading.close()
