"""Nothing is compared with an old mirror: by lists for many batches, one by one for few."""

from __future__ import annotations

import datetime as dt

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from batchops.models import Change
from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.services.push.freshness_gate import FreshnessGate
from batchops.services.runs import preflight
from batchops.syllable.errors import SyllableError
from tests.services.push.world import PAUSE, confirmed, fill, wait_for

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def many(sandbox: EmbeddedSandbox, operator: User) -> Change:
    fill(sandbox, preflight.FEW + 10)
    return confirmed(operator)


def advance(gate: FreshnessGate) -> list[tuple[Change, SyllableError]]:
    """Until nothing is being read any more."""
    broken: list[tuple[Change, SyllableError]] = []

    def is_through() -> bool:
        broken.extend(gate.advance())
        return not gate.is_reading

    wait_for(is_through)
    return broken


def test_few_batches_go_through_and_are_read_one_by_one(
    sandbox: EmbeddedSandbox, operator: User
) -> None:
    ids = fill(sandbox, 3)
    gate, change = FreshnessGate(), confirmed(operator)
    assert gate.is_open(change)
    assert not gate.is_reading
    assert gate.compared_at(change, ids[0]) is None


def test_an_emergency_goes_through_at_once(sandbox: EmbeddedSandbox, operator: User) -> None:
    fill(sandbox, preflight.FEW + 10)
    gate = FreshnessGate()
    assert gate.is_open(confirmed(operator, PAUSE, priority=Change.Priority.EMERGENCY))
    assert not gate.is_reading


def test_many_batches_wait_until_the_lists_are_read(many: Change) -> None:
    gate, before = FreshnessGate(), timezone.now()
    assert not gate.is_open(many)
    assert not gate.is_open(many)
    assert advance(gate) == []
    assert gate.is_open(many)
    compared_at = gate.compared_at(many, "20261124.0")
    assert compared_at
    assert compared_at >= before


def test_what_was_just_compared_need_not_wait_for_the_rest(many: Change) -> None:
    gate = FreshnessGate()
    assert gate.just_compared(many) == []
    gate.is_open(many)
    compared: set[str] = set()

    def all_compared() -> bool:
        list(gate.advance())
        compared.update(gate.just_compared(many))
        return len(compared) == many.item_count

    wait_for(all_compared)
    gate.close()


def test_a_vendor_that_gives_no_list_closes_the_gate_and_says_so(
    sandbox: EmbeddedSandbox, many: Change
) -> None:
    sandbox.set_faults(error_503=1.0)
    gate = FreshnessGate()
    assert not gate.is_open(many)
    ((change, error),) = advance(gate)
    assert (change, error.http_status) == (many, 503)
    assert many.preflight_at is None


def test_of_two_workers_one_alone_reads_the_lists(many: Change) -> None:
    first, second = FreshnessGate(), FreshnessGate()
    assert not first.is_open(many)
    assert not second.is_open(many)
    assert (first.is_reading, second.is_reading) == (True, False)
    first.close()
    assert not second.is_open(many)
    assert second.is_reading
    second.close()


def test_a_comparison_of_long_ago_counts_no_more(many: Change) -> None:
    gate = FreshnessGate()
    many.preflight_at = timezone.now() - preflight.FRESH_FOR - dt.timedelta(seconds=1)
    assert not gate.is_open(many)
    gate.close()
