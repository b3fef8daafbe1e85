"""Waiting between tries, and going slower together when the vendor asks."""

from __future__ import annotations

import datetime as dt
import threading
import time
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from batchops.syllable.limits import (
    BURST_SECONDS,
    GATE_CAP_SECONDS,
    InFlightLimit,
    backoff,
)
from batchops.syllable.rate.headers import parse_retry_after

NOW = dt.datetime(2026, 6, 1, 12, tzinfo=dt.UTC)


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        ("86400000", 86_400_000.0),
        ("Mon, 01 Jun 2026 12:00:30 GMT", 30.0),
        ("Mon, 01 Jun 2026 12:00:30 -0000", 30.0),
        ("Mon, 01 Jun 2026 14:00:30 +0200", 30.0),
        ("Mon, 01 Jun 2026 11:00:00 GMT", 0.0),
        ("Wed, 01 Jun 9999 12:00:00 GMT", (NOW.replace(year=9999) - NOW).total_seconds()),
        (None, None),
        ("", None),
        ("-1", None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("1e3", None),
        ("٣", None),
        ("Mon, 99 Jun 2026 12:00:30 GMT", None),
    ],
)
def test_a_wait_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value, NOW) == seconds


@given(st.text() | st.text("0123456789.:, GMTJunon+-"))
def test_any_header_is_a_wait_or_none(value: str) -> None:
    seconds = parse_retry_after(value, NOW)
    assert seconds is None or seconds >= 0


@given(st.datetimes(NOW.replace(year=1970, tzinfo=None)))
def test_a_date_is_the_seconds_until_then(moment: dt.datetime) -> None:
    aware = moment.replace(tzinfo=dt.UTC, microsecond=0)
    expected = max(0.0, (aware - NOW).total_seconds())
    assert parse_retry_after(format_datetime(aware, usegmt=True), NOW) == expected


@given(st.integers(-5, 10_000), st.floats(0, 1, exclude_max=True))
def test_a_wait_is_never_longer_than_its_doubling_or_its_cap(attempt: int, luck: float) -> None:
    wait = backoff(attempt, random=lambda: luck)
    assert 0 <= wait <= 30
    assert wait <= 0.5 * 2.0 ** (min(max(attempt, 1), 20) - 1)


def test_waits_double_up_to_the_cap() -> None:
    waits = [backoff(attempt, base=1, cap=10, random=lambda: 1.0) for attempt in range(1, 7)]
    assert waits == [1, 2, 4, 8, 10, 10]


@pytest.mark.parametrize("maximum", [0, -1])
def test_a_limit_allows_at_least_one(maximum: int) -> None:
    with pytest.raises(ValueError, match="At least one"):
        InFlightLimit(maximum)


def test_no_more_than_the_limit_are_let_in() -> None:
    limit = InFlightLimit(2, clock=Clock())
    assert [limit.acquire(0), limit.acquire(0), limit.acquire(0)] == [True, True, False]
    limit.release()
    assert limit.acquire(0)
    assert limit.in_flight == 2


def test_what_was_not_begun_cannot_end() -> None:
    with pytest.raises(ValueError, match="under way"):
        InFlightLimit(2).release()


def test_one_burst_of_refusals_halves_the_limit_once() -> None:
    clock = Clock()
    limit = InFlightLimit(16, clock=clock)
    for _ in range(16):
        limit.throttled(0)
    assert limit.limit == 8
    clock.now += BURST_SECONDS
    limit.throttled(0)
    assert limit.limit == 4


def test_the_limit_never_falls_below_one() -> None:
    clock = Clock()
    limit = InFlightLimit(3, clock=clock)
    for _ in range(10):
        clock.now += BURST_SECONDS
        limit.throttled(0)
    assert limit.limit == 1


def test_the_gate_is_closed_for_as_long_as_the_vendor_asks() -> None:
    clock = Clock()
    limit = InFlightLimit(4, clock=clock)
    limit.throttled(1.5)
    assert limit.closed_until == clock.now + 1.5
    assert not limit.acquire(0)
    clock.now += 1.5
    assert limit.acquire(0)


@pytest.mark.parametrize("asked", [10.0, 3600.0, float("inf")])
def test_a_long_wait_holds_back_its_own_request_and_not_all_others(asked: float) -> None:
    clock = Clock()
    limit = InFlightLimit(4, clock=clock)
    limit.throttled(asked)
    assert limit.closed_until == clock.now + GATE_CAP_SECONDS


def test_a_later_reply_of_a_burst_never_opens_the_gate_earlier() -> None:
    clock = Clock()
    limit = InFlightLimit(4, clock=clock)
    limit.throttled(1.5)
    limit.throttled(1)
    limit.throttled(None)
    assert limit.closed_until == clock.now + 1.5


def test_without_a_wait_asked_for_the_gate_closes_briefly() -> None:
    clock = Clock()
    limit = InFlightLimit(4, clock=clock)
    limit.throttled()
    assert clock.now <= limit.closed_until <= clock.now + 0.5


def test_the_limit_grows_by_one_after_as_many_successes() -> None:
    limit = InFlightLimit(16, clock=Clock())
    limit.throttled(0)
    for _ in range(8):
        assert limit.limit == 8
        limit.succeeded()
    for _ in range(9):
        assert limit.limit == 9
        limit.succeeded()
    assert limit.limit == 10


def test_the_limit_grows_no_further_than_its_maximum() -> None:
    limit = InFlightLimit(2, clock=Clock())
    for _ in range(100):
        limit.succeeded()
    assert limit.limit == 2


def test_the_reason_is_told_while_it_goes_slower() -> None:
    clock = Clock()
    limit = InFlightLimit(16, clock=clock)
    assert limit.reason == ""
    limit.throttled(12)
    assert limit.reason == "slowed by the vendor (429): 8 of 16 at a time, next in 2 s"
    clock.now += 2
    assert limit.reason == "slowed by the vendor (429): 8 of 16 at a time"
    limit.throttled(0, http_status=503)
    assert limit.reason == "slowed by the vendor (503): 4 of 16 at a time"
    for _ in range(16 * 16):
        limit.succeeded()
    assert limit.reason == ""


class AnyOrderOfEvents(RuleBasedStateMachine):
    """Whatever happens in whatever order, the limit holds and comes back."""

    @initialize(maximum=st.integers(1, 20))
    def start(self, maximum: int) -> None:
        self.clock = Clock()
        self.limit = InFlightLimit(maximum, clock=self.clock)

    @rule()
    def acquire(self) -> None:
        below, closed = self.limit.in_flight < self.limit.limit, self.limit.closed_until
        assert self.limit.acquire(0) == (below and self.clock.now >= closed)

    @precondition(lambda self: self.limit.in_flight > 0)
    @rule()
    def release(self) -> None:
        self.limit.release()

    @rule()
    def succeed(self) -> None:
        self.limit.succeeded()

    @rule(wait=st.none() | st.floats(-10, 1e9))
    def throttle(self, wait: float | None) -> None:
        self.limit.throttled(wait)

    @rule(seconds=st.floats(0, 100))
    def pass_time(self, seconds: float) -> None:
        self.clock.now += seconds

    @invariant()
    def bounds_hold(self) -> None:
        assert 1 <= self.limit.limit <= self.limit.maximum
        assert 0 <= self.limit.in_flight <= self.limit.maximum
        assert self.limit.closed_until <= self.clock.now + GATE_CAP_SECONDS

    def teardown(self) -> None:
        for _ in range(self.limit.maximum**2):
            self.limit.succeeded()
        assert self.limit.limit == self.limit.maximum
        self.clock.now += GATE_CAP_SECONDS
        while self.limit.in_flight:
            self.limit.release()
        assert all(self.limit.acquire(0) for _ in range(self.limit.maximum))
        assert self.limit.reason == ""


TestAnyOrderOfEvents = AnyOrderOfEvents.TestCase


def test_many_threads_stay_below_the_limit_and_all_get_their_turn() -> None:
    limit = InFlightLimit(4)
    together: list[int] = []
    done = threading.Semaphore(0)

    def work() -> None:
        for _ in range(20):
            assert limit.acquire(10)
            together.append(limit.in_flight)
            time.sleep(0.0005)
            limit.release()
            limit.succeeded()
        done.release()

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    limit.throttled(0.05)
    for thread in threads:
        thread.join(20)
    assert all(done.acquire(timeout=0) for _ in threads)
    assert max(together) <= 4
    assert limit.in_flight == 0 and limit.limit == 4


def test_waiting_ends_when_the_gate_opens() -> None:
    limit = InFlightLimit(2)
    limit.throttled(0.15)
    started = time.monotonic()
    assert limit.acquire(60)
    assert time.monotonic() - started >= 0.14


def test_waiting_ends_when_its_time_is_over() -> None:
    limit = InFlightLimit(1)
    assert limit.acquire(None)
    started = time.monotonic()
    assert not limit.acquire(0.1)
    assert time.monotonic() - started >= 0.09


def test_waiting_ends_when_another_request_does() -> None:
    limit = InFlightLimit(1)
    limit.acquire()
    threading.Timer(0.05, limit.release).start()
    assert limit.acquire(5)
