"""The threads of the push engine: they carry assignments to the vendor and know no database."""

from __future__ import annotations

import heapq
import itertools
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final
from uuid import UUID

from batchops.services.assignments import Assignment, Outcome
from batchops.services.attempts import attempt
from batchops.syllable.client import SyllableClient
from batchops.syllable.pacing import InFlightLimit

LOOK_UP_SECONDS: Final = 0.25
"""How often a thread that waits for its turn looks whether it is still wanted."""


class Dispatcher:
    """Sends assignments, as many at a time as the vendor allows, and hands back their outcomes.

    All methods are for one thread, the engine's. `limit` is what the vendor lets through.
    """

    def __init__(self, client: SyllableClient, maximum: int) -> None:
        self.limit = InFlightLimit(maximum)
        self._client = client
        self._ready: queue.SimpleQueue[Assignment | None] = queue.SimpleQueue()
        self._outcomes: queue.SimpleQueue[Outcome | BaseException] = queue.SimpleQueue()
        self._delayed: list[tuple[float, int, Assignment]] = []
        self._order = itertools.count()
        self._called_off: frozenset[UUID] = frozenset()
        self._closing = False
        self._threads = [
            threading.Thread(target=self._work, name=f"push-{number}", daemon=True)
            for number in range(maximum)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def send(self, assignment: Assignment) -> None:
        """Send as soon as a thread is free and the vendor allows it."""
        self._ready.put(assignment)

    def send_later(self, assignment: Assignment, seconds: float) -> None:
        heapq.heappush(self._delayed, (time.monotonic() + seconds, next(self._order), assignment))

    def send_due(self) -> None:
        """Send what was to be sent later and whose time has come."""
        now = time.monotonic()
        while self._delayed and self._delayed[0][0] <= now:
            self.send(heapq.heappop(self._delayed)[2])

    def outcomes(self, seconds: float = 0.0, most: int | None = None) -> Iterator[Outcome]:
        """What has come in, waiting up to `seconds` for the first. Raises what a thread raised."""
        for number in itertools.count():
            if number == most:
                return
            try:
                outcome = self._outcomes.get(timeout=seconds if number == 0 else 0)
            except queue.Empty:
                return
            if isinstance(outcome, BaseException):
                raise outcome
            yield outcome

    def call_off(self, change_ids: frozenset[UUID]) -> None:
        """From now on send nothing of these changes (but reads), and of all others again."""
        self._called_off = change_ids

    def take_back(self, chosen: Callable[[Assignment], bool] = lambda _: True) -> list[Assignment]:
        """Take back those that no thread is at work on."""
        taken = [entry[2] for entry in self._delayed if chosen(entry[2])]
        self._delayed = [entry for entry in self._delayed if not chosen(entry[2])]
        heapq.heapify(self._delayed)
        kept: list[Assignment] = []
        try:
            while (assignment := self._ready.get_nowait()) is not None:
                (taken if chosen(assignment) else kept).append(assignment)
        except queue.Empty:
            pass
        for assignment in kept:
            self.send(assignment)
        return taken

    def close(self, seconds: float) -> list[Assignment]:
        """End the threads, waiting up to `seconds` for what is under way; returns the unsent."""
        self._closing = True
        unsent = self.take_back()
        for _ in self._threads:
            self._ready.put(None)
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, deadline - time.monotonic()))
        return unsent

    def _work(self) -> None:
        while (assignment := self._ready.get()) is not None:
            self._outcomes.put(self._carried_out(assignment))

    def _carried_out(self, assignment: Assignment) -> Outcome | BaseException:
        if not self._admitted(assignment):
            return Outcome(assignment, put_back=True)
        try:
            return attempt(self._client, self.limit, assignment)
        except BaseException as error:  # noqa: BLE001  the engine raises it
            return error
        finally:
            self.limit.release()

    def _admitted(self, assignment: Assignment) -> bool:
        """Wait for a place among the requests in flight; False when it is not wanted any more."""
        while not self._is_unwanted(assignment):
            if not self.limit.acquire(timeout=LOOK_UP_SECONDS):
                continue
            if not self._is_unwanted(assignment):
                return True
            self.limit.release()
        return False

    def _is_unwanted(self, assignment: Assignment) -> bool:
        off = assignment.change_id in self._called_off and not assignment.read_only
        return self._closing or off
