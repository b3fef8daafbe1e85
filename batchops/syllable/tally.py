"""Counts the requests of a process to the vendor: how many, how they ended, how long they took."""

from __future__ import annotations

import threading
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Final, TypeAlias

BUCKETS: Final = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds, in seconds, of how long a request takes; what is longer comes last."""
UNREACHABLE: Final = "unreachable"
"""Stands for the status of a request that was never sent."""
LOST: Final = "lost"
"""Stands for the status of a request whose reply did not arrive."""

Kind: TypeAlias = tuple[str, str]
"""What was asked for, and the HTTP status or what stands for it."""


@dataclass(slots=True)
class Durations:
    """How long requests of one kind took: the number in each bucket, and the sum in seconds."""

    buckets: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    seconds: float = 0.0

    def add(self, other: Durations) -> None:
        self.buckets = [a + b for a, b in zip(self.buckets, other.buckets, strict=True)]
        self.seconds += other.seconds


class RequestTally:
    """What was counted since it was last taken. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counted: dict[Kind, Durations] = {}

    def count(self, operation: str, status: str, seconds: float) -> None:
        with self._lock:
            durations = self._counted.setdefault((operation, status), Durations())
            durations.buckets[bisect_left(BUCKETS, seconds)] += 1
            durations.seconds += seconds

    def take(self) -> dict[Kind, Durations]:
        """All that was counted; from here on it counts from zero."""
        with self._lock:
            taken, self._counted = self._counted, {}
        return taken

    def give_back(self, taken: dict[Kind, Durations]) -> None:
        """Count again what was taken and could not be kept."""
        with self._lock:
            for kind, durations in taken.items():
                self._counted.setdefault(kind, Durations()).add(durations)
