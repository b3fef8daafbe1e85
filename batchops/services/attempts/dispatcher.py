"""The threads that carry assignments to the vendor. They know no database."""

from __future__ import annotations

import functools
import heapq
import itertools
import queue
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final

from batchops.services.attempts.assignments import Assignment, Mode
from batchops.services.attempts.attempt import Attempt
from batchops.services.attempts.outcomes import Report
from batchops.services.runs.fair_queue import Claimant, FairQueue
from batchops.syllable.client import SyllableClient
from batchops.syllable.limits import InFlightLimit
from batchops.syllable.rate.limiter import Use

IDLE_POLL_SECONDS: Final = 0.25
"""How often a thread that waits for its turn checks whether it is still needed."""
OVERDUE_POLL_SECONDS: Final = 0.05
"""How often the queue is checked for what may pass the requests that hang."""


def running_clock() -> float:
    """Seconds that go on also while the process, or the machine, stands still."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Dispatcher:
    """Sends assignments, as many at a time as the vendor allows, and hands back what came of them.

    A free thread first gets leave to start a request and only then takes what is next in fair
    order, so nothing that is taken ever waits. What must not wait behind requests that hang gets
    threads beside, up to twice as many. All methods are for one thread, the engine's. `limit` is
    what the vendor lets through. Nothing is sent after `leased_until`, a moment of `running_clock`,
    nor of the items in `lost`.
    """

    def __init__(self, client: SyllableClient, maximum: int) -> None:
        self.limit = InFlightLimit(maximum)
        self.leased_until = float("inf")
        self.lost: Collection[int] = ()
        self.queue: FairQueue[Assignment] = FairQueue()
        self._client = client
        self._reports: queue.SimpleQueue[Report | BaseException] = queue.SimpleQueue()
        self._rate = client.limiter
        self._delayed: list[tuple[float, int, Claimant, Assignment]] = []
        self._order = itertools.count()
        self._closing = threading.Event()
        self._spare = threading.Semaphore(2 * maximum)
        self._threads = [
            threading.Thread(target=self._work, name=f"push-{number}", daemon=True)
            for number in range(maximum)
        ]
        self._threads.append(threading.Thread(target=self._watch, name="push-watch", daemon=True))

    @property
    def allowed_per_second(self) -> float | None:
        """Requests a second that the vendor allows, where that is what holds them up; else None."""
        return self._rate.allowed

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def send(self, claimant: Claimant, assignments: Sequence[Assignment]) -> None:
        """Send as soon as it is their turn and the vendor allows it."""
        self.queue.put(claimant, assignments)

    def send_later(self, claimant: Claimant, assignment: Assignment, seconds: float) -> None:
        due = time.monotonic() + seconds
        heapq.heappush(self._delayed, (due, next(self._order), claimant, assignment))

    def send_due(self) -> None:
        """Send what was to be sent later and whose time has come."""
        now = time.monotonic()
        while self._delayed and self._delayed[0][0] <= now:
            _due, _number, claimant, assignment = heapq.heappop(self._delayed)
            self.queue.put(claimant, [assignment], ahead=True)

    def reports(self, seconds: float = 0.0, most: int | None = None) -> Iterator[Report]:
        """What has come in, waiting up to `seconds` for the first. Raises what a thread raised."""
        for number in itertools.count():
            if number == most:
                return
            try:
                report = self._reports.get(timeout=seconds if number == 0 else 0)
            except queue.Empty:
                return
            if isinstance(report, BaseException):
                raise report
            yield report

    def unsent(self) -> list[Assignment]:
        """What waits to be sent, now or later."""
        found: list[Assignment] = [entry[3] for entry in self._delayed]
        return found + self.queue.items()

    def take_back(self, chosen: Callable[[Assignment], bool] = lambda _: True) -> list[Assignment]:
        """Take back what is chosen and was not sent yet, or was to be sent again."""
        taken = self.queue.remove(chosen)
        taken += [entry[3] for entry in self._delayed if chosen(entry[3])]
        self._delayed = [entry for entry in self._delayed if not chosen(entry[3])]
        heapq.heapify(self._delayed)
        return taken

    def close(self, seconds: float) -> list[Assignment]:
        """End the threads, waiting up to `seconds` for what is under way; returns the unsent."""
        self._closing.set()
        unsent = self.take_back()
        self.queue.wake_all()
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, deadline - time.monotonic()))
        return unsent

    def _work(self) -> None:
        while not self._closing.is_set():
            if not (self.queue.wait(IDLE_POLL_SECONDS) and self.limit.acquire(IDLE_POLL_SECONDS)):
                continue
            try:
                use = Use.EMERGENCY if self.queue.has_emergency() else Use.WRITE
                if not self._rate.acquire(use, IDLE_POLL_SECONDS):
                    continue
                if (assignment := self.queue.take()) is not None:
                    self._carry_out(assignment)
            finally:
                self._rate.give_back()
                self.limit.release()

    def _watch(self) -> None:
        """Give a thread of its own to each request that is overdue."""
        started: list[threading.Thread] = []
        while not self._closing.wait(OVERDUE_POLL_SECONDS):
            # What waits for the rate is not overdue, and hangs nowhere.
            if self._rate.is_waited_for or not self._spare.acquire(blocking=False):
                continue
            if (assignment := self.queue.take_overdue()) is None:
                self._spare.release()
                continue
            started = [thread for thread in started if thread.is_alive()]
            started.append(
                threading.Thread(target=self._work_beside, args=[assignment], daemon=True)
            )
            started[-1].start()
        for thread in started:
            thread.join()

    def _is_leased(self, assignment: Assignment) -> bool:
        return running_clock() < self.leased_until and assignment.item_id not in self.lost

    def _work_beside(self, assignment: Assignment) -> None:
        try:
            if assignment.mode is Mode.SEND_AT_ONCE:
                self._rate.acquire(Use.EMERGENCY)
            self._carry_out(assignment)
        finally:
            self._rate.give_back()
            self._spare.release()

    def _carry_out(self, assignment: Assignment) -> None:
        is_leased = functools.partial(self._is_leased, assignment)
        try:
            attempt = Attempt(self._client, self.limit, assignment, is_leased)
            self._reports.put(attempt.carry_out())
        except BaseException as error:  # noqa: BLE001  the engine raises it
            self._reports.put(error)
        finally:
            self.queue.done(assignment.change_id)
