"""Lanes: named threads of the worker process, none of which ever waits for another."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from django.db import close_old_connections

from batchops.logs import request_id

logger = logging.getLogger(__name__)

FIRST_BACKOFF_SECONDS: Final = 0.5
LONGEST_BACKOFF_SECONDS: Final = 4.0
FAILURES_IN_A_ROW: Final = 4
"""A lane that failed so often in a row is not well."""

Step = Callable[[], float | None]
"""One round of a lane's work. It returns after how many seconds the next is due, where that is
before the lane's own interval is over."""


class Lane:
    """A thread that takes a step whenever it is woken, and `every` so many seconds.

    A step that fails is logged and taken again after a back-off. A step that hangs holds its own
    lane alone.
    """

    def __init__(self, name: str, step: Step, every: float) -> None:
        self.name = name
        self.step = step
        self.every = every
        self.failures = 0
        """How often its step has failed in a row."""
        self._alive_at = time.monotonic()
        self._woken, self._ending = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread, unless it runs already."""
        if self._thread is None or not self._thread.is_alive():
            self._ending.clear()
            self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
            self._thread.start()

    def wake(self) -> None:
        """Have the next step taken at once; if one is under way, right after it."""
        self._woken.set()

    def ask_to_end(self) -> None:
        self._ending.set()
        self._woken.set()

    def is_asked_to_end(self) -> bool:
        """For long steps to ask often: whoever asks whether to go on is alive."""
        self._alive_at = time.monotonic()
        return self._ending.is_set()

    def is_well(self, seconds: float) -> bool:
        """Whether it showed in the last `seconds` that it goes on, and does not fail every time."""
        is_recent = time.monotonic() - self._alive_at < seconds
        return is_recent and self.failures < FAILURES_IN_A_ROW

    def join(self, seconds: float) -> bool:
        """Wait for the thread to end; False when it did not in time."""
        if self._thread is not None:
            self._thread.join(seconds)
        return self._thread is None or not self._thread.is_alive()

    def _run(self) -> None:
        while not self.is_asked_to_end():
            self._woken.clear()
            try:
                seconds = self._take_step()
            except Exception as error:  # noqa: BLE001  a lane outlives what its work meets
                self._fail(error)
                continue
            self.failures = 0
            self._woken.wait(self.every if seconds is None else min(self.every, max(0.0, seconds)))

    def _fail(self, error: Exception) -> None:
        """Log it, the whole of it once: what goes on for hours must not fill the disk. Wait."""
        pause = min(FIRST_BACKOFF_SECONDS * 2**self.failures, LONGEST_BACKOFF_SECONDS)
        self.failures = min(self.failures + 1, FAILURES_IN_A_ROW)
        logger.error("The %s lane failed: %s", self.name, error, exc_info=self.failures == 1)
        self._ending.wait(pause)

    def _take_step(self) -> float | None:
        request_id.set(f"{self.name}-{secrets.token_hex(4)}")
        close_old_connections()
        try:
            return self.step()
        finally:
            close_old_connections()


def all_of(*parts: Callable[[], object]) -> Step:
    """A step of several parts, each of which is done even where one before it fails."""

    def step() -> None:
        failed: Exception | None = None
        for part in parts:
            try:
                part()
            except Exception as error:  # noqa: BLE001  raised below
                failed = failed or error
        if failed is not None:
            raise failed

    return step


def end(lanes: Sequence[Lane], seconds: float) -> list[Lane]:
    """Ask all lanes to end and wait so long for them; returns those that did not."""
    for lane in lanes:
        lane.ask_to_end()
    deadline = time.monotonic() + seconds
    return [lane for lane in lanes if not lane.join(max(0.0, deadline - time.monotonic()))]
