"""Whose turn it is: nobody waits behind somebody else's bulk, and nobody is starved."""

from __future__ import annotations

import uuid
from collections import Counter
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from batchops.services.runs.fair_queue import (
    EMERGENCY_WAITS_SECONDS,
    HANGING_AT_THE_MOST,
    NARROWING_WAITS_SECONDS,
    NARROWING_WEIGHT,
    Claimant,
    FairQueue,
)


@dataclass(frozen=True)
class Thing:
    change_id: uuid.UUID
    number: int = 0


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def claimant(person: str = "olivia", *, emergency: bool = False, narrows: bool = True) -> Claimant:
    return Claimant(uuid.uuid4(), person, emergency, narrows)


def filled(*loads: tuple[Claimant, int], clock: Clock | None = None) -> FairQueue[Thing]:
    queue: FairQueue[Thing] = FairQueue(clock or Clock())
    for who, number in loads:
        put(queue, who, number)
    return queue


def put(queue: FairQueue[Thing], who: Claimant, number: int) -> None:
    queue.put(who, [Thing(who.change_id, index) for index in range(number)])


def taken(queue: FairQueue[Thing], number: int) -> list[uuid.UUID]:
    things = [queue.take() for _ in range(number)]
    return [thing.change_id for thing in things if thing is not None]


def test_a_new_change_of_another_person_is_next() -> None:
    bulk, single = claimant("olivia"), claimant("oscar")
    queue = filled((bulk, 1_000))
    taken(queue, 500)
    put(queue, single, 1)
    assert single.change_id in taken(queue, 2)


def test_a_new_change_of_the_same_person_is_next_too() -> None:
    bulk, single = claimant(), claimant()
    queue = filled((bulk, 1_000))
    taken(queue, 500)
    put(queue, single, 1)
    assert single.change_id in taken(queue, 2)


def test_people_get_the_same_however_many_changes_they_have() -> None:
    many, one = [claimant("olivia") for _ in range(9)], claimant("oscar")
    queue = filled(*((who, 100) for who in many), (one, 100))
    counts = Counter(taken(queue, 100))
    assert counts[one.change_id] == 50


def test_what_narrows_outreach_gets_four_times_what_reaches_people() -> None:
    pause, resume = claimant(), claimant(narrows=False)
    counts = Counter(taken(filled((resume, 500), (pause, 500)), 100))
    assert counts[pause.change_id] == NARROWING_WEIGHT * counts[resume.change_id]


def test_an_emergency_goes_before_all_else() -> None:
    bulk, urgent = claimant("olivia"), claimant("oscar", emergency=True)
    queue = filled((bulk, 10), (urgent, 10))
    assert taken(queue, 20) == [urgent.change_id] * 10 + [bulk.change_id] * 10


def test_turns_are_neither_saved_up_nor_owed_while_there_is_nothing_to_do() -> None:
    first, second, third = claimant("olivia"), claimant("oscar"), claimant("otto")
    queue = filled((first, 500))
    taken(queue, 500)
    put(queue, second, 100)
    taken(queue, 10)
    put(queue, first, 100)
    put(queue, third, 100)
    assert all(29 <= number <= 31 for number in Counter(taken(queue, 90)).values())


def test_items_keep_their_order_and_what_is_tried_again_comes_ahead() -> None:
    who = claimant()
    queue = filled((who, 2))
    queue.put(who, [Thing(who.change_id, 7), Thing(who.change_id, 8)], ahead=True)
    things = [queue.take() for _ in range(4)]
    assert [thing.number for thing in things if thing] == [7, 8, 0, 1]


def test_an_emergency_that_got_no_turn_may_pass_requests_that_hang() -> None:
    clock = Clock()
    queue = filled((claimant(emergency=True), 2), clock=clock)
    queue.take()
    assert queue.take_overdue() is None
    clock.now += EMERGENCY_WAITS_SECONDS
    assert queue.take_overdue() is not None


def test_an_emergency_whose_own_requests_hang_leaves_room_for_the_next() -> None:
    clock = Clock()
    queue = filled((claimant(emergency=True), 20), clock=clock)
    taken = 0
    for _ in range(10):
        clock.now += EMERGENCY_WAITS_SECONDS
        taken += queue.take_overdue() is not None
    assert taken == HANGING_AT_THE_MOST


def test_a_pause_passes_only_when_none_of_its_own_requests_is_under_way() -> None:
    clock = Clock()
    pause, resume = claimant(), claimant(narrows=False)
    queue = filled((resume, 2), (pause, 2), clock=clock)
    clock.now += NARROWING_WAITS_SECONDS
    first = queue.take_overdue()
    assert first is not None
    assert first.change_id == pause.change_id
    clock.now += NARROWING_WAITS_SECONDS
    assert queue.take_overdue() is None
    queue.done(pause.change_id)
    assert queue.take_overdue() is not None


def test_the_order_of_those_with_nothing_queued_is_known_too() -> None:
    bulk, new, urgent = claimant("olivia"), claimant("oscar"), claimant(emergency=True)
    queue = filled((bulk, 100))
    taken(queue, 50)
    assert queue.in_order([bulk, new, urgent]) == [urgent, new, bulk]


LOADS = st.lists(
    st.tuples(st.sampled_from("abc"), st.booleans(), st.booleans(), st.integers(1, 20)),
    min_size=1,
    max_size=8,
)


@given(LOADS)
def test_everything_put_in_comes_out_once(loads: list[tuple[str, bool, bool, int]]) -> None:
    claimants = [
        (claimant(person, emergency=emergency, narrows=narrows), number)
        for person, emergency, narrows, number in loads
    ]
    queue = filled(*claimants)
    total = sum(number for _, number in claimants)
    assert len(queue) == total
    assert Counter(taken(queue, total + 1)) == {who.change_id: n for who, n in claimants}
    assert len(queue) == 0


@given(LOADS, st.integers(1, 100))
def test_no_emergency_waits_for_what_is_none(
    loads: list[tuple[str, bool, bool, int]], number: int
) -> None:
    claimants = [
        (claimant(person, emergency=emergency, narrows=narrows), size)
        for person, emergency, narrows, size in loads
    ]
    urgent = {who.change_id for who, _ in claimants if who.is_emergency}
    kinds = [change_id in urgent for change_id in taken(filled(*claimants), number)]
    assert kinds == sorted(kinds, reverse=True)
