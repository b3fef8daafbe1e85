"""Going as fast as the vendor allows, and slowing down together when it asks."""

from __future__ import annotations

import random as random_numbers
import threading
import time
from collections.abc import Callable
from typing import Final

GATE_CAP_SECONDS: Final = 2.0
"""Longest time that all requests are held back at once, whatever the vendor asks for.

What it asks for is honoured for the request that it said it to. All others go slower, one at a time
at the least: a rate limit lets some through, and what is urgent must be among them soon.
"""
BURST_SECONDS: Final = 1.0
"""Replies that arrive this close together belong to one burst, and slow down once."""


def backoff(
    attempt: int,
    *,
    base: float = 0.5,
    cap: float = 30.0,
    random: Callable[[], float] = random_numbers.random,
) -> float:
    """Seconds to wait after a failed attempt (1, 2, …): anywhere below a limit that doubles.

    Full jitter spreads out clients that failed together.
    """
    doublings = min(max(attempt, 1) - 1, 32)
    return min(cap, base * 2.0**doublings) * random()


class InFlightLimit:
    """How many requests may be under way at once, shared by all threads of a process.

    The limit halves when the vendor throttles, and grows back by one after each `limit` requests
    that went well. `clock` returns seconds that never go back.
    """

    def __init__(self, maximum: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        if maximum < 1:
            raise ValueError("At least one request must be allowed at a time.")
        self.maximum = maximum
        self._clock = clock
        self._changed = threading.Condition()
        self._limit = maximum
        self._in_flight = 0
        self._successes = 0
        self._throttles = 0
        self._closed_until = float("-inf")
        self._slowed_at = float("-inf")
        self._status = 429

    @property
    def limit(self) -> int:
        """How many requests may be under way at present."""
        return self._limit

    @property
    def in_flight(self) -> int:
        """How many requests are under way."""
        return self._in_flight

    @property
    def closed_until(self) -> float:
        """The moment of the clock before which nothing is started."""
        return self._closed_until

    @property
    def reason(self) -> str:
        """Why it goes slower than it could, in words; empty when it does not."""
        wait = self._closed_until - self._clock()
        if self._limit == self.maximum and wait <= 0:
            return ""
        words = f"slowed by the vendor ({self._status}): {self._limit} of {self.maximum} at a time"
        return f"{words}, next in {wait:.0f} s" if wait >= 1 else words

    def acquire(self, timeout: float | None = None) -> bool:
        """Wait for leave to start a request; False when `timeout` seconds passed without."""
        deadline = None if timeout is None else self._clock() + timeout
        with self._changed:
            while not self._is_open():
                now = self._clock()
                if deadline is not None and now >= deadline:
                    return False
                ahead = [
                    m - now for m in (deadline, self._closed_until) if m is not None and m > now
                ]
                self._changed.wait(min(ahead, default=None))
            self._in_flight += 1
            return True

    def release(self) -> None:
        """Tell that a request has ended, however it ended. Raises ValueError if none was begun."""
        with self._changed:
            if self._in_flight == 0:
                raise ValueError("No request is under way.")
            self._in_flight -= 1
            self._changed.notify_all()

    def succeeded(self) -> None:
        """Tell that the vendor answered as it should."""
        with self._changed:
            self._throttles = 0
            self._successes += 1
            if self._limit < self.maximum and self._successes >= self._limit:
                self._limit += 1
                self._successes = 0
                self._changed.notify_all()

    def throttled(self, retry_after: float | None = None, *, http_status: int = 429) -> None:
        """Tell that the vendor asked to slow down, for `retry_after` seconds if it said so."""
        with self._changed:
            now = self._clock()
            self._status = http_status
            self._successes = 0
            if now - self._slowed_at >= BURST_SECONDS:
                self._slowed_at = now
                self._throttles += 1
                self._limit = max(1, self._limit // 2)
            wait = backoff(self._throttles) if retry_after is None else max(0.0, retry_after)
            self._closed_until = max(self._closed_until, now + min(wait, GATE_CAP_SECONDS))

    def _is_open(self) -> bool:
        return self._in_flight < self._limit and self._clock() >= self._closed_until
