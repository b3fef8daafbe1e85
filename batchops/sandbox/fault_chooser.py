"""The choice among the faults, made for each request."""

from __future__ import annotations

import email.utils
import math
import random
import time
from collections import Counter
from typing import Final

from batchops.sandbox.faults import (
    Endpoint,
    FaultKind,
    Faults,
    RetryAfter,
    Share,
    applies_to,
)

ABSURD_RETRY_AFTER: Final = "86400"
LAGS: Final = {Endpoint.BATCHES: "list_lag_seconds", Endpoint.BATCH: "get_lag_seconds"}


class FaultChooser:
    """Decides which fault each request meets; keeps the counters that this needs."""

    def __init__(self, faults: Faults, seed: int | None = None) -> None:
        self._draw = random.Random(seed)  # noqa: S311
        self._happened: Counter[FaultKind] = Counter()
        self._lagging_since: dict[str, float] = {}
        self.faults = faults
        self.set(faults)

    def set(self, faults: Faults) -> None:
        """Take new faults; the rate limit and the counts of the shares that were set begin again.

        A lag begins now: what is there already is seen at once.
        """
        for kind, share in faults.shares.items():
            if share is not self.faults.shares.get(kind):
                self._happened[kind] = 0
        self.faults = faults
        self._tokens = self._burst
        self._filled_at = now = time.monotonic()
        since = self._lagging_since
        lags = [lag for lag in LAGS.values() if getattr(faults, lag)]
        self._lagging_since = {lag: since.get(lag, now) for lag in lags}

    @property
    def _burst(self) -> float:
        return self.faults.rate_limit_burst or max(1.0, self.faults.rate_limit)

    def in_scope(
        self, endpoint: Endpoint, method: str, batch_id: str | None, share: Share | None = None
    ) -> bool:
        """Whether a share, or latency and rate limit, concern such a request."""
        asked = {"methods": method, "endpoints": endpoint, "batch_ids": batch_id}
        return all(self._covers(part, value, share) for part, value in asked.items())

    def _covers(self, part: str, value: str | None, share: Share | None) -> bool:
        own = getattr(share, part, None)
        names: frozenset[str] = getattr(self.faults, part) if own is None else own
        return not names or value in names

    def moment_shown(self, endpoint: Endpoint) -> float:
        """As of which moment (`time.monotonic`) a read is answered; infinity is the present."""
        lag = LAGS.get(endpoint, "")
        if lag not in self._lagging_since or self._draw.random() >= self.faults.lagging_share:
            return math.inf
        seconds: float = getattr(self.faults, lag)
        return max(time.monotonic() - seconds, self._lagging_since[lag])

    def delay(self) -> float:
        """Seconds to wait before an answer."""
        return self.faults.latency + self._draw.uniform(0, self.faults.jitter)

    def over_the_limit(self) -> bool:
        """Whether one more request now is one too many."""
        if not self.faults.rate_limit:
            return False
        now = time.monotonic()
        gained = (now - self._filled_at) * self.faults.rate_limit
        self._tokens = min(self._burst, self._tokens + gained)
        self._filled_at = now
        if self._tokens < 1:
            return True
        self._tokens -= 1
        return False

    def choose(self, endpoint: Endpoint, method: str, batch_id: str | None) -> FaultKind | None:
        """The fault that this request meets, if any; each share is drawn by itself."""
        for kind, share in self.faults.shares.items():
            if share.times is not None and self._happened[kind] >= share.times:
                continue
            if not applies_to(kind, endpoint):
                continue
            if not self.in_scope(endpoint, method, batch_id, share):
                continue
            if self._draw.random() < share.share:
                self._happened[kind] += 1
                return kind
        return None

    def retry_after_headers(self, form: RetryAfter) -> dict[str, str]:
        """The Retry-After header in the form asked for, if any."""
        if form is RetryAfter.NONE:
            return {}
        if form is RetryAfter.ABSURD:
            return {"Retry-After": ABSURD_RETRY_AFTER}
        seconds = max(self.faults.retry_after_seconds, self._seconds_to_next_token())
        if form is RetryAfter.SECONDS:
            return {"Retry-After": str(seconds)}
        return {"Retry-After": email.utils.formatdate(time.time() + seconds, usegmt=True)}

    def _seconds_to_next_token(self) -> int:
        if not self.faults.rate_limit:
            return 0
        return math.ceil(max(0.0, 1 - self._tokens) / self.faults.rate_limit)
