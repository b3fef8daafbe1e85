"""Reading back: what proves itself is confirmed, what a reading refutes is said, nothing sleeps."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator

import pytest
import time_machine
from django.contrib.auth.models import User
from django.utils import timezone
from pytest_django import Settings

from batchops import audit
from batchops.models import Action, AuditEntry, Batch, Change, ChangeItem
from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.services.changes import drafts, lifecycle
from batchops.services.push import driver
from batchops.services.runs import leases, read_back
from batchops.services.stats import progress
from batchops.syllable.patch import BatchPatch
from tests.services.push.world import confirmed, fill

pytestmark = pytest.mark.django_db(transaction=True)

Confirmation = ChangeItem.Confirmation
LAG = 120


@pytest.fixture(autouse=True)
def reads_may_lag(settings: Settings) -> None:
    settings.SYLLABLE_READ_LAG = LAG


def later(seconds: float) -> time_machine.travel:
    return time_machine.travel(timezone.now() + dt.timedelta(seconds=seconds))


def confirmations(change: Change) -> set[str]:
    return set(change.items.values_list("confirmation", flat=True))


def paused(operator: User) -> Change:
    change = confirmed(operator)
    driver.drive()
    change.refresh_from_db()
    return change


@pytest.mark.parametrize("number", [2, 120])
def test_what_the_vendor_shows_at_once_is_confirmed_at_once(
    sandbox: EmbeddedSandbox, operator: User, number: int
) -> None:
    fill(sandbox, number)
    change = paused(operator)
    assert read_back.all_due() is None
    change.refresh_from_db()
    assert confirmations(change) == {Confirmation.CONFIRMED}
    assert change.read_back_at is not None


def test_reads_that_lag_never_lead_to_not_confirmed(
    sandbox: EmbeddedSandbox, operator: User
) -> None:
    fill(sandbox, 2)
    sandbox.set_faults(list_lag_seconds=100, get_lag_seconds=100)
    change = paused(operator)
    for seconds in (0, 3, 9, 31):
        with later(seconds):
            read_back.all_due()
            assert confirmations(change) == {Confirmation.NONE}
    sandbox.clear_faults()
    with later(LAG + 1):
        read_back.all_due()
    assert confirmations(change) == {Confirmation.CONFIRMED}


def test_each_look_is_due_at_its_time_and_nobody_waits_for_it(
    sandbox: EmbeddedSandbox, operator: User
) -> None:
    fill(sandbox, 2)
    sandbox.set_faults(list_lag_seconds=100, get_lag_seconds=100)
    change = paused(operator)
    settled = change.items.latest("settled_at").settled_at
    assert settled is not None
    sandbox.reset_journal()
    due = []
    for seconds in (1, 4, 12, 40):
        with time_machine.travel(settled + dt.timedelta(seconds=seconds)):
            assert (read_back.all_due() or 0) <= read_back.POLL_SECONDS
            read_back.all_due()
        change.refresh_from_db()
        assert change.read_back_due_at is not None
        due.append(round((change.read_back_due_at - settled).total_seconds()))
    assert due == [2, 8, 30, LAG]
    assert len(sandbox.journal(method="GET")) == 4 * 2


def test_what_was_accepted_and_never_kept_is_not_confirmed_once_the_lag_has_passed(
    sandbox: EmbeddedSandbox, operator: User
) -> None:
    fill(sandbox, 2)
    sandbox.set_faults(not_kept=1.0)
    change = paused(operator)
    read_back.all_due()
    assert confirmations(change) == {Confirmation.NONE}
    with later(LAG + 1):
        read_back.all_due()
    assert confirmations(change) == {Confirmation.NOT_CONFIRMED}
    assert set(Batch.objects.values_list("paused", flat=True)) == {False}
    entries = AuditEntry.objects.filter(action=Action.BATCH_NOT_CONFIRMED)
    assert [(e.before["paused"], e.after["paused"]) for e in entries] == [(True, False)] * 2  # type: ignore[index]
    assert not AuditEntry.objects.filter(outcome="outside").exists()


def test_changes_that_are_due_share_the_list_pages(
    sandbox: EmbeddedSandbox, operator: User
) -> None:
    fill(sandbox, 120)
    paused(operator)
    confirmed(operator, BatchPatch(call_rate=30), Batch.objects.filter(pk__endswith="1"))
    confirmed(operator, BatchPatch(call_rate=40), Batch.objects.filter(pk__endswith="2"))
    driver.drive()
    sandbox.reset_journal()
    read_back.all_due()
    assert Change.objects.filter(read_back_at=None).count() == 0
    assert len(sandbox.journal(method="GET")) == 1


def test_workers_take_turns(sandbox: EmbeddedSandbox, operator: User) -> None:
    fill(sandbox, 2)
    change = paused(operator)
    until = timezone.now() + leases.lease_time()
    Change.objects.update(read_back_lease_until=until)
    sandbox.reset_journal()
    read_back.all_due()
    assert sandbox.journal(method="GET") == []
    Change.objects.update(read_back_lease_until=timezone.now() - dt.timedelta(seconds=1))
    read_back.all_due()
    assert confirmations(change) == {Confirmation.CONFIRMED}


def test_a_vendor_that_fails_is_left_alone_for_a_while(
    sandbox: EmbeddedSandbox, operator: User
) -> None:
    fill(sandbox, 2)
    change = paused(operator)
    sandbox.set_faults(error_503=1.0)
    read_back.all_due()
    sandbox.clear_faults()
    sandbox.reset_journal()
    read_back.all_due()
    assert sandbox.journal(method="GET") == []
    with later(31):
        read_back.all_due()
    assert confirmations(change) == {Confirmation.CONFIRMED}


def test_what_was_already_so_is_read_back_too(sandbox: EmbeddedSandbox, operator: User) -> None:
    fill(sandbox, 2, paused=True)
    change = paused(operator)
    assert lifecycle.counts(change) == {"unchanged": 2}
    read_back.all_due()
    assert confirmations(change) == {Confirmation.CONFIRMED}


def test_what_a_reading_refutes_is_trouble_and_is_taken_by_retry(
    sandbox: EmbeddedSandbox, operator: User
) -> None:
    """The vendor said "already so" and "expired", and later shows that neither was true."""
    ids = fill(sandbox, 2, paused=True)
    sandbox.add_batch(batch_id="expired", campaign_id=1, status="EXPIRED")
    fill(sandbox, 0)
    change = paused(operator)
    assert lifecycle.counts(change) == {"unchanged": 2, "skipped": 1}
    sandbox.edit_batch(ids[0], paused=False)
    sandbox.vanish("expired")
    sandbox.add_batch(batch_id="expired", campaign_id=1, status="ACTIVE")
    with later(LAG + 1):
        read_back.all_due()
        change.refresh_from_db()
        assert lifecycle.counts(change) == {"unchanged": 1, "not_applied": 2}
        assert progress.progress(change).trouble == 2
        entries = AuditEntry.objects.filter(action=Action.BATCH_NOT_CONFIRMED, batch_id=ids[0])
        assert [(e.before["paused"], e.after["paused"]) for e in entries] == [(True, False)]  # type: ignore[index]
        retry = drafts.draft_retry(change, user=operator, actor=audit.Actor.of_user(operator))
        assert set(retry.items.values_list("batch_id", flat=True)) == {ids[0], "expired"}


def test_an_item_that_a_later_change_overtook_is_left_alone(
    sandbox: EmbeddedSandbox, operator: User
) -> None:
    fill(sandbox, 2)
    first = paused(operator)
    second = confirmed(operator, BatchPatch(paused=False))
    driver.drive()
    read_back.all_due()
    assert confirmations(first) == {Confirmation.NONE}
    assert confirmations(second) == {Confirmation.CONFIRMED}
    assert not AuditEntry.objects.filter(action=Action.BATCH_NOT_CONFIRMED).exists()


@pytest.mark.parametrize("number", [2, 120])
def test_what_a_later_change_does_while_it_is_read_refutes_nothing(
    sandbox: EmbeddedSandbox, operator: User, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(sandbox, number)
    change = paused(operator)
    readings = read_back._readings

    def overtaken(wanted: Collection[str]) -> Iterator[read_back.Reading]:
        confirmed(operator, BatchPatch(paused=False))
        driver.drive()
        yield from readings(wanted)

    monkeypatch.setattr(read_back, "_readings", overtaken)
    read_back.read_back(change)
    assert confirmations(change) == {Confirmation.NONE}
    assert not AuditEntry.objects.filter(action=Action.BATCH_NOT_CONFIRMED).exists()


def test_what_vanished_before_it_was_read_back_stays_unconfirmed(
    sandbox: EmbeddedSandbox, operator: User
) -> None:
    ids = fill(sandbox, 2)
    change = paused(operator)
    sandbox.vanish(ids[0])
    read_back.all_due()
    with later(LAG + 1):
        read_back.all_due()
    change.refresh_from_db()
    assert dict(change.items.values_list("batch_id", "confirmation")) == {
        ids[0]: Confirmation.NOT_CONFIRMED,
        ids[1]: Confirmation.CONFIRMED,
    }
    assert change.read_back_at is not None
