"""What the vendor answered is kept until it is committed, however long the database is gone."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

from batchops import audit
from batchops.models import ChangeItem
from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.services.changes import lifecycle
from batchops.services.push import database_outage, driver
from batchops.services.runs import leases
from tests.services.push.world import assert_all_agree, confirmed, fill, wait_for

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_outage, "LONGEST_OUTAGE_SECONDS", 30.0)


def drive_in_background() -> threading.Thread:
    def run() -> None:
        try:
            driver.drive()
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@pytest.mark.parametrize("seconds", [0.3, 4.0])
def test_a_database_that_is_gone_in_mid_run_costs_no_outcome(
    sandbox: EmbeddedSandbox, operator: User, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    """Also for longer than a lease: nothing is sent twice, nothing ends the engine."""
    fill(sandbox, 200)
    change = confirmed(operator)
    sandbox.set_faults(latency=0.05)
    worker = drive_in_background()
    wait_for(lambda: len(sandbox.journal(method="PUT")) > 40)

    def gone(*_: object, **__: object) -> object:
        raise OperationalError("server closed the connection unexpectedly")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseDatabaseWrapper, "cursor", gone)
        time.sleep(seconds)
        sent = len(sandbox.journal(method="PUT"))
    worker.join(30)
    assert sent < 200
    assert lifecycle.counts(change) == {"applied": 200}
    assert len(sandbox.journal(method="PUT")) == 200
    assert_all_agree(sandbox, change)


def test_a_transaction_that_fails_is_tried_again(
    sandbox: EmbeddedSandbox, operator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(sandbox, 60)
    change = confirmed(operator)
    record, failures = audit.record, iter(range(3))

    def deadlock(*facts: audit.Fact) -> object:
        if next(failures, None) is not None:
            raise OperationalError("deadlock detected")
        return record(*facts)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(audit, "record", deadlock)
        driver.drive()
    assert lifecycle.counts(change) == {"applied": 60}
    assert len(sandbox.journal(method="PUT")) == 60
    assert_all_agree(sandbox, change)


def test_an_outcome_is_written_after_its_lease_if_nobody_took_the_item_up(
    sandbox: EmbeddedSandbox, operator: User
) -> None:
    fill(sandbox, 30)
    change = confirmed(operator)
    sandbox.set_faults(latency=0.3)
    worker = drive_in_background()
    wait_for(lambda: len(sandbox.journal(method="PUT")) >= 10)
    leased = change.items.filter(state="sending", lease__gt="")
    leased.update(lease_until=timezone.now())
    time.sleep(0.01)
    assert leases.reclaim_expired()
    worker.join(30)
    assert lifecycle.counts(change) == {"applied": 30}
    assert not ChangeItem.objects.filter(change=change, state="pending").exists()


def test_what_is_claimed_when_the_database_goes_is_worked_on_once_it_is_back(
    sandbox: EmbeddedSandbox, operator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine has not learnt of it, and nobody has to wait until its lease expires."""
    fill(sandbox, 60)
    change = confirmed(operator)
    overtaken, failures = leases.overtaken, iter(range(2))

    def gone(*args: Any) -> object:
        if next(failures, None) is not None:
            raise OperationalError("server closed the connection unexpectedly")
        return overtaken(*args)

    monkeypatch.setattr(leases, "overtaken", gone)
    driver.drive()
    assert lifecycle.counts(change) == {"applied": 60}
    assert len(sandbox.journal(method="PUT")) == 60
    assert_all_agree(sandbox, change)
