"""Whose fault it is that updates are denied: this batch's, or that of a key that may not write."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from batchops.services.attempts.outcomes import Denied

DENIALS_IN_A_ROW: Final = 5
"""So many different batches refused for the key's sake, and none accepted, mean the key."""
DENIALS_KEPT_SECONDS: Final = 5.0
"""Longest time a denial is kept to see whether other batches are denied too."""


class Denials:
    """Batches refused for the key's sake, kept until it is clear whether the key is meant.

    One batch may well be denied alone. Many in a row, while none is accepted, are the key's doing:
    it may read and not write.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: list[Denied] = []
        self._since = 0.0
        self._is_key = False

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, denied: Denied) -> None:
        if not self._kept:
            self._since = self._clock()
        self._kept.append(denied)
        self._is_key = self._is_key or len(self._kept) >= DENIALS_IN_A_ROW

    def accepted(self) -> list[Denied]:
        """The vendor accepted an update; returns the denials, each of which stands for itself."""
        self._is_key = False
        return self._taken()

    def of_the_key(self) -> list[Denied]:
        """The denials that the key is to blame for, as far as that is clear."""
        return self._taken() if self._is_key else []

    def of_the_batches(self, leased: int) -> list[Denied]:
        """The denials that stand for themselves, for an engine that has so many items leased."""
        late = self._clock() - self._since >= DENIALS_KEPT_SECONDS
        return self._taken() if not self._is_key and (late or len(self._kept) >= leased) else []

    def _taken(self) -> list[Denied]:
        kept, self._kept = self._kept, []
        return kept
