"""Whose fault failures are: the vendor's, when it serves nobody, and a batch's only otherwise."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchops.services.attempts.assignments import RequestKind
from batchops.services.push.outages import (
    DOWN_AFTER_SECONDS,
    FAILING_FOR_SECONDS,
    FAILURES_AT_ONCE,
    LEAST_FAILURES,
    LEAST_TRIES,
    Outages,
)

READ, UPDATE = RequestKind.READ, RequestKind.UPDATE


@pytest.fixture(autouse=True)
def short_waits() -> None:
    """None are shortened here: the clock is the test's own."""


class World:
    """Outages on a clock of their own, and batches that fail."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.outages = Outages(16, lambda: self.now)

    def fail(
        self, since: float, times: int = 1, *, kind: RequestKind = UPDATE, apart: float = 0
    ) -> None:
        for number in range(times):
            self.now += apart
            self.outages.failed(kind, since, first_try=number == 0)

    def fail_throttled(self, since: float, times: int) -> None:
        for _ in range(times):
            self.outages.failed(UPDATE, since, first_try=False, throttled=True)


def test_at_first_nothing_is_down() -> None:
    assert not World().outages.is_down(UPDATE)


def test_one_batch_alone_that_fails_long_enough_means_that_the_vendor_is_down() -> None:
    world = World()
    world.fail(world.now, LEAST_FAILURES, apart=1 + DOWN_AFTER_SECONDS / LEAST_FAILURES)
    assert world.outages.is_down(UPDATE)
    assert not world.outages.is_down(READ)


def test_a_few_failures_in_a_short_time_mean_nothing() -> None:
    world = World()
    world.fail(world.now, LEAST_FAILURES)
    assert not world.outages.is_down(UPDATE)


def test_many_failures_in_a_row_tell_at_once() -> None:
    world = World()
    world.fail(world.now, FAILURES_AT_ONCE)
    assert world.outages.is_down(UPDATE)


def test_being_asked_to_slow_down_is_no_outage_for_a_while() -> None:
    world = World()
    world.fail_throttled(world.now, 100)
    assert not world.outages.is_down(UPDATE)
    world.now += DOWN_AFTER_SECONDS
    assert world.outages.is_down(UPDATE)


def test_what_is_served_ends_an_outage() -> None:
    world = World()
    world.fail(world.now, FAILURES_AT_ONCE)
    assert world.outages.is_down(UPDATE)
    assert world.outages.served(UPDATE)
    assert not world.outages.is_down(UPDATE)
    assert not world.outages.served(UPDATE)


def test_one_failed_probe_is_enough_while_nobody_was_served_lately() -> None:
    world = World()
    world.fail(world.now)
    assert world.outages.is_down(UPDATE, probing=True)
    world.outages.served(UPDATE)
    world.now += 1
    world.fail(world.now)
    assert not world.outages.is_down(UPDATE, probing=True)


def test_batches_that_all_failed_before_others_were_served_are_no_outage() -> None:
    """Two bad batches that are left over at the end do not make the vendor look down."""
    world = World()
    first, second = world.now, world.now + 1
    world.fail(first)
    world.now += 2
    world.outages.served(UPDATE)
    world.fail(first, 20, apart=5)
    world.fail(second, 20, apart=5)
    assert not world.outages.is_down(UPDATE)
    assert world.outages.is_batch_at_fault(UPDATE, first, 21)


def test_a_batch_is_not_at_fault_before_minutes_have_passed() -> None:
    world = World()
    since = world.now
    world.fail(since, 100)
    world.now += 1
    world.outages.served(UPDATE)
    assert not world.outages.is_batch_at_fault(UPDATE, since, 100)
    world.now += FAILING_FOR_SECONDS
    assert world.outages.is_batch_at_fault(UPDATE, since, 100)


def test_a_batch_is_not_at_fault_while_nobody_else_is_served() -> None:
    world = World()
    world.outages.served(UPDATE)
    world.now += 1
    since = world.now
    world.fail(since, 100, apart=60)
    assert not world.outages.is_batch_at_fault(UPDATE, since, 100)


def test_reads_that_are_served_do_not_make_a_failing_change_the_fault_of_its_batch() -> None:
    world = World()
    since = world.now
    world.fail(since, 100, apart=60)
    world.outages.served(READ)
    assert not world.outages.is_batch_at_fault(UPDATE, since, 100)


@given(st.sampled_from([0.3, 0.6, 0.8, 0.9]), st.integers(0, 2**32))
def test_the_worse_all_batches_fare_the_longer_one_is_borne_with(share: float, seed: int) -> None:
    """Had it fared as the others, so many of its tries would have gone through."""
    world, draw = World(), random.Random(seed)
    since = world.now
    for _ in range(2_000):
        if draw.random() < share:
            world.outages.failed(UPDATE, world.now, first_try=True)
        else:
            world.outages.served(UPDATE)
    world.now += FAILING_FOR_SECONDS
    world.outages.served(UPDATE, first_try=False)
    enough = next(n for n in range(1, 10_000) if world.outages.is_batch_at_fault(UPDATE, since, n))
    assert enough >= LEAST_TRIES
    assert share**enough < 0.001


def test_the_words_say_no_more_than_is_known() -> None:
    world = World()
    world.fail(world.now)
    assert world.outages.words(UPDATE, "503") == "The vendor answers no changes: 503"
    world.outages.served(READ)
    assert world.outages.words(UPDATE, "503") == "The vendor answers reads, but no changes: 503"
    world.fail(world.now, kind=READ)
    assert world.outages.words(UPDATE, "503") == "The vendor does not answer: 503"
