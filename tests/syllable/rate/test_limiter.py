"""Learning the vendor's rate, and keeping to it: with a clock that passes when told to."""

from __future__ import annotations

import heapq
import itertools
import math
import random
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchops.syllable.rate.estimate import LEAST_RATE, Estimate
from batchops.syllable.rate.limiter import (
    CLOSED_AFTER,
    LONGEST_CLOSED_SECONDS,
    Leave,
    RateLimiter,
    Use,
)

LATENCY = 0.05


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Bucket:
    """The vendor: so many tokens a second, and no more than `burst` of them."""

    rate: float
    burst: float
    tokens: float = 0.0
    filled_at: float = 1000.0

    def lets_through(self, now: float) -> bool:
        gained = (now - self.filled_at) * self.rate
        self.tokens, self.filled_at = min(self.burst, self.tokens + gained), now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


@dataclass
class World:
    """A client with so many threads, all of which want to send all the time."""

    vendor: Bucket
    threads: int = 16
    seed: int = 1
    clock: Clock = field(default_factory=Clock)
    answers: list[tuple[float, bool]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.limiter = RateLimiter(clock=self.clock)
        self._random = random.Random(self.seed)
        self._numbers = itertools.count()
        self._under_way: list[tuple[float, int, Leave, bool]] = []

    def run(self, seconds: float) -> None:
        """Let time pass, from one event to the next."""
        until = self.clock.now + seconds
        while self.clock.now < until:
            if len(self._under_way) < self.threads and self._send():
                continue
            # A twentieth of what the vendor leaves between two, and not too coarse for latencies.
            self.clock.now += min(0.0025, max(0.0005, 0.05 / self.vendor.rate))
            while self._under_way and self._under_way[0][0] <= self.clock.now:
                _at, _number, leave, is_through = heapq.heappop(self._under_way)
                (self.limiter.accepted if is_through else self.limiter.refused)(leave)

    def _send(self) -> bool:
        leave = self.limiter.take(Use.WRITE, timeout=0)
        if leave is None:
            return False
        is_through = self.vendor.lets_through(self.clock.now)
        self.answers.append((self.clock.now, is_through))
        arrives = self.clock.now + LATENCY + self._random.random() / 1_000
        heapq.heappush(self._under_way, (arrives, next(self._numbers), leave, is_through))
        return True

    def share(self, since: float, until: float = math.inf) -> float:
        """The part of what the vendor allows that was used in a span of the clock."""
        end = min(until, self.clock.now)
        passed = sum(through for at, through in self.answers if since <= at < end)
        return passed / (end - since) / self.vendor.rate

    def refused_share(self, since: float) -> float:
        replies = [through for at, through in self.answers if at >= since]
        return 1 - sum(replies) / len(replies)


@pytest.mark.parametrize(("rate", "burst"), [(10, 1), (30, 5), (200, 20), (30, 30), (3, 1)])
def test_a_limit_is_used_almost_wholly_and_hardly_ever_broken(rate: float, burst: float) -> None:
    world = World(Bucket(rate, burst))
    world.run(20)
    learnt_at = world.clock.now
    world.run(120)
    assert world.share(learnt_at) >= 0.9
    assert world.refused_share(learnt_at) <= 0.02


@pytest.mark.parametrize(("before", "after", "burst"), [(30, 120, 20), (50, 200, 20)])
def test_a_limit_that_rises_fourfold_is_used_within_30_seconds(
    before: float, after: float, burst: float
) -> None:
    world = World(Bucket(before, burst))
    world.run(60)
    world.vendor.rate = after
    changed_at = world.clock.now
    world.run(45)
    assert world.share(changed_at + 30) >= 0.9


@pytest.mark.parametrize(("before", "after", "burst"), [(40, 10, 2), (120, 30, 5), (800, 200, 20)])
def test_a_limit_that_falls_is_kept_within_5_seconds(
    before: float, after: float, burst: float
) -> None:
    world = World(Bucket(before, burst), threads=64)
    world.run(60)
    world.vendor.rate = after
    changed_at = world.clock.now
    world.run(35)
    assert world.refused_share(changed_at + 5) <= 0.02
    assert world.share(changed_at + 5) >= 0.85


def test_without_a_limit_nothing_ever_waits() -> None:
    limiter = RateLimiter(clock=Clock())
    for _ in range(1_000):
        leave = limiter.take(Use.WRITE, timeout=0)
        assert leave is not None and not leave.waited
        limiter.accepted(leave)
    assert math.isinf(limiter.rate)
    assert limiter.allowed is None


@given(st.lists(st.sampled_from(["accepted", "refused", "refused for long", "time"]), max_size=200))
def test_whatever_the_vendor_answers_there_is_soon_another_try(events: Sequence[str]) -> None:
    clock = Clock()
    limiter = RateLimiter(clock=clock)
    for event in events:
        if event == "time":
            clock.now += 0.3
            continue
        leave = limiter.take(Use.WRITE, timeout=0)
        if leave is None:
            clock.now += 1
        elif event == "accepted":
            clock.now += LATENCY
            limiter.accepted(leave)
        else:
            clock.now += LATENCY
            limiter.refused(leave, 86_400.0 if event == "refused for long" else None)
        assert limiter.rate >= LEAST_RATE
    clock.now += LONGEST_CLOSED_SECONDS + 2 / LEAST_RATE
    assert limiter.take(Use.WRITE, timeout=0) is not None


@given(
    st.floats(LEAST_RATE, 1e6),
    st.floats(0, 1e4),
    st.floats(0, 1e4),
    st.integers(0, 10**6),
    st.floats(0, 1e6),
)
def test_a_refusal_never_raises_the_rate(
    ceiling: float, grown: float, paced: float, accepted: int, measured: float
) -> None:
    estimate = Estimate(ceiling, ceiling * 0.9, grown, max(grown, paced), accepted, lowered=1)
    before = estimate.rate
    estimate.lower(measured)
    assert LEAST_RATE <= estimate.rate <= max(LEAST_RATE, before)


@given(st.floats(LEAST_RATE, 1e6), st.lists(st.floats(0, 100), min_size=2))
def test_between_refusals_the_rate_only_rises(ceiling: float, moments: list[float]) -> None:
    rates = [Estimate(ceiling, 0.9 * ceiling, grown, lowered=1).rate for grown in sorted(moments)]
    assert rates == sorted(rates)


def test_one_long_retry_after_stops_nobody_else() -> None:
    clock = Clock()
    limiter = RateLimiter(20, clock=clock)
    leave = limiter.take(Use.WRITE, timeout=0)
    assert leave is not None
    clock.now += LATENCY
    limiter.refused(leave, 3600.0)
    clock.now += 0.5
    assert limiter.take(Use.WRITE, timeout=0) is not None


def test_while_nothing_is_let_through_it_is_tried_now_and_then_and_then_goes_on_as_before() -> None:
    clock = Clock()
    limiter = RateLimiter(clock=clock)
    for _ in range(100):
        clock.now += 0.01
        limiter.accepted(limiter.take(Use.WRITE, timeout=0))  # type: ignore[arg-type]
    tries = 0
    began = clock.now
    while clock.now < began + 60:
        clock.now += 0.01
        if (leave := limiter.take(Use.WRITE, timeout=0)) is not None:
            tries += 1
            clock.now += LATENCY
            limiter.refused(leave, 60.0)
    assert CLOSED_AFTER <= tries <= 20
    clock.now += LONGEST_CLOSED_SECONDS
    leave = limiter.take(Use.WRITE, timeout=0)
    assert leave is not None
    limiter.accepted(leave)
    assert limiter.rate >= 40


def test_an_emergency_is_tried_each_second_even_so() -> None:
    clock = Clock()
    limiter = RateLimiter(clock=clock)
    for _ in range(CLOSED_AFTER + 3):
        clock.now += LONGEST_CLOSED_SECONDS
        leave = limiter.take(Use.WRITE, timeout=0)
        assert leave is not None
        limiter.refused(leave, 3600.0)
    assert limiter.take(Use.WRITE, timeout=0) is None
    clock.now += 1 / LEAST_RATE
    assert limiter.take(Use.EMERGENCY, timeout=0) is not None


def test_emergencies_go_first_and_reads_get_one_turn_in_five() -> None:
    limiter = RateLimiter(200)
    order: list[Use] = []

    def send(use: Use, number: int) -> None:
        for _ in range(number):
            assert limiter.take(use, 30) is not None
            order.append(use)

    threads = [
        threading.Thread(target=send, args=asked)
        for asked in ((Use.READ, 20), (Use.READ, 20), (Use.WRITE, 40), (Use.WRITE, 40))
    ]
    for thread in threads:
        thread.start()
    emergency = threading.Thread(target=send, args=(Use.EMERGENCY, 10))
    emergency.start()
    emergency.join(30)
    # Each time an emergency asks anew one other may have been let go already.
    assert len(order) <= 30
    for thread in threads:
        thread.join(30)
    both = [use for use in order if use is not Use.EMERGENCY][10:60]
    assert 6 <= both.count(Use.READ) <= 16


def test_a_rate_that_is_known_is_never_exceeded() -> None:
    clock = Clock()
    limiter = RateLimiter(50, clock=clock)
    sent = 0
    for _ in range(4_000):
        clock.now += 0.0025
        while limiter.take(Use.WRITE, timeout=0) is not None:
            sent += 1
    assert 480 <= sent <= 501


def test_a_leave_that_is_given_back_is_another_threads() -> None:
    clock = Clock()
    limiter = RateLimiter(1, clock=clock)
    assert limiter.acquire(Use.WRITE, 0)
    assert not limiter.acquire(Use.READ, 0)
    limiter.give_back()
    assert limiter.acquire(Use.READ, 0)


def test_what_the_headers_advise_holds_until_their_window_ends() -> None:
    clock = Clock()
    limiter = RateLimiter(clock=clock)
    limiter.advised(2.5, 30)
    assert limiter.rate == 2.5
    clock.now += 30
    assert math.isinf(limiter.rate)


def test_in_turns_nothing_is_sent_outside_of_them() -> None:
    clock = Clock()
    limiter = RateLimiter(10, clock=clock)
    limiter.share(clock.now + 1, 1)
    assert limiter.take(Use.WRITE, timeout=0) is None
    sent = 0
    began = clock.now
    while clock.now < began + 4:
        if limiter.take(Use.WRITE, timeout=0) is not None:
            assert began + 1 <= clock.now <= began + 2
            sent += 1
        clock.now += 0.005
    assert 8 <= sent <= 10
    limiter.share_no_more()
    assert limiter.take(Use.WRITE, timeout=0) is not None


def known(**values: Any) -> Estimate:
    return replace(Estimate(10.0, 9.0, 5.0, 20.0, 100, lowered=3), **values)


def test_what_two_processes_learnt_adds_up() -> None:
    together = known(grown=7.0, paced=22.0, accepted=120).joined(
        known(grown=6.0, paced=21.0, accepted=110), known()
    )
    assert together == known(grown=8.0, paced=23.0, accepted=130)


def test_a_refusal_of_either_counts_for_both_and_of_two_the_lower_rate() -> None:
    mine, theirs = known(ceiling=8.0, lowered=4), known(ceiling=7.0, lowered=4)
    assert known(grown=6.0).joined(theirs, known()) == theirs
    assert mine.joined(known(grown=6.0), known()) == mine
    assert mine.joined(theirs, known()) == theirs
    assert theirs.joined(mine, known()) == replace(theirs, lowered=5)


def test_what_was_begun_is_ended_before_something_new_begins() -> None:
    limiter = RateLimiter(2)
    order: list[str] = []
    assert limiter.take(Use.WRITE) is not None

    def begin() -> None:
        assert limiter.acquire(Use.WRITE, 30)
        order.append("begun")

    def go_on() -> None:
        assert limiter.take(Use.WRITE, 30) is not None
        order.append("ended")

    threads = [threading.Thread(target=begin) for _ in range(3)]
    for thread in threads:
        thread.start()
    threads.append(threading.Thread(target=go_on))
    threads[-1].start()
    for thread in threads:
        thread.join(30)
    assert order.index("ended") <= 1
