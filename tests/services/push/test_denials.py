"""One bad batch never stops the others, and one bad key never fails any."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from batchops.models import Batch, Change
from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.services.changes import lifecycle
from batchops.services.push import driver
from batchops.services.push.denials import DENIALS_IN_A_ROW
from tests.services.push.world import (
    PAUSE,
    assert_all_agree,
    confirmed,
    describe,
    drive_to_the_end,
    fill,
    fill_with,
)

pytestmark = pytest.mark.django_db(transaction=True)

FEW, MANY = 12, 70
DENIALS = pytest.mark.parametrize("fault", ["unauthorized", "forbidden"])


@DENIALS
@pytest.mark.parametrize("methods", [["PUT"], ["GET", "PUT"]])
@pytest.mark.parametrize("number", [1, FEW, MANY])
def test_one_batch_that_is_denied_is_refused_alone(
    sandbox: EmbeddedSandbox, operator: User, fault: str, methods: list[str], number: int
) -> None:
    ids = fill(sandbox, number)
    change = confirmed(operator)
    sandbox.set_faults(**{fault: {"share": 1.0, "methods": methods, "batch_ids": [ids[-1]]}})
    driver.drive()
    change.refresh_from_db()
    assert not change.is_halted
    expected = {"refused": 1, "applied": number - 1} if number > 1 else {"refused": 1}
    assert lifecycle.counts(change) == expected
    refused = change.items.get(state="refused")
    assert refused.batch_id == ids[-1]
    assert refused.http_status in (401, 403)
    # The key is accepted elsewhere, so nothing else may be said of it.
    assert "does not allow this batch to be" in refused.message
    assert "did not accept the key" not in refused.message
    assert_all_agree(sandbox, change)


@DENIALS
def test_a_key_that_may_read_and_not_write_halts_the_change_and_fails_no_batch(
    sandbox: EmbeddedSandbox, operator: User, fault: str
) -> None:
    fill(sandbox, MANY)
    change = confirmed(operator)
    sandbox.set_faults(**{fault: {"share": 1.0, "methods": ["PUT"]}}, latency=0.05)
    driver.drive()
    change.refresh_from_db()
    assert "changes to batches in a row" in change.halted_reason
    assert lifecycle.counts(change) == {"pending": MANY}
    assert len(sandbox.journal(method="PUT")) < MANY
    sandbox.clear_faults()
    drive_to_the_end(change, operator)
    assert lifecycle.counts(change) == {"applied": MANY}
    assert_all_agree(sandbox, change)


@DENIALS
def test_a_key_that_is_rejected_everywhere_halts_at_once(
    sandbox: EmbeddedSandbox, operator: User, fault: str
) -> None:
    fill(sandbox, FEW)
    change = confirmed(operator)
    sandbox.set_faults(**{fault: 1.0})
    driver.drive()
    change.refresh_from_db()
    assert "does not accept the key" in change.halted_reason
    assert lifecycle.counts(change) == {"pending": FEW}


def test_denials_apart_from_each_other_are_each_batch_own(
    sandbox: EmbeddedSandbox, operator: User
) -> None:
    """More in all than it takes for the key to be blamed, yet others are accepted between."""
    ids = fill(sandbox, 200)
    change = confirmed(operator)
    denied = ids[::20]
    assert len(denied) > DENIALS_IN_A_ROW
    sandbox.set_faults(forbidden={"share": 1.0, "methods": ["PUT"], "batch_ids": denied})
    drive_to_the_end(change, operator)
    assert lifecycle.counts(change) == {"applied": 200 - len(denied), "refused": len(denied)}
    assert_all_agree(sandbox, change)


@pytest.mark.parametrize(("method", "what"), [("PUT", "changes to"), ("GET", "reads of single")])
def test_batches_that_are_denied_in_a_row_are_refused_when_a_person_goes_on(
    sandbox: EmbeddedSandbox, operator: User, method: str, what: str
) -> None:
    """Others were accepted before, so the key may be in order; whether it is, a person decides."""
    accepted = fill(sandbox, FEW)
    drive_to_the_end(confirmed(operator), operator)
    denied = fill_with(sandbox, [f"denied {number}" for number in range(2 * DENIALS_IN_A_ROW)])
    change = confirmed(operator, PAUSE, Batch.objects.filter(pk__in=denied))
    sandbox.set_faults(forbidden={"share": 1.0, "methods": [method], "batch_ids": denied})
    driver.drive()
    change.refresh_from_db()
    assert f"{what} batches in a row" in change.halted_reason
    drive_to_the_end(change, operator)
    assert lifecycle.counts(change) == {"refused": len(denied)}
    assert_all_agree(sandbox, change)
    assert all(sandbox.batch(batch_id)["paused"] for batch_id in accepted)


def test_a_redirect_of_one_batch_halts_nothing(sandbox: EmbeddedSandbox, operator: User) -> None:
    ids = fill(sandbox, FEW)
    change = confirmed(operator)
    sandbox.set_faults(redirect={"share": 1.0, "methods": ["PUT"], "batch_ids": [ids[0]]})
    drive_to_the_end(change, operator)
    assert lifecycle.counts(change) == {"applied": FEW - 1, "failed": 1}, describe(change)
    assert not Change.objects.exclude(halted_reason="").exists()


@pytest.mark.parametrize("fault", ["error_500", "unauthorized"])
def test_a_batch_on_no_page_that_cannot_be_read_holds_up_no_other(
    sandbox: EmbeddedSandbox, operator: User, fault: str
) -> None:
    ids = fill(sandbox, 200)
    change = confirmed(operator)
    sandbox.set_faults(
        partial_list={"share": 1.0, "endpoints": ["batches"]},
        left_out=0.1,
        **{fault: {"share": 1.0, "endpoints": ["batch"], "batch_ids": ids[:150]}},
    )
    drive_to_the_end(change, operator)
    numbers = lifecycle.counts(change)
    assert numbers["applied"] > 150
    assert numbers["applied"] + sum(numbers.get(s, 0) for s in ("failed", "refused")) == 200
    assert_all_agree(sandbox, change)
