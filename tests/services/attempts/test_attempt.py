"""One step of one batch at the vendor: how far it goes, and what it says came of it."""

from __future__ import annotations

from typing import Any

import pytest

from batchops.models import ItemState
from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.services import vendor
from batchops.services.attempts.assignments import Assignment, Mode, RequestKind
from batchops.services.attempts.attempt import Attempt
from batchops.services.attempts.outcomes import (
    Denied,
    Failed,
    Halt,
    Outcome,
    PutBack,
    Report,
    Settled,
)
from batchops.syllable.limits import InFlightLimit
from tests.services.attempts.values import SEEN_AT, assignment

READ, UPDATE = RequestKind.READ, RequestKind.UPDATE


@pytest.fixture(autouse=True)
def batch(sandbox: EmbeddedSandbox) -> None:
    sandbox.add_batch(batch_id="20261124.0", campaign_id=1, status="ACTIVE", paused=False)
    sandbox.reset_journal()


def carry_out(given: Assignment, *, is_leased: bool = True) -> Report:
    client = vendor.client(read_attempts=1)
    return Attempt(client, InFlightLimit(4), given, lambda: is_leased).carry_out()


@pytest.mark.parametrize(
    ("more", "requests"),
    [
        ({"mode": Mode.SEND_AT_ONCE}, ["PUT"]),
        ({"compared_at": SEEN_AT}, ["PUT"]),
        ({}, ["GET", "PUT"]),
        ({"compared_at": SEEN_AT, "in_doubt": True}, ["GET", "PUT"]),
        ({"mode": Mode.LAST_LOOK}, ["GET"]),
        ({"mode": Mode.READ_ONLY}, ["GET"]),
    ],
)
def test_the_mode_says_how_far_it_goes(
    sandbox: EmbeddedSandbox, more: dict[str, Any], requests: list[str]
) -> None:
    carry_out(assignment(**more))
    assert [entry["method"] for entry in sandbox.journal()] == requests


def test_nothing_is_sent_once_the_lease_is_over(sandbox: EmbeddedSandbox) -> None:
    report = carry_out(assignment(), is_leased=False)
    assert isinstance(report.outcome, PutBack)
    assert report.served == (READ,)
    assert sandbox.batch("20261124.0")["paused"] is False


@pytest.mark.parametrize(
    ("faults", "outcome", "served"),
    [
        ({}, Settled, (READ, UPDATE)),
        ({"refused": 1.0}, Settled, (READ, UPDATE)),
        ({"not_applied": 1.0}, Settled, (READ, UPDATE)),
        ({"error_503": {"share": 1.0, "methods": ["PUT"]}}, Failed, (READ,)),
        ({"error_503": 1.0}, Failed, ()),
        ({"unauthorized": 1.0}, Halt, ()),
        ({"redirect": 1.0}, Halt, ()),
        ({"forbidden": {"share": 1.0, "endpoints": ["update"]}}, Denied, ()),
        ({"forbidden": {"share": 1.0, "endpoints": ["batch"]}}, Denied, ()),
    ],
)
def test_what_the_vendor_answers_is_one_of_five_outcomes(
    sandbox: EmbeddedSandbox,
    faults: dict[str, Any],
    outcome: type[Outcome],
    served: tuple[RequestKind, ...],
) -> None:
    sandbox.set_faults(**faults)
    report = carry_out(assignment())
    assert type(report.outcome) is outcome
    assert report.served == served


def test_a_failure_names_the_kind_of_request_that_failed(sandbox: EmbeddedSandbox) -> None:
    sandbox.set_faults(error_503={"share": 1.0, "methods": ["PUT"]})
    failed = carry_out(assignment()).outcome
    assert isinstance(failed, Failed)
    assert (failed.kind, failed.http_status) == (UPDATE, 503)
    assert failed.assignment.tries == ("503",)


def test_what_was_denied_in_doubt_and_cannot_be_read_either_says_nothing_of_the_batch(
    sandbox: EmbeddedSandbox,
) -> None:
    """It is one more sign that the key is meant, and fails no batch."""
    sandbox.set_faults(forbidden={"share": 1.0, "endpoints": ["batch", "update"]})
    outcome = carry_out(assignment(mode=Mode.SEND_AT_ONCE, in_doubt=True)).outcome
    assert isinstance(outcome, Denied)


@pytest.mark.parametrize(
    ("mode", "state"), [(Mode.LAST_LOOK, ItemState.FAILED), (Mode.READ_ONLY, ItemState.STOPPED)]
)
def test_what_is_not_as_asked_ends_by_its_mode(mode: Mode, state: ItemState) -> None:
    outcome = carry_out(assignment(mode=mode, in_doubt=True, tries=("503",))).outcome
    assert isinstance(outcome, Settled)
    assert outcome.state == state
