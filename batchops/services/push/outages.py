"""Whose fault it is that requests fail: this batch's, or that of a vendor that serves nobody.

A vendor is judged by kind of request, since it may answer reads while changes fail. The one
question is whether others were served while a batch failed. That many fail in a row says nothing
by itself: they may be few.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from batchops.services.attempts.assignments import RequestKind

FAILING_FOR_SECONDS: Final = 180.0
"""So long a batch has to fail, while others are served, before it is given up."""
LEAST_TRIES: Final = 12
"""So many tries would have gone through by then, had it fared as others did."""
DOWN_AFTER_SECONDS: Final = 10.0
"""So long nobody has to be served before the vendor counts as down."""
LEAST_FAILURES: Final = 5
"""Failures that take part in that, at the least."""
FAILURES_AT_ONCE: Final = 16
"""So many failures in a row tell at once, whatever the time."""
MEMORY: Final = 50
"""Over about so many first tries it is judged how others fare."""


@dataclass(slots=True)
class _Record:
    """How requests of one kind fare. Moments are of the monotonic clock."""

    served_at: float = float("-inf")
    failures_in_a_row: int = 0
    hard_in_a_row: int = 0
    row_began: float = 0.0
    latest_beginning: float = float("-inf")
    served_share: float = 1.0
    was_down: bool = False


class Outages:
    """What the vendor serves at present, learnt from how each request ended.

    `at_once` is how many requests may be under way together: that many failures in a row may be
    one hiccup. `now` returns seconds that never go back.
    """

    def __init__(self, at_once: int, now: Callable[[], float] = time.monotonic) -> None:
        self._at_once = max(FAILURES_AT_ONCE, at_once)
        self.now = now
        self._records = {kind: _Record() for kind in RequestKind}

    def served(self, kind: RequestKind, *, first_try: bool = True) -> bool:
        """Note that a request was served; whether the vendor was down before."""
        record = self._records[kind]
        was_down, record.was_down = record.was_down, False
        record.served_at = self.now()
        record.failures_in_a_row = record.hard_in_a_row = 0
        if first_try:
            record.served_share += (1 - record.served_share) / MEMORY
        return was_down

    def failed(
        self, kind: RequestKind, failing_since: float, *, first_try: bool, throttled: bool = False
    ) -> None:
        """Note that a request failed, on a batch that fails since then.

        `throttled`: the vendor is there, and asked to slow down.
        """
        record = self._records[kind]
        if not record.failures_in_a_row:
            record.row_began = self.now()
        record.failures_in_a_row += 1
        record.latest_beginning = max(record.latest_beginning, failing_since)
        if throttled:
            return
        record.hard_in_a_row += 1
        if first_try:
            record.served_share -= record.served_share / MEMORY

    def is_down(self, kind: RequestKind, *, probing: bool = False) -> bool:
        """Whether the vendor serves no such request to anybody.

        `probing`: the request that failed was to find out whether it is still down.
        """
        record, now = self._records[kind], self.now()
        if record.latest_beginning <= record.served_at:
            # Each batch that fails began to while others were served.
            return False
        long = now - record.row_began >= DOWN_AFTER_SECONDS
        down = (
            (long and record.failures_in_a_row >= LEAST_FAILURES)
            or record.hard_in_a_row >= self._at_once
            or (probing and now - record.served_at >= DOWN_AFTER_SECONDS)
        )
        record.was_down = record.was_down or down
        return down

    def is_batch_at_fault(self, kind: RequestKind, failing_since: float, tries: int) -> bool:
        """Whether a batch that failed so often since then is itself the reason."""
        record = self._records[kind]
        return (
            record.served_at > failing_since
            and self.now() - failing_since >= FAILING_FOR_SECONDS
            and tries * record.served_share >= LEAST_TRIES
        )

    def words(self, kind: RequestKind, why: str) -> str:
        """What is served and what is not, for people."""
        other = self._records[kind.other]
        if other.failures_in_a_row:
            return f"The vendor does not answer: {why}"
        if other.served_at > float("-inf"):
            return f"The vendor answers {kind.other}, but no {kind}: {why}"
        return f"The vendor answers no {kind}: {why}"
