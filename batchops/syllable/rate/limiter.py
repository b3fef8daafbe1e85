"""How often the vendor may be asked: one rate, kept by all threads together."""

from __future__ import annotations

import enum
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from batchops.syllable.rate.estimate import Estimate

CLOSED_AFTER: Final = 4
"""So many rounds of refusals, and nothing let through between them, say nothing about the rate."""
LONGEST_CLOSED_SECONDS: Final = 5.0
"""So long nothing is sent at the most while the vendor lets nothing through, whatever it asks."""
EXEMPT_SECONDS: Final = 1.0
"""How often an emergency may go though it is closed, or another worker's turn."""
WRITES_PER_READ: Final = 4
"""Turns of writes for each one of reads, where both wait."""
CATCH_UP_SECONDS: Final = 0.01
"""Whole slots missed in so short a time, since threads wake late, are made up for."""
CATCH_UP_PART: Final = 0.05
"""The same as a part of one slot, where slots are longer."""
LEAST_FIT: Final = 0.9
"""The part of a slot that has to be left of one's turn for one more request."""
RECENT: Final = 64
LEAST_SEEN: Final = 4
"""So many requests let through tell of a rate, at the least."""
BOUND_SECONDS: Final = 5.0
"""For so long after something had to wait, the rate counts as what holds requests up."""


class Use(enum.IntEnum):
    """What a request is for: emergencies go first, and of the others four writes for each read."""

    EMERGENCY = 0
    UNDER_WAY = 1
    """A further request for what was begun: a batch is compared, and then changed."""
    WRITE = 2
    READ = 3


@dataclass(frozen=True, slots=True)
class Leave:
    """Leave to start one request, given at a moment of the clock.

    `waited`: the rate held it up. `follows_others`: what went before was another process's, so the
    gap between the two may have been too short.
    """

    at: float
    slot: float
    waited: bool
    follows_others: bool


@dataclass(slots=True)
class _Turns:
    """When this process may send, where several share the rate: from and until."""

    granted: deque[tuple[float, float]] = field(default_factory=deque)
    current: float = -math.inf

    def next_from(self, moment: float, slot: float) -> float:
        while self.granted and moment + LEAST_FIT * slot > self.granted[0][1]:
            self.granted.popleft()
        return max(moment, self.granted[0][0]) if self.granted else math.inf

    def begins(self) -> bool:
        """Whether a request now is the first of a turn; it counts as sent."""
        begins_at = self.granted[0][0] if self.granted else self.current
        is_first, self.current = begins_at > self.current, begins_at
        return is_first


class RateLimiter:
    """Holds requests back so that the vendor refuses few. Shared by all threads of a process.

    `maximum` is the rate known beforehand, in requests a second; `burst` as many may go at once
    after a pause. `clock` returns seconds that never go back.
    """

    def __init__(
        self,
        maximum: float = math.inf,
        *,
        burst: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.maximum = maximum
        self._burst = burst
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: dict[Use, deque[threading.Condition]] = {use: deque() for use in Use}
        self._held = threading.local()
        self._estimate = Estimate()
        self._before_closed = self._estimate
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._advised, self._advised_until = math.inf, -math.inf
        self._next = -math.inf
        self._writes = 0
        self._rounds = 0
        self._lowered_at = -math.inf
        self._closed_until = -math.inf
        self._exempt_at = -math.inf
        self._waited_at = -math.inf
        self._is_held_up = False
        self._turns: _Turns | None = None

    @property
    def rate(self) -> float:
        """Requests a second allowed now, as far as is known; infinity: no limit is known."""
        advised = self._advised if self._clock() < self._advised_until else math.inf
        return min(self.maximum, self._estimate.rate, advised)

    @property
    def allowed(self) -> float | None:
        """The rate in requests a second where it holds requests up; else None."""
        is_bound = self._clock() - self._waited_at < BOUND_SECONDS
        return min(self.rate, self._estimate.ceiling) if is_bound else None

    # Leave --------------------------------------------------------------------------------------

    def acquire(self, use: Use, timeout: float = math.inf) -> bool:
        """Wait until this thread may start a request; False after `timeout` seconds without.

        The leave is this thread's until it is taken or given back.
        """
        with self._lock:
            now = entered = self._clock()
            if self._opens_at(use, now) <= now and self._is_next(use):
                self._grant(use, now)
                return True
            self._waited_at, self._is_held_up = now, True
            waiting = self._waiting[use]
            own = threading.Condition(self._lock)
            waiting.append(own)
            try:
                while True:
                    at = self._opens_at(use, now) if self._head() is own else math.inf
                    if at <= now:
                        waiting.remove(own)
                        self._grant(use, now)
                        return True
                    if (left := min(at, entered + timeout) - now) <= 0:
                        return False
                    own.wait(left if left < threading.TIMEOUT_MAX else None)
                    now = self._waited_at = self._clock()
            finally:
                if own in waiting:
                    waiting.remove(own)
                self._wake_next()

    def take(self, use: Use, timeout: float = math.inf) -> Leave | None:
        """The leave that this thread holds, or else a new one; None after `timeout` seconds."""
        if getattr(self._held, "leave", None) is None:
            asked = Use.UNDER_WAY if use is Use.WRITE else use
            if not self.acquire(asked, timeout):
                return None
        leave: Leave = self._held.leave
        self._held.leave = None
        return leave

    def give_back(self) -> None:
        """Let others have the leave that this thread holds and did not take, if any."""
        leave: Leave | None = getattr(self._held, "leave", None)
        if leave is not None:
            self._held.leave = None
            with self._lock:
                self._next -= leave.slot
                self._wake_next()

    def _grant(self, use: Use, now: float) -> None:
        rate = self.rate
        slot = 1 / rate
        behind = max(self._burst, rate * CATCH_UP_SECONDS // 1, CATCH_UP_PART) if slot else 0.0
        self._next = max(self._next, now - behind * slot) + slot
        self._writes = 0 if use is Use.READ else self._writes + 1
        if use is Use.EMERGENCY:
            self._exempt_at = now + EXEMPT_SECONDS
        # Whoever gave up waiting comes again.
        waited, self._is_held_up = self._is_held_up, self.is_waited_for
        if waited:
            self._estimate.grown += slot
            self._estimate.paced += slot
        follows_others = self._turns is not None and self._turns.begins()
        self._held.leave = Leave(now, slot, waited, follows_others)

    def _opens_at(self, use: Use, now: float) -> float:
        rate = self.rate
        at = now if math.isinf(rate) else max(self._next, now)
        opens = max(at, self._closed_until)
        if self._turns is not None and not math.isinf(rate):
            opens = self._turns.next_from(opens, 1 / rate)
        return min(opens, max(at, self._exempt_at)) if use is Use.EMERGENCY else opens

    def _is_next(self, use: Use) -> bool:
        return not any(self._waiting.values()) or use is Use.EMERGENCY

    def _head(self) -> threading.Condition | None:
        """Who is next of all that wait."""
        emergencies, under_way, others, reads = (self._waiting[use] for use in Use)
        if emergencies:
            return emergencies[0]
        writes = under_way or others
        if reads and (not writes or self._writes >= WRITES_PER_READ):
            return reads[0]
        return writes[0] if writes else None

    def _wake_next(self) -> None:
        if (head := self._head()) is not None:
            head.notify()

    # Learning -----------------------------------------------------------------------------------

    def accepted(self, leave: Leave) -> None:
        """Tell that the vendor answered a request, and not that there were too many."""
        with self._lock:
            self._recent.append(leave.at)
            if self._rounds >= CLOSED_AFTER:
                self._estimate = replace(self._before_closed, lowered=self._estimate.lowered + 1)
                self._estimate.begin_gently()
                self._closed_until = -math.inf
                self._wake_next()
            self._rounds = 0
            if leave.waited:
                self._estimate.accepted += 1

    def refused(self, leave: Leave, retry_after: float | None = None) -> None:
        """Tell that the vendor answered that there were too many requests.

        Only what left after the rate was last lowered says anything about the present one.
        """
        with self._lock:
            if leave.at <= self._lowered_at or leave.follows_others:
                return
            now = self._lowered_at = self._clock()
            self._rounds += 1
            if self._rounds == 1:
                self._before_closed = replace(self._estimate)
            if self._rounds >= CLOSED_AFTER:
                pause = 0.25 * 2.0 ** min(self._rounds - CLOSED_AFTER, 8)
                asked = pause if retry_after is None else max(0.0, retry_after)
                self._closed_until = now + min(asked, LONGEST_CLOSED_SECONDS)
                return
            self._estimate.lower(self._measured(now))
            if self._rounds == 1:
                # Without what was taken for granted before, once it is open again.
                self._before_closed = replace(self._estimate)
            # The vendor has nothing left: one slot more, so that what comes late is not too early.
            self._next = max(self._next, now) + 1 / self.rate

    def advised(self, rate: float, seconds: float) -> None:
        """Tell what the vendor's headers say that is allowed, for so many seconds from now."""
        with self._lock:
            self._advised, self._advised_until = rate, self._clock() + seconds

    def _measured(self, now: float) -> float:
        """What was let through lately, a second: the most, over any span that ends now."""
        spans = (
            (number, max(0.02, now - at)) for number, at in enumerate(reversed(self._recent), 1)
        )
        return max((number / span for number, span in spans if number >= LEAST_SEEN), default=0.0)

    # Sharing with other processes ---------------------------------------------------------------

    def known(self) -> Estimate:
        """A copy of what is known now."""
        with self._lock:
            return replace(self._estimate)

    def learn(self, known: Estimate, since: Estimate) -> None:
        """Take over what all processes know together; `since`: what was `known` here for that."""
        with self._lock:
            mine, self._estimate = self._estimate, self._estimate.joined(known, since)
            if self._estimate.lowered != mine.lowered:
                # What is under way was sent at the rate before.
                self._lowered_at = self._clock()
            self._wake_next()

    def is_wanted(self) -> bool:
        """Whether the rate holds anything up, or did lately."""
        return math.isfinite(self.rate) and (self.is_waited_for or self.allowed is not None)

    @property
    def is_waited_for(self) -> bool:
        """Whether anybody waits for leave now."""
        return any(self._waiting.values())

    def share(self, start: float, seconds: float) -> None:
        """Send from now on only in turns: this one begins at a moment of the clock."""
        with self._lock:
            self._turns = self._turns or _Turns()
            self._turns.granted.append((start, start + seconds))
            self._wake_next()

    def share_no_more(self) -> None:
        """Send whenever the rate allows it, as the only one."""
        with self._lock:
            self._turns = None
            self._wake_next()
