"""A lane takes its steps by itself: on time, when woken, after failures, whatever others do."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator

import pytest

from batchops import lanes
from batchops.lanes import Lane, all_of
from tests.services.push.world import wait_for

NEVER = 3600.0


@pytest.fixture
def started() -> Iterator[list[Lane]]:
    """Lanes put in here are started by the test, and ended after it."""
    running: list[Lane] = []
    yield running
    lanes.end(running, 5)


@pytest.fixture(autouse=True)
def short_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "FIRST_BACKOFF_SECONDS", 0.01)


def run(started: list[Lane], *some: Lane) -> None:
    started.extend(some)
    for lane in some:
        lane.start()


class Counted:
    """A step that counts how often it was taken, and may do something first."""

    def __init__(self, seconds: float | None = None) -> None:
        self.times, self.seconds = 0, seconds

    def __call__(self) -> float | None:
        self.times += 1
        return self.seconds


def test_a_step_is_taken_at_the_start_and_then_at_its_interval(started: list[Lane]) -> None:
    step = Counted()
    run(started, Lane("often", step, every=0.01))
    wait_for(lambda: step.times >= 3)


def test_between_its_intervals_a_lane_sleeps_until_it_is_woken(started: list[Lane]) -> None:
    step = Counted()
    lane = Lane("seldom", step, every=NEVER)
    run(started, lane)
    wait_for(lambda: step.times == 1)
    lane.wake()
    wait_for(lambda: step.times == 2)


def test_a_step_may_say_when_the_next_is_due(started: list[Lane]) -> None:
    step = Counted(seconds=0.01)
    run(started, Lane("seldom", step, every=NEVER))
    wait_for(lambda: step.times >= 3)


def test_a_wake_up_during_a_step_is_not_lost(started: list[Lane]) -> None:
    begun, go_on, times = threading.Event(), threading.Event(), []

    def step() -> None:
        times.append(1)
        begun.set()
        go_on.wait(10)

    lane = Lane("busy", step, every=NEVER)
    run(started, lane)
    assert begun.wait(10)
    lane.wake()
    go_on.set()
    wait_for(lambda: len(times) == 2)


def test_a_step_that_fails_is_logged_once_in_full_and_taken_again(
    started: list[Lane], caplog: pytest.LogCaptureFixture
) -> None:
    times = []

    def step() -> None:
        times.append(1)
        if len(times) < 4:
            raise ConnectionError("nobody there")

    run(started, Lane("shaky", step, every=NEVER))
    wait_for(lambda: len(times) == 4)
    failures = [one for one in caplog.records if "The shaky lane failed" in one.message]
    assert [one.exc_info is not None and bool(one.exc_info) for one in failures] == [
        True,
        False,
        False,
    ]


def test_a_lane_that_hangs_holds_no_other(started: list[Lane]) -> None:
    for_ever = threading.Event()
    step = Counted()
    run(started, Lane("hung", lambda: for_ever.wait() and None, every=0.01))
    run(started, Lane("other", step, every=0.01))
    wait_for(lambda: step.times >= 10)
    for_ever.set()


def test_lanes_that_hang_are_named_when_all_are_asked_to_end() -> None:
    for_ever = threading.Event()
    hung, other = (
        Lane("hung", lambda: for_ever.wait() and None, every=1),
        Lane("other", Counted(), every=NEVER),
    )
    for lane in (hung, other):
        lane.start()
    assert lanes.end([hung, other], 0.2) == [hung]
    for_ever.set()
    assert lanes.end([hung], 5) == []


def test_asking_whether_to_end_is_a_sign_of_life() -> None:
    lane = Lane("long", Counted(), every=1)
    time.sleep(0.02)
    assert not lane.is_well(0.01)
    assert not lane.is_asked_to_end()
    assert lane.is_well(1)
    lane.ask_to_end()
    assert lane.is_asked_to_end()


def test_a_lane_whose_every_step_fails_is_not_well_until_one_succeeds(started: list[Lane]) -> None:
    failing = threading.Event()
    failing.set()

    def step() -> None:
        if failing.is_set():
            raise ValueError("again")

    lane = Lane("shaky", step, every=0.01)
    run(started, lane)
    wait_for(lambda: not lane.is_well(10))
    failing.clear()
    wait_for(lambda: lane.is_well(10))


def test_a_part_of_a_step_that_fails_keeps_no_other_part_from_being_done() -> None:
    done: list[str] = []

    def bad() -> None:
        raise ValueError("bad")

    step = all_of(lambda: done.append("first"), bad, lambda: done.append("last"))
    with pytest.raises(ValueError, match="bad"):
        step()
    assert done == ["first", "last"]


def test_log_lines_of_a_step_carry_the_name_of_its_lane(
    started: list[Lane], caplog: pytest.LogCaptureFixture
) -> None:
    from batchops.logs import request_id

    seen: list[str] = []
    run(started, Lane("named", lambda: seen.append(request_id.get()), every=NEVER))
    wait_for(lambda: bool(seen))
    assert seen[0].startswith("named-")
    assert caplog.at_level(logging.INFO)
