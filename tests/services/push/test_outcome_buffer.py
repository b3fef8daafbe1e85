"""What is known and not yet written: nothing is dropped before it is committed."""

from __future__ import annotations

from collections.abc import Collection

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, OperationalError

from batchops.models import Change, ItemState
from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.services.attempts.assignments import Assignment
from batchops.services.attempts.outcomes import Settled
from batchops.services.changes import lifecycle
from batchops.services.push import outcome_buffer, record_outcomes
from batchops.services.push.outcome_buffer import OutcomeBuffer
from batchops.services.runs import leases
from tests.services.push.world import PAUSE, confirmed, fill

pytestmark = pytest.mark.django_db

LEASE = "mine"


@pytest.fixture
def change(sandbox: EmbeddedSandbox, operator: User) -> Change:
    fill(sandbox, 5)
    return confirmed(operator)


@pytest.fixture
def leased(change: Change) -> list[Assignment]:
    return [
        Assignment.of(item, change, PAUSE, None, frozenset())
        for item in leases.claim(change, LEASE, 5)
    ]


def refusals(leased: Collection[Assignment]) -> list[Settled]:
    return [Settled(one, ItemState.REFUSED, message="no") for one in leased]


def test_it_is_written_in_groups_and_each_is_named_once_it_is(
    change: Change, leased: list[Assignment], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcome_buffer, "GROUP_SIZE", 2)
    buffer = OutcomeBuffer(LEASE)
    buffer.add(refusals(leased[:4]))
    buffer.give_back(leased[4:], "for later")
    assert len(buffer) == 5
    written = list(buffer.write({change.pk: change}))
    assert written == [leased[:2], leased[2:4], leased[4:]]
    assert len(buffer) == 0
    assert lifecycle.counts(change) == {"refused": 4, "pending": 1}


def test_what_cannot_be_written_is_kept(
    change: Change, leased: list[Assignment], monkeypatch: pytest.MonkeyPatch
) -> None:
    buffer = OutcomeBuffer(LEASE)
    buffer.add(refusals(leased))

    def gone(*_: object) -> None:
        raise OperationalError("server closed the connection unexpectedly")

    with monkeypatch.context() as patch:
        patch.setattr(record_outcomes, "record", gone)
        with pytest.raises(OperationalError):
            list(buffer.write({change.pk: change}))
    assert len(buffer) == 5
    list(buffer.write({change.pk: change}))
    assert lifecycle.counts(change) == {"refused": 5}


def test_one_outcome_that_the_database_refuses_holds_up_no_other(
    change: Change, leased: list[Assignment], monkeypatch: pytest.MonkeyPatch
) -> None:
    record = record_outcomes.record

    def refuse_the_first(outcomes: Collection[Settled], *rest: object) -> object:
        if any(outcome.assignment == leased[0] for outcome in outcomes):
            raise IntegrityError("It cannot be stored.")
        return record(outcomes, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(record_outcomes, "record", refuse_the_first)
    buffer = OutcomeBuffer(LEASE)
    buffer.add(refusals(leased))
    list(buffer.write({change.pk: change}))
    assert lifecycle.counts(change) == {"refused": 4, "sending": 1}


def test_it_is_due_when_nothing_else_is_under_way_or_anything_is_given_back(
    leased: list[Assignment],
) -> None:
    buffer = OutcomeBuffer(LEASE)
    assert not buffer.is_due(0)
    buffer.add(refusals(leased[:2]))
    assert not buffer.is_due(5)
    assert buffer.is_due(2)
    buffer.give_back(leased[2:], "for later")
    assert buffer.is_due(5)
