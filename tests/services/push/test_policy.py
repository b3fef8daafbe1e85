"""What follows from an outcome, for its item and for its change: the decision table."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from batchops.models import ItemState
from batchops.services.attempts.assignments import Assignment, Mode, RequestKind
from batchops.services.attempts.outcomes import (
    Denied,
    Failed,
    Halt,
    Outcome,
    PutBack,
    Report,
    Settled,
)
from batchops.services.push.denials import DENIALS_IN_A_ROW
from batchops.services.push.outages import (
    DOWN_AFTER_SECONDS,
    FAILING_FOR_SECONDS,
    FAILURES_AT_ONCE,
    LEAST_TRIES,
)
from batchops.services.push.policy import (
    NARROWING_RETRY_AFTER_CAP_SECONDS,
    RETRY_AFTER_CAP_SECONDS,
    Decision,
    Policy,
    Retry,
    Wait,
)
from tests.services.attempts.values import CHANGE, assignment

READ, UPDATE = RequestKind.READ, RequestKind.UPDATE


@pytest.fixture(autouse=True)
def short_waits() -> None:
    """None are shortened here: the clock is the test's own."""


class World:
    """A policy on a clock of its own."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.policy = Policy(4, lambda: self.now)

    def decide(
        self, outcome: Outcome, *served: RequestKind, narrows_outreach: bool = False
    ) -> list[Decision]:
        return list(self.policy.decide(Report(outcome, served), narrows_outreach=narrows_outreach))

    def failed(self, given: Assignment, kind: RequestKind = UPDATE, **more: float) -> Failed:
        return Failed(given, kind, "busy", 503, more.get("retry_after"), began=self.now)

    def serve_others(self) -> None:
        self.decide(applied(assignment(batch_id="another", tries=("200",))), READ, UPDATE)


def applied(given: Assignment) -> Settled:
    return Settled(given, ItemState.APPLIED)


def denied(given: Assignment) -> Denied:
    return Denied(Settled(given, ItemState.REFUSED, message="no", http_status=403))


def seconds(decisions: Sequence[Decision]) -> float:
    (retry,) = decisions
    assert isinstance(retry, Retry)
    return retry.seconds


@pytest.mark.parametrize("outcome", [applied(assignment()), PutBack(assignment())])
def test_what_is_clear_goes_through_and_holds_nothing_up(outcome: Settled | PutBack) -> None:
    world = World()
    assert world.decide(outcome) == [outcome]
    assert not world.policy.held_up


def test_a_halt_holds_up_its_change() -> None:
    world = World()
    halt = Halt(assignment(), "The key was rejected.")
    assert world.decide(halt) == [halt]
    assert world.policy.held_up == {CHANGE: halt}


def test_a_failure_while_others_are_served_is_tried_again_and_holds_up_nothing() -> None:
    world = World()
    world.serve_others()
    (retry,) = world.decide(world.failed(assignment(tries=("503",))))
    assert isinstance(retry, Retry)
    assert retry.assignment.failing_since == {UPDATE: world.now}
    assert CHANGE in world.policy.answered


def test_failures_of_everybody_make_the_change_wait() -> None:
    world = World()
    for _ in range(FAILURES_AT_ONCE):
        decisions = world.decide(world.failed(assignment(tries=("503",))))
    (wait,) = decisions
    assert isinstance(wait, Wait)
    assert world.policy.held_up == {CHANGE: wait}


def test_a_failed_probe_is_enough_to_go_on_waiting() -> None:
    world = World()
    world.now += DOWN_AFTER_SECONDS
    (wait,) = world.decide(world.failed(assignment(tries=("503",), is_probe=True)))
    assert isinstance(wait, Wait)


@pytest.mark.parametrize("kind", list(RequestKind))
def test_a_batch_at_fault_is_settled_by_a_last_look_if_that_is_possible(kind: RequestKind) -> None:
    world = World()
    since = {kind: world.now}
    world.now += FAILING_FOR_SECONDS
    world.serve_others()
    given = assignment(
        failing_since=since, tries=("503",) * 2 * LEAST_TRIES, failed_reads=2 * LEAST_TRIES
    )
    (decision,) = world.decide(world.failed(given, kind))
    if kind is UPDATE:
        assert isinstance(decision, Retry)
        assert (decision.assignment.mode, decision.seconds) == (Mode.LAST_LOOK, 0.0)
    else:
        assert isinstance(decision, Settled)
        assert (decision.state, decision.message) == (ItemState.FAILED, "busy")


@pytest.mark.parametrize(
    ("narrows_outreach", "longest"),
    [(True, NARROWING_RETRY_AFTER_CAP_SECONDS), (False, RETRY_AFTER_CAP_SECONDS)],
)
def test_the_vendor_is_given_the_time_it_asks_for_within_bounds(
    narrows_outreach: bool, longest: float
) -> None:
    world = World()
    world.serve_others()
    failed = world.failed(assignment(tries=("503",)), retry_after=600)
    assert seconds(world.decide(failed, narrows_outreach=narrows_outreach)) == longest


def test_an_answer_after_an_outage_is_news_for_all_who_wait() -> None:
    world = World()
    for _ in range(FAILURES_AT_ONCE):
        world.decide(world.failed(assignment(tries=("503",))))
    assert not world.policy.is_back
    world.serve_others()
    assert world.policy.is_back


def test_a_denial_is_kept_until_an_accepted_update_shows_that_the_batch_is_meant() -> None:
    world = World()
    refusal = denied(assignment())
    assert world.decide(refusal) == []
    accepted = applied(assignment(batch_id="another", tries=("200",)))
    assert world.decide(accepted, UPDATE) == [refusal.refusal, accepted]


def test_a_denial_stands_for_itself_once_nothing_else_is_under_way() -> None:
    world = World()
    refusal = denied(assignment())
    world.decide(refusal)
    assert list(world.policy.decide_denials(2)) == []
    assert list(world.policy.decide_denials(1)) == [refusal.refusal]


def test_denials_in_a_row_halt_the_change_and_a_person_who_goes_on_lets_them_stand() -> None:
    world = World()
    for _ in range(DENIALS_IN_A_ROW):
        world.decide(denied(assignment(tries=("403",))))
    halts = list(world.policy.decide_denials(100))
    assert len(halts) == DENIALS_IN_A_ROW
    for halt in halts:
        assert isinstance(halt, Halt)
        assert "changes to batches in a row (403: no)" in halt.reason
    assert world.policy.held_up[CHANGE] == halts[-1]
    again = denied(halts[0].assignment)
    assert world.decide(again) == [again.refusal]
