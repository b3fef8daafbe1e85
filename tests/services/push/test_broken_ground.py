"""The queue's data lost, clocks that jump, a full disk, a database that is gone for a while."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
import time_machine
from django.contrib.auth.models import User
from django.db import DatabaseError, OperationalError, close_old_connections, connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.utils import timezone
from pytest_django import Settings

from batchops.models import Batch, Change, ChangeItem, ChangeState
from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.sandbox.vendor import KEY_OWNER
from batchops.services import wake
from batchops.services.changes import lifecycle
from batchops.services.push import driver, engine
from batchops.services.runs import leases, read_back
from batchops.tasks import LANES
from tests.services.push.world import (
    assert_all_agree,
    assert_every_item_has_one_entry,
    confirmed,
    drive_to_the_end,
    fill,
    wait_for,
)

pytestmark = pytest.mark.django_db(transaction=True)


def test_workers_find_a_change_that_was_never_enqueued(
    sandbox: EmbeddedSandbox, operator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(sandbox, 60)

    def lost(**_: object) -> None:
        raise ConnectionError("The queue is gone.")

    wake.work_waiting.connect(lost, weak=False)
    try:
        change = confirmed(operator)
    finally:
        wake.work_waiting.disconnect(lost)
    look_around()
    assert lifecycle.counts(change) == {"applied": 60}
    assert change.items.filter(confirmation="confirmed").count() == 60
    assert_all_agree(sandbox, change)


def test_workers_take_over_what_a_dead_worker_held(
    sandbox: EmbeddedSandbox, operator: User
) -> None:
    ids = fill(sandbox, 60)
    change = confirmed(operator)
    leases.claim(change, "of a worker that died", 40)
    Change.objects.update(state=ChangeState.RUNNING, started_at=timezone.now())
    sandbox.edit_batch(ids[0], paused=True, last_updated_by=KEY_OWNER)
    driver.drive()
    assert lifecycle.counts(change) == {"applied": 20, "sending": 40}
    ChangeItem.objects.filter(state="sending").update(lease_until=timezone.now())
    time.sleep(0.01)
    look_around()
    assert lifecycle.counts(change) == {"applied": 60}
    assert len(sandbox.journal(method="PUT")) == 59
    assert_every_item_has_one_entry([change])


@pytest.mark.parametrize("hours", [2, -2, 24 * 40, -24 * 40])
def test_a_clock_that_jumps_in_mid_run_changes_nothing(
    sandbox: EmbeddedSandbox, operator: User, hours: int
) -> None:
    ids = fill(sandbox, 200)
    change = confirmed(operator)
    sandbox.set_faults(latency=0.02)
    worker = threading.Thread(target=driven)
    worker.start()
    wait_for(lambda: len(sandbox.journal(method="PUT")) > 20)
    with time_machine.travel(timezone.now() + dt.timedelta(hours=hours)):
        worker.join(20)
        drive_to_the_end(change, operator)
        assert_all_agree(sandbox, change)
        assert lifecycle.counts(change) == {"applied": 200}
        assert len(sandbox.journal(method="PUT")) == 200
        assert Batch.objects.filter(pk__in=ids, paused=True).count() == 200


def test_a_clock_set_back_does_not_prolong_a_wait(sandbox: EmbeddedSandbox, operator: User) -> None:
    fill(sandbox, 60)
    change = confirmed(operator)
    sandbox.set_faults(error_503=1.0)
    driver.drive()
    change.refresh_from_db()
    assert change.waiting_until
    sandbox.clear_faults()
    with time_machine.travel(timezone.now() - dt.timedelta(hours=3)):
        driver.drive()
        assert lifecycle.counts(change) == {"applied": 60}


def look_around() -> None:
    """What the lanes of a worker that nobody woke do by themselves."""
    for name in ("timers", "push", "read-back"):
        LANES[name].step()


def driven() -> None:
    try:
        driver.drive()
    finally:
        close_connections()


def close_connections() -> None:
    connection.close()


@contextmanager
def full_disk() -> Iterator[None]:
    """No page can be added to the SQLite file, by whichever connection."""
    with connection.cursor() as cursor:
        # Pages that the tests before left free would be used first.
        cursor.execute("VACUUM")
        cursor.execute("PRAGMA page_count")
        (pages,) = cursor.fetchone()

    def limit(**_: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"PRAGMA max_page_count = {pages}")

    limit()
    connection_created.connect(limit)
    try:
        yield
    finally:
        connection_created.disconnect(limit)
        connection.close()


@pytest.mark.once
def test_a_full_disk_is_a_clear_error_and_loses_nothing(
    sandbox: EmbeddedSandbox, operator: User, caplog: pytest.LogCaptureFixture
) -> None:
    fill(sandbox, 300)
    change = confirmed(operator)
    with full_disk(), pytest.raises(DatabaseError, match="full"):
        driver.drive()
    assert "database or disk is full" in caplog.text
    assert "Nothing is lost" in caplog.text
    ChangeItem.objects.filter(state="sending").update(lease_until=timezone.now())
    time.sleep(0.01)
    drive_to_the_end(change, operator)
    assert lifecycle.counts(change) == {"applied": 300}
    assert_every_item_has_one_entry([change])


@contextmanager
def database_gone() -> Iterator[None]:
    """The connection breaks off in the middle of the work, and no new one can be made."""

    def broken(*_: object, **__: object) -> object:
        raise OperationalError("server closed the connection unexpectedly")

    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            (process_id,) = cursor.fetchone()
        terminate(process_id)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseDatabaseWrapper, "cursor", broken)
        yield
    close_old_connections()


def terminate(process_id: int) -> None:
    import psycopg

    values = connection.settings_dict
    with psycopg.connect(
        dbname=values["NAME"],
        user=values["USER"],
        password=values["PASSWORD"],
        host=values["HOST"],
        port=values["PORT"],
    ) as other:
        other.execute("SELECT pg_terminate_backend(%s)", [process_id])


@pytest.mark.parametrize("sent_before", [0, 1, 30])
def test_a_database_that_is_gone_for_a_while_loses_nothing(
    sandbox: EmbeddedSandbox, operator: User, sent_before: int
) -> None:
    fill(sandbox, 300)
    change = confirmed(operator)
    sandbox.set_faults(latency=0.01)
    use_database = engine.Engine._use_database

    def use_it_until_it_breaks(engine: engine.Engine) -> int:
        if len(sandbox.journal(method="PUT")) >= sent_before:
            stack.enter_context(database_gone())
        return use_database(engine)

    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.setattr(engine.Engine, "_use_database", use_it_until_it_breaks)
        with pytest.raises(DatabaseError):
            driver.drive()
    ChangeItem.objects.filter(state="sending").update(lease_until=timezone.now())
    time.sleep(0.01)
    drive_to_the_end(change, operator)
    assert lifecycle.counts(change) == {"applied": 300}
    assert_every_item_has_one_entry([change])
    known = set(change.items.filter(state="applied").values_list("batch_id", flat=True))
    assert {entry["batch_id"] for entry in sandbox.journal(method="PUT")} <= known


def test_a_key_that_cannot_be_used_halts_with_words(
    sandbox: EmbeddedSandbox, operator: User, settings: Settings
) -> None:
    fill(sandbox, 3)
    change = confirmed(operator)
    settings.SYLLABLE_BASE_URL = "http://vendor.example.com"
    driver.drive()
    change.refresh_from_db()
    assert "Fix the settings" in change.halted_reason
    settings.SYLLABLE_BASE_URL = sandbox.url
    drive_to_the_end(change, operator)
    assert lifecycle.counts(change) == {"applied": 3}
    assert_all_agree(sandbox, change)


def test_what_cannot_be_read_back_for_a_day_stays_unconfirmed(
    sandbox: EmbeddedSandbox, operator: User
) -> None:
    fill(sandbox, 3)
    change = confirmed(operator)
    driver.drive()
    sandbox.set_faults(error_503=1.0)
    read_back.all_due()
    assert change.items.filter(confirmation="").count() == 3
    Change.objects.update(finished_at=timezone.now() - dt.timedelta(days=2), read_back_due_at=None)
    read_back.all_due()
    assert change.items.filter(confirmation="not_confirmed").count() == 3
