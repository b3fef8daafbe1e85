"""Who sends an errand never waits longer than it said, whatever the other system does."""

from __future__ import annotations

import threading

import pytest

from batchops.courier import LONGEST_LINE, Courier
from tests.services.push.world import wait_for


def test_an_errand_brings_back_its_result_or_its_error() -> None:
    courier = Courier("queue")
    assert courier.send(lambda: 7, 10) == 7

    def refuse() -> None:
        raise ConnectionError("nobody there")

    with pytest.raises(ConnectionError, match="nobody there"):
        courier.send(refuse, 10)


def test_errands_behind_one_that_hangs_are_given_up_and_never_done() -> None:
    courier, for_ever, done = Courier("queue"), threading.Event(), []
    with pytest.raises(TimeoutError, match="queue does not answer"):
        courier.send(for_ever.wait, 0.01)
    with pytest.raises(TimeoutError):
        courier.send(lambda: done.append("late"), 0.01)
    for_ever.set()
    assert courier.send(lambda: "again", 10) == "again"
    assert done == []


def test_while_one_hangs_the_line_has_an_end_and_there_is_one_thread() -> None:
    courier, for_ever = Courier("hung queue"), threading.Event()
    for _ in range(LONGEST_LINE + 1):
        with pytest.raises(TimeoutError):
            courier.send(for_ever.wait, 0.01)
    for _ in range(LONGEST_LINE):
        with pytest.raises(TimeoutError):
            courier.send(for_ever.wait, 3600)
    assert sum(thread.name == "hung queue" for thread in threading.enumerate()) == 1
    for_ever.set()
    wait_for(lambda: arrives(courier))


def arrives(courier: Courier) -> bool:
    try:
        return courier.send(lambda: True, 10)
    except TimeoutError:
        return False
