"""Worker processes killed at random moments, and ended in good order: nothing is lost."""

from __future__ import annotations

import random
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import connection

from batchops.models import AuditEntry, Change, ItemState
from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.services.changes import lifecycle
from batchops.services.push import driver
from batchops.services.runs import leases
from batchops.syllable.patch import BatchPatch
from tests.services.push.workers import Worker, environment
from tests.services.push.world import (
    PAUSE,
    RESUME,
    assert_every_item_has_one_entry,
    confirmed,
    drive_to_the_end,
    fill,
    wait_for,
)

pytestmark = pytest.mark.django_db(transaction=True)

BATCHES = 1_500
DRAW = random.Random(25)
KILLS = 12


def updates(sandbox: EmbeddedSandbox) -> int:
    return len(sandbox.journal(method="PUT"))


def test_workers_killed_at_random_leave_nothing_unknown(
    sandbox: EmbeddedSandbox, operator: User, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = fill(sandbox, BATCHES)
    change = confirmed(operator)
    sandbox.set_faults(latency=0.01)
    variables = environment(sandbox, tmp_path)
    kills = 0
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker(variables)) for _ in range(2)]
        while kills < KILLS:
            seen = updates(sandbox)
            more = DRAW.randint(1, (BATCHES - seen) // (KILLS - kills))
            wait_for(lambda: updates(sandbox) >= seen + more)  # noqa: B023
            time.sleep(DRAW.random() / 50)
            victim = DRAW.randrange(2)
            workers[victim].kill()
            kills += 1
            workers[victim] = stack.enter_context(Worker(variables))
        wait_for(lambda: not Change.objects.get(pk=change.pk).is_open)
    received = sandbox.journal(method="PUT")
    outcomes = set(
        AuditEntry.objects.filter(change_id=change.pk, action="batch.applied").values_list(
            "batch_id", flat=True
        )
    )
    settled_by_reading = AuditEntry.objects.filter(
        change_id=change.pk, action="batch.applied", detail__in_doubt=True, detail__tries=[]
    ).count()
    unknown = [entry for entry in received if entry["batch_id"] not in outcomes]
    stuck = Change.objects.open().count()
    with capsys.disabled():
        print(  # noqa: T201
            f"\n{connection.vendor}: {kills} kills, {len(received)} PUTs seen by the sandbox for "
            f"{BATCHES} batches, {settled_by_reading} of them settled by reading, "
            f"PUTs without outcome: {len(unknown)}, changes stuck: {stuck}"
        )
    assert not unknown
    assert not stuck
    assert lifecycle.counts(change) == {"applied": BATCHES}
    assert_every_item_has_one_entry([change])
    assert all(sandbox.batch(batch_id)["paused"] for batch_id in ids)
    assert_chain_is_whole()


def test_a_worker_that_is_asked_to_end_settles_what_is_under_way_and_releases_the_rest(
    sandbox: EmbeddedSandbox, operator: User, tmp_path: Path
) -> None:
    fill(sandbox, 400)
    change = confirmed(operator)
    sandbox.set_faults(latency=0.3)
    with Worker(environment(sandbox, tmp_path)) as worker:
        wait_for(lambda: updates(sandbox) > 30)
        assert worker.ask_to_end(10) == 0
        assert not worker.has_orphans()
    numbers = lifecycle.counts(change)
    assert set(numbers) == {"applied", "pending"}
    assert numbers["applied"] == updates(sandbox)
    assert not change.items.filter(state="pending", attempts__gt=0).exists()
    sandbox.clear_faults()
    driver.drive()
    assert lifecycle.counts(change) == {"applied": 400}
    assert updates(sandbox) == 400


def test_what_a_dead_worker_held_is_taken_over_after_its_lease(
    sandbox: EmbeddedSandbox, operator: User, tmp_path: Path
) -> None:
    fill(sandbox, 30)
    change = confirmed(operator)
    sandbox.set_faults(latency=1.0, methods=["PUT"])
    variables = environment(sandbox, tmp_path)
    with Worker(variables) as worker:
        wait_for(lambda: updates(sandbox) > 0)
        worker.kill()
    assert change.items.filter(state=ItemState.SENDING).exists()
    sandbox.clear_faults()
    with Worker(variables):
        wait_for(lambda: not Change.objects.get(pk=change.pk).is_open)
    assert lifecycle.counts(change) == {"applied": 30}


def test_a_worker_that_stood_still_sends_nothing_that_others_have_overtaken(
    sandbox: EmbeddedSandbox, operator: User, tmp_path: Path
) -> None:
    """Swapped out, or on a machine that slept, it awakes with a resume that was paused since."""
    ids = fill(sandbox, 100, paused=True)
    resume = confirmed(operator, RESUME)
    sandbox.set_faults(latency=1.0, methods=["PUT"])
    with Worker(environment(sandbox, tmp_path)) as worker:
        wait_for(lambda: updates(sandbox) > 8)
        time.sleep(0.3)  # Each thread waits for a reply now.
        worker.stand_still()
        sandbox.clear_faults()
        wait_for(lambda: leases.reclaim_expired() > 0)
        pause = confirmed(operator, PAUSE)
        drive_to_the_end(resume, operator)
        drive_to_the_end(pause, operator)
        sent = updates(sandbox)
        worker.go_on()
        faster = confirmed(operator, BatchPatch(call_rate=30))
        wait_for(lambda: not Change.objects.get(pk=faster.pk).is_open)
    assert lifecycle.counts(faster) == {"applied": 100}
    assert updates(sandbox) == sent + 100
    assert all(sandbox.batch(batch_id)["paused"] for batch_id in ids)
    assert set(lifecycle.counts(pause)) <= {"applied", "unchanged"}
    assert b"Traceback" not in (tmp_path / "worker.log").read_bytes()


def assert_chain_is_whole() -> None:
    from batchops import audit

    previous = audit.GENESIS
    for number, entry in enumerate(AuditEntry.objects.order_by("sequence"), start=1):
        assert entry.sequence == number
        assert entry.previous_hash == previous
        assert audit.chain_hash(previous, audit.canonical(entry)) == entry.hash
        previous = entry.hash
