"""Transactions that meet on the same rows wait in one order, so none dies of a deadlock."""

from __future__ import annotations

import ast
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import connections

from batchops import audit
from batchops.models import ChangeState
from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.services import vendor
from batchops.services.changes import emergency, lifecycle
from batchops.services.push import driver, engine
from batchops.syllable.patch import BatchPatch
from tests.services.push.world import assert_all_agree, confirmed, drive_to_the_end, fill

pytestmark = pytest.mark.django_db(transaction=True)

SERVICES = Path(driver.__file__).parent
PAUSES = 25


def select_for_update_calls() -> Iterator[tuple[str, ast.Call]]:
    for path in sorted(SERVICES.parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if node.func.attr == "select_for_update":
                yield f"{path.name}:{node.lineno}", node


@pytest.mark.once
def test_every_row_lock_leaves_foreign_keys_to_be_checked() -> None:
    """FOR UPDATE shuts out the KEY SHARE that each deferred foreign key takes at its commit."""
    calls = dict(select_for_update_calls())
    assert calls
    too_strong = [
        place
        for place, call in calls.items()
        if not any(word.arg == "no_key" for word in call.keywords)
    ]
    assert too_strong == []


def test_emergency_pauses_over_the_batches_of_a_running_change_meet_no_deadlock(
    sandbox: EmbeddedSandbox, operator: User, olivia: audit.Actor
) -> None:
    fill(sandbox, 400)
    everything = [confirmed(operator, BatchPatch(call_rate=30))]
    sandbox.set_faults(latency=0.02)
    errors: list[BaseException] = []
    done = threading.Event()
    workers = [background(lambda: push_until(done), errors) for _ in range(2)]
    try:
        for _ in range(PAUSES):
            pause = emergency.draft_pause(user=operator, actor=olivia)
            lifecycle.discard(pause, user=operator, actor=olivia)
        pause = emergency.draft_pause(user=operator, actor=olivia)
        everything.append(lifecycle.confirm(pause, user=operator, actor=olivia, reason="a test"))
    finally:
        done.set()
        for worker in workers:
            worker.join(30)
    assert errors == []
    for change in everything:
        drive_to_the_end(change, operator)
    assert_all_agree(sandbox, *everything)


def test_stopping_and_continuing_over_and_over_meets_no_deadlock(
    sandbox: EmbeddedSandbox, operator: User, olivia: audit.Actor
) -> None:
    fill(sandbox, 300)
    change = confirmed(operator)
    sandbox.set_faults(latency=0.02)
    errors: list[BaseException] = []
    done = threading.Event()
    workers = [background(lambda: push_until(done), errors) for _ in range(2)]
    try:
        for _ in range(PAUSES):
            change.refresh_from_db()
            if change.state == ChangeState.FINISHED:
                break
            lifecycle.stop(change, user=operator, actor=olivia)
            if not change.started_at:
                break
            lifecycle.proceed(change, user=operator, actor=olivia)
    finally:
        done.set()
        for worker in workers:
            worker.join(30)
    assert errors == []


def push_until(done: threading.Event) -> None:
    while not done.is_set():
        engine.Engine(vendor.client(read_attempts=1), 8).run()


def background(work: Callable[[], None], errors: list[BaseException]) -> threading.Thread:
    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001  the test looks at it
            errors.append(error)
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    return thread
