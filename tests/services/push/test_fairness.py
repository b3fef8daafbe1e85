"""Nobody waits behind somebody else's bulk, and nothing that hangs holds up the others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from django.contrib.auth.models import User
from django.db import connections
from pytest_django import Settings

from batchops import audit
from batchops.models import Batch, Change
from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.services import vendor
from batchops.services.changes import lifecycle
from batchops.services.push import driver
from tests.services.push.world import (
    PAUSE,
    RESUME,
    assert_all_agree,
    confirmed,
    drive_to_the_end,
    fill,
    fill_with,
    wait_for,
)

pytestmark = pytest.mark.django_db(transaction=True)

BULK = 600
SOON = 150
"""Updates of the bulk that may go before; at 16 in flight and 50 ms these take half a second."""


@pytest.fixture
def oscar(make_person: Callable[..., User]) -> User:
    return make_person("oscar", "Operator")


@pytest.fixture
def worker() -> Iterator[Callable[[], threading.Thread]]:
    """Starts an engine in a thread of its own, and waits for its end."""
    threads: list[threading.Thread] = []

    def run() -> None:
        try:
            driver.drive()
        finally:
            connections.close_all()

    def start() -> threading.Thread:
        threads.append(threading.Thread(target=run))
        threads[-1].start()
        return threads[-1]

    yield start
    driver.stop_when(lambda: True)
    for thread in threads:
        thread.join(30)
    driver.stop_when(lambda: False)


def updates(sandbox: EmbeddedSandbox) -> list[str]:
    return [entry["batch_id"] for entry in sandbox.journal(method="PUT")]


def sent_before(sandbox: EmbeddedSandbox, batch_id: str, seen: int) -> int:
    """How many other updates arrived since then before that of a batch."""
    wait_for(lambda: batch_id in updates(sandbox))
    return updates(sandbox).index(batch_id) - seen


@pytest.mark.parametrize("somebody_else", [True, False])
@pytest.mark.parametrize("bulk_patch", [PAUSE, RESUME])
def test_a_new_pause_of_one_batch_goes_before_the_rest_of_a_bulk(
    sandbox: EmbeddedSandbox,
    operator: User,
    oscar: User,
    worker: Callable[[], threading.Thread],
    somebody_else: bool,
    bulk_patch: object,
) -> None:
    ids = fill(sandbox, BULK, paused=bulk_patch is RESUME)
    fill_with(sandbox, ["single"])
    bulk = confirmed(operator, bulk_patch, Batch.objects.filter(pk__in=ids))  # type: ignore[arg-type]
    sandbox.set_faults(latency=0.05)
    running = worker()
    wait_for(lambda: len(updates(sandbox)) > 40)
    person = oscar if somebody_else else operator
    single = confirmed(person, PAUSE, Batch.objects.filter(pk="single"))
    assert sent_before(sandbox, "single", len(updates(sandbox))) < SOON
    wait_for(lambda: Change.objects.get(pk=single.pk).state == "finished")
    bulk.refresh_from_db()
    assert bulk.state == "running", "A change ends when its own last batch is settled."
    sandbox.clear_faults()
    running.join(30)
    assert_all_agree(sandbox, bulk, single)


def test_a_new_pause_goes_before_many_small_changes(
    sandbox: EmbeddedSandbox,
    operator: User,
    oscar: User,
    worker: Callable[[], threading.Thread],
) -> None:
    ids = fill(sandbox, 43 * 8)
    fill_with(sandbox, ["single"])
    small = [
        confirmed(operator, PAUSE, Batch.objects.filter(pk__in=ids[start : start + 8]))
        for start in range(0, len(ids), 8)
    ]
    sandbox.set_faults(latency=0.05)
    running = worker()
    wait_for(lambda: len(updates(sandbox)) > 20)
    single = confirmed(oscar, PAUSE, Batch.objects.filter(pk="single"))
    assert sent_before(sandbox, "single", len(updates(sandbox))) < SOON
    sandbox.clear_faults()
    running.join(30)
    assert_all_agree(sandbox, single, *small)


def test_an_emergency_takes_batches_that_a_bulk_has_claimed_and_not_sent(
    sandbox: EmbeddedSandbox, operator: User, worker: Callable[[], threading.Thread]
) -> None:
    ids = fill(sandbox, BULK)
    bulk = confirmed(operator, PAUSE)
    sandbox.set_faults(latency=0.05)
    running = worker()
    wait_for(lambda: len(updates(sandbox)) > 40)
    claimed = list(bulk.items.filter(state="sending").values_list("batch_id", flat=True))
    last = max(claimed, key=ids.index)
    urgent = confirmed(operator, PAUSE, Batch.objects.filter(pk=last), priority=10)
    wait_for(lambda: Change.objects.get(pk=urgent.pk).state == "finished")
    bulk.refresh_from_db()
    assert bulk.state == "running"
    sandbox.clear_faults()
    running.join(30)
    drive_to_the_end(bulk, operator)
    assert_all_agree(sandbox, bulk, urgent)


@pytest.mark.parametrize("priority", [0, 10])
def test_a_pause_passes_requests_that_hang(
    sandbox: EmbeddedSandbox,
    operator: User,
    worker: Callable[[], threading.Thread],
    settings: Settings,
    priority: int,
) -> None:
    """All threads wait for batches that the vendor does not answer for."""
    settings.SYLLABLE_TIMEOUT = 30.0
    vendor.forget()
    ids = fill(sandbox, 60)
    fill_with(sandbox, ["single"])
    bulk = confirmed(operator, PAUSE, Batch.objects.filter(pk__in=ids))
    sandbox.set_faults(
        stall_before={"share": 1.0, "methods": ["PUT"], "batch_ids": ids}, stall_seconds=60
    )
    worker()
    wait_for(lambda: len(updates(sandbox)) >= 16)
    single = confirmed(operator, PAUSE, Batch.objects.filter(pk="single"), priority=priority)
    wait_for(lambda: bool(sandbox.batch("single")["paused"]), 20)
    sent = updates(sandbox)
    assert len(sent) == len(set(sent)), "The first try of each other batch still waits."
    wait_for(lambda: Change.objects.get(pk=single.pk).state == "finished")
    bulk.refresh_from_db()
    assert bulk.state == "running"
    sandbox.clear_faults()


def test_a_pause_gets_through_a_rate_limit_soon(
    sandbox: EmbeddedSandbox,
    operator: User,
    oscar: User,
    worker: Callable[[], threading.Thread],
) -> None:
    ids = fill(sandbox, BULK)
    fill_with(sandbox, ["single"])
    confirmed(operator, PAUSE, Batch.objects.filter(pk__in=ids))
    sandbox.set_faults(rate_limit=20, rate_limit_burst=5, retry_after_seconds=30)
    worker()
    wait_for(lambda: any(entry["status"] == 429 for entry in sandbox.journal(method="PUT")))
    before = len(updates(sandbox))
    confirmed(oscar, PAUSE, Batch.objects.filter(pk="single"))
    wait_for(lambda: bool(sandbox.batch("single")["paused"]))
    # Three seconds of what the vendor allows, however busy this machine is.
    assert updates(sandbox).index("single") - before <= 60


def test_an_engine_for_emergencies_leaves_all_else_alone(
    sandbox: EmbeddedSandbox, operator: User
) -> None:
    ids = fill(sandbox, 40)
    ordinary = confirmed(operator, PAUSE, Batch.objects.filter(pk__in=ids[:20]))
    urgent = confirmed(operator, PAUSE, Batch.objects.filter(pk__in=ids[20:]), priority=10)
    driver.drive(only_emergency=True)
    assert lifecycle.counts(urgent) == {"applied": 20}
    assert lifecycle.counts(ordinary) == {"pending": 20}
    driver.drive()
    assert_all_agree(sandbox, ordinary, urgent)


def test_a_stop_is_as_fast_while_other_changes_run(
    sandbox: EmbeddedSandbox,
    operator: User,
    olivia: audit.Actor,
    worker: Callable[[], threading.Thread],
) -> None:
    ids = fill(sandbox, BULK)
    first = confirmed(operator, PAUSE, Batch.objects.filter(pk__in=ids[:300]))
    other = confirmed(operator, PAUSE, Batch.objects.filter(pk__in=ids[300:]))
    sandbox.set_faults(latency=0.2)
    running = worker()
    wait_for(lambda: len(updates(sandbox)) > 40)
    lifecycle.stop(first, user=operator, actor=olivia)
    wait_for(lambda: not first.items.filter(state="sending").exists())
    assert Change.objects.get(pk=other.pk).is_open
    sandbox.clear_faults()
    running.join(30)
    assert set(lifecycle.counts(first)) == {"applied", "stopped"}
    assert lifecycle.counts(other) == {"applied": 300}
    assert_all_agree(sandbox, first, other)
