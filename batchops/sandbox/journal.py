"""What the sandbox received, request by request: the measure for every trail kept elsewhere."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from collections import deque
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from batchops.sandbox.records import Wire

ENTRIES_KEPT: Final = 500_000
BODY_CHARACTERS_KEPT: Final = 2_000
"""Of a body that is not JSON."""


@dataclass(slots=True)
class Entry:
    """One request received. Headers are not kept: they hold the key.

    `status` is the HTTP status answered, "reset" for a connection that was cut, None while
    no answer was given. `applied` is true when the request changed the batch.
    """

    sequence: int
    at: str
    method: str
    path: str
    query: str
    batch_id: str | None
    body: Any
    status: int | str | None = None
    fault: str | None = None
    applied: bool = False


class Journal:
    """The latest requests, oldest first; sequence numbers start at 1 and have no gaps."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=ENTRIES_KEPT)
        self.received = 0

    def open(self, method: str, path: str, query: str, batch_id: str | None, body: bytes) -> Entry:
        """Note a request the moment it was read; the caller fills in how it was answered."""
        self.received += 1
        at = dt.datetime.now(dt.UTC).isoformat()
        entry = Entry(self.received, at, method, path, query, batch_id, _readable(body))
        self._entries.append(entry)
        return entry

    def clear(self) -> None:
        """Forget all; numbering starts at 1 again."""
        self._entries.clear()
        self.received = 0

    def entries(
        self, *, after: int = 0, method: str | None = None, limit: int = ENTRIES_KEPT
    ) -> list[Wire]:
        """Entries beyond a sequence number, as JSON values."""
        chosen = (
            entry
            for entry in self._entries
            if entry.sequence > after and method in (None, entry.method)
        )
        return [dataclasses.asdict(entry) for entry in islice(chosen, limit)]


def _readable(body: bytes) -> Any:
    if not body:
        return None
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")[:BODY_CHARACTERS_KEPT]
