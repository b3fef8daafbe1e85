"""What happens every so many seconds."""

from __future__ import annotations

import time
from collections.abc import Callable


class Interval:
    """Tells when something is due again. `clock` returns seconds that never go back."""

    def __init__(
        self,
        seconds: float,
        *,
        at_once: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._seconds = seconds
        self._clock = clock
        self._last = float("-inf") if at_once else clock()

    def is_due(self) -> bool:
        """Whether so much time has passed since this was last true."""
        now = self._clock()
        if now - self._last < self._seconds:
            return False
        self._last = now
        return True
