"""Every way in which the vendor can misbehave, now and then and always: all ends by itself."""

from __future__ import annotations

import datetime as dt
import time

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from pytest_django import Settings

from batchops.models import Batch, Change, ChangeItem, ItemState
from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.sandbox.faults import FaultKind
from batchops.services.changes import lifecycle
from batchops.services.push import driver
from batchops.services.runs import preflight, read_back
from tests.services.push.world import (
    PAUSE,
    RESUME,
    assert_all_agree,
    confirmed,
    describe,
    drive_to_the_end,
    fill,
)

pytestmark = pytest.mark.django_db(transaction=True)

FEW, MANY = 12, 30
"""Read one by one before they are sent, or through list pages."""
EITHER = [pytest.param(FEW, marks=pytest.mark.once), MANY]
"""The vendor's misbehaving does not depend on our database, so there one of both is enough."""

HALTING = {FaultKind.UNAUTHORIZED, FaultKind.FORBIDDEN, FaultKind.REDIRECT}
LYING = {
    FaultKind.NOT_KEPT,
    FaultKind.NOT_APPLIED,
    FaultKind.REFUSED,
    FaultKind.NOT_FOUND,
    FaultKind.UNAUTHORIZED,
    FaultKind.FORBIDDEN,
}
"""With these, a batch may not be as wanted although the vendor has answered for it."""
ENDING = {
    FaultKind.REFUSED: "refused",
    FaultKind.NOT_APPLIED: "not_applied",
    FaultKind.NOT_KEPT: "applied",
    FaultKind.EXTRA_CHANGE: "applied",
    FaultKind.EXTRA_CHANGE_HIDDEN: "applied",
    FaultKind.UNKNOWN_STATUS: "applied",
    FaultKind.EXTRA_FIELDS: "applied",
    FaultKind.NULL_CAMPAIGNS: "applied",
    FaultKind.MISSING_FIELDS: "conflict",
    FaultKind.EMPTY_LIST: "applied",
    FaultKind.PARTIAL_LIST: "applied",
    FaultKind.REPEATED_PAGE: "applied",
}
"""What becomes of every item when the fault applies to every request."""
APPLIED_BEFORE_THE_TROUBLE = {
    FaultKind.RESET_AFTER,
    FaultKind.STALL_AFTER,
    FaultKind.ERROR_AFTER,
    FaultKind.TRUNCATED,
    FaultKind.NOT_JSON,
    FaultKind.EMPTY,
    FaultKind.OVERSIZED,
    FaultKind.WRONG_BATCH_ID,
}
"""The update was carried out, and the reply does not say so."""
NOTHING_DONE = {
    FaultKind.RATE_LIMITED,
    FaultKind.ERROR_500,
    FaultKind.ERROR_502,
    FaultKind.ERROR_503,
    FaultKind.ERROR_STATUS,
    FaultKind.RESET_BEFORE,
    FaultKind.STALL_BEFORE,
}
EVERY_FAULT = pytest.mark.parametrize("kind", list(FaultKind), ids=str)


@pytest.fixture(autouse=True)
def quick_faults(
    sandbox: EmbeddedSandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "FEW", FEW)
    settings.SYLLABLE_TIMEOUT = 0.4
    sandbox.set_faults(stall_seconds=0.6, oversized_bytes=2 * 1024 * 1024, retry_after_seconds=0)


@EVERY_FAULT
@pytest.mark.parametrize("number", EITHER)
def test_a_fault_now_and_then_is_overcome(
    sandbox: EmbeddedSandbox, operator: User, kind: FaultKind, number: int
) -> None:
    ids = fill(sandbox, number)
    change = confirmed(operator)
    sandbox.set_faults(**{kind: 0.1})
    drive_to_the_end(change, operator)
    assert_all_agree(sandbox, change)
    applied = change.items.filter(state=ItemState.APPLIED)
    if kind not in LYING | {FaultKind.MISSING_FIELDS}:
        assert applied.count() == number, describe(change)
        assert all(sandbox.batch(batch_id)["paused"] for batch_id in ids)
    if kind is not FaultKind.NOT_KEPT:
        assert all(sandbox.batch(item.batch_id)["paused"] for item in applied)


@EVERY_FAULT
@pytest.mark.parametrize("number", EITHER)
def test_a_fault_of_every_request_fails_no_item(
    sandbox: EmbeddedSandbox, operator: User, kind: FaultKind, number: int
) -> None:
    ids = fill(sandbox, number)
    change = confirmed(operator)
    sandbox.set_faults(**{kind: 1.0})
    if kind in ENDING:
        driver.drive()
        change.refresh_from_db()
        assert lifecycle.counts(change) == {ENDING[kind]: number}, describe(change)
        assert_all_agree(sandbox, change)
        return
    driver.drive()
    change.refresh_from_db()
    if kind in HALTING:
        assert change.is_halted
    elif kind not in {FaultKind.NOT_A_PAGE, FaultKind.NOT_FOUND}:
        assert change.waiting_reason, describe(change)
        assert "failed" not in lifecycle.counts(change)
    sandbox.clear_faults()
    drive_to_the_end(change, operator)
    assert_all_agree(sandbox, change)
    if (kind, number) == (FaultKind.NOT_FOUND, FEW):
        assert lifecycle.counts(change) == {"skipped": FEW}
        return
    assert lifecycle.counts(change) == {"applied": number}
    assert all(sandbox.batch(batch_id)["paused"] for batch_id in ids)


@pytest.mark.parametrize("kind", sorted(APPLIED_BEFORE_THE_TROUBLE), ids=str)
def test_an_update_that_went_through_unseen_is_found_by_reading(
    sandbox: EmbeddedSandbox, operator: User, kind: FaultKind
) -> None:
    fill(sandbox, MANY)
    change = confirmed(operator)
    sandbox.set_faults(**{kind: {"share": 1.0, "methods": ["PUT"]}})
    drive_to_the_end(change, operator)
    assert lifecycle.counts(change) == {"applied": MANY}
    assert_all_agree(sandbox, change)
    assert len(sandbox.journal(method="PUT")) == MANY


@pytest.mark.parametrize("number", [pytest.param(1, marks=pytest.mark.once), *EITHER])
@pytest.mark.parametrize("kind", sorted(NOTHING_DONE), ids=str)
def test_writes_that_are_down_fail_no_item_however_few_there_are_and_however_long_it_takes(
    sandbox: EmbeddedSandbox, operator: User, kind: FaultKind, number: int
) -> None:
    fill(sandbox, number)
    change = confirmed(operator)
    sandbox.set_faults(**{kind: {"share": 1.0, "methods": ["PUT"]}})
    for _ in range(4):
        driver.drive()
        change.refresh_from_db()
        assert "no changes: " in change.waiting_reason
        assert set(lifecycle.counts(change)) == {"pending"}
        Change.objects.update(waiting_until=None)
    sandbox.clear_faults()
    drive_to_the_end(change, operator)
    change.refresh_from_db()
    assert lifecycle.counts(change) == {"applied": number}
    assert not change.waiting_reason
    assert_all_agree(sandbox, change)


def test_one_batch_that_always_fails_fails_alone(sandbox: EmbeddedSandbox, operator: User) -> None:
    ids = fill(sandbox, MANY)
    change = confirmed(operator)
    sandbox.set_faults(error_500={"share": 1.0, "methods": ["PUT"], "batch_ids": [ids[-1]]})
    drive_to_the_end(change, operator)
    assert lifecycle.counts(change) == {"applied": MANY - 1, "failed": 1}
    failed = change.items.get(state=ItemState.FAILED)
    assert failed.batch_id == ids[-1]
    assert "500" in failed.message
    assert_all_agree(sandbox, change)


def test_when_the_vendor_is_back_all_that_waits_goes_on(
    sandbox: EmbeddedSandbox, operator: User
) -> None:
    """The first probe that is answered wakes the others, whose own turn is up to a minute away."""
    ids = fill(sandbox, FEW)
    halves = [Batch.objects.filter(pk__in=ids[:6]), Batch.objects.filter(pk__in=ids[6:])]
    first, second = (confirmed(operator, PAUSE, half) for half in halves)
    sandbox.set_faults(error_503={"share": 1.0, "methods": ["PUT"]})
    driver.drive()
    assert Change.objects.filter(waiting_reason="").count() == 0
    sandbox.clear_faults()
    Change.objects.filter(pk=first.pk).update(waiting_until=None)
    far = timezone.now() + dt.timedelta(seconds=60)
    Change.objects.filter(pk=second.pk).update(waiting_until=far)
    driver.drive()
    assert lifecycle.counts(first) == lifecycle.counts(second) == {"applied": 6}


def test_while_only_reads_are_served_each_change_that_waits_sends_one_probe(
    sandbox: EmbeddedSandbox, operator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A probe in doubt begins with a read: that it is answered says nothing of changes."""
    ids = fill(sandbox, FEW)
    for half in (ids[:6], ids[6:]):
        confirmed(operator, PAUSE, Batch.objects.filter(pk__in=half))
    sandbox.set_faults(error_503={"share": 1.0, "methods": ["PUT"]})
    driver.drive()
    monkeypatch.setattr(driver, "_stop_asked", lambda: len(sandbox.journal(method="PUT")) > 2)
    for _ in range(3):
        sandbox.reset_journal()
        Change.objects.update(waiting_until=None)
        driver.drive()
        assert Change.objects.filter(waiting_reason="").count() == 0
        assert len(sandbox.journal(method="PUT")) == 2


@pytest.mark.parametrize("paused", [False, True])
def test_after_a_day_of_waiting_only_what_reaches_people_halts(
    sandbox: EmbeddedSandbox, operator: User, paused: bool
) -> None:
    fill(sandbox, FEW, paused=paused)
    change = confirmed(operator, RESUME if paused else PAUSE)
    sandbox.set_faults(error_503={"share": 1.0, "methods": ["PUT"]})
    driver.drive()
    day = dt.timedelta(hours=25)
    Change.objects.update(waiting_since=timezone.now() - day, waiting_until=None)
    driver.drive()
    change.refresh_from_db()
    assert change.is_halted is paused
    assert bool(change.waiting_reason)


def test_at_30_percent_errors_of_all_kinds_nothing_fails(
    sandbox: EmbeddedSandbox, operator: User
) -> None:
    fill(sandbox, 300)
    change = confirmed(operator)
    sandbox.set_faults(error_500=0.1, reset_before=0.1, reset_after=0.1)
    drive_to_the_end(change, operator)
    assert lifecycle.counts(change) == {"applied": 300}
    assert_all_agree(sandbox, change)


def test_a_long_outage_costs_no_item(sandbox: EmbeddedSandbox, operator: User) -> None:
    fill(sandbox, MANY)
    change = confirmed(operator)
    sandbox.set_faults(error_500={"share": 1.0, "methods": ["PUT"]})
    for _ in range(8):
        driver.drive()
        time.sleep(0.3)
    sandbox.clear_faults()
    drive_to_the_end(change, operator)
    numbers = lifecycle.counts(change)
    assert numbers == {"applied": MANY}
    assert_all_agree(sandbox, change)


def test_a_refusal_after_a_lost_reply_does_not_hide_that_it_was_done(
    sandbox: EmbeddedSandbox, operator: User
) -> None:
    ids = fill(sandbox, 1)
    change = confirmed(operator, priority=10)
    sandbox.set_faults(
        reset_after={"share": 1.0, "methods": ["PUT"], "times": 1},
        refused={"share": 1.0, "methods": ["PUT"]},
    )
    drive_to_the_end(change, operator)
    assert sandbox.batch(ids[0])["paused"]
    assert lifecycle.counts(change) == {"applied": 1}
    assert_all_agree(sandbox, change)


def test_a_404_to_an_update_alone_makes_no_batch_missing(
    sandbox: EmbeddedSandbox, operator: User
) -> None:
    fill(sandbox, FEW)
    change = confirmed(operator)
    sandbox.set_faults(not_found={"share": 1.0, "methods": ["PUT"]})
    driver.drive()
    assert lifecycle.counts(change) == {"refused": FEW}
    assert not change.items.filter(batch__missing_since__isnull=False).exists()
    assert_all_agree(sandbox, change)


def test_what_the_vendor_only_pretends_is_not_confirmed(
    sandbox: EmbeddedSandbox, operator: User
) -> None:
    ids = fill(sandbox, MANY)
    change = confirmed(operator)
    sandbox.set_faults(not_kept={"share": 1.0, "batch_ids": [ids[3]]})
    driver.drive()
    read_back.read_back(change)
    unproved = change.items.filter(confirmation=ChangeItem.Confirmation.NOT_CONFIRMED)
    assert [item.batch_id for item in unproved] == [ids[3]]


@pytest.mark.parametrize("kind", [FaultKind.EXTRA_CHANGE, FaultKind.EXTRA_CHANGE_HIDDEN])
def test_a_field_that_changed_without_being_requested_is_flagged(
    sandbox: EmbeddedSandbox, operator: User, kind: FaultKind
) -> None:
    fill(sandbox, FEW)
    change = confirmed(operator)
    sandbox.set_faults(**{kind: 1.0})
    driver.drive()
    read_back.read_back(change)
    assert all(item.unrequested for item in change.items.all())


def test_reads_that_lag_behind_are_waited_for(
    sandbox: EmbeddedSandbox, operator: User, settings: Settings
) -> None:
    settings.SYLLABLE_READ_LAG = 60
    fill(sandbox, MANY)
    change = confirmed(operator)
    sandbox.set_faults(list_lag_seconds=60, get_lag_seconds=60)
    driver.drive()
    read_back.read_back(change)
    assert not change.items.exclude(confirmation="").exists()
    sandbox.clear_faults()
    read_back.read_back(change)
    confirmed_items = change.items.filter(confirmation=ChangeItem.Confirmation.CONFIRMED)
    assert confirmed_items.count() == MANY


def test_a_page_instead_of_an_answer_is_an_outage_however_long_it_lasts(
    sandbox: EmbeddedSandbox, operator: User
) -> None:
    """A maintenance page comes with a 200: nobody is answered, so no batch is to blame."""
    fill(sandbox, 1)
    change = confirmed(operator)
    sandbox.set_faults(not_json=1.0)
    for _ in range(5):
        driver.drive()
        Change.objects.update(waiting_until=None)
    change.refresh_from_db()
    assert lifecycle.counts(change) == {"pending": 1}, describe(change)
    assert change.waiting_reason
    sandbox.clear_faults()
    drive_to_the_end(change, operator)
    assert lifecycle.counts(change) == {"applied": 1}
