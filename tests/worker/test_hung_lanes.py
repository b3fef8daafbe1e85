"""Whatever else hangs in a worker, pauses go on, and it ends when it is asked to."""

from __future__ import annotations

import datetime as dt
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from batchops.models import AuditEntry, Change, ItemState, SyncRun
from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.services import heartbeats
from batchops.services.changes import lifecycle
from batchops.services.runs import leases as claims
from tests.services.push.workers import Worker, environment
from tests.services.push.world import confirmed, fill, wait_for

pytestmark = pytest.mark.django_db(transaction=True)

Hangs = Callable[[], bool]
"""Whether it hangs by now."""


class SilentServer:
    """Accepts connections and never says a word."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self.accepted: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                self.accepted.append(self._server.accept()[0])
            except OSError:
                return

    def close(self) -> None:
        for one in (*self.accepted, self._server):
            one.close()


@pytest.fixture
def silent() -> Iterator[SilentServer]:
    server = SilentServer()
    yield server
    server.close()


def hung_sync(sandbox: EmbeddedSandbox) -> tuple[dict[str, str], Hangs]:
    SyncRun.objects.update(started_at=timezone.now() - dt.timedelta(days=30))
    sandbox.set_faults(stall_before={"share": 1, "endpoints": ["batches", "campaigns"]})
    return {}, SyncRun.objects.filter(state=SyncRun.State.RUNNING).exists


def hung_mail(silent: SilentServer) -> tuple[dict[str, str], Hangs]:
    variables = {
        "EMAIL_URL": f"smtp://127.0.0.1:{silent.port}?timeout=300",
        "AUDIT_ANCHOR_EMAILS": "auditors@example.com",
    }
    return variables, lambda: bool(silent.accepted)


def hung_disk(folder: Path) -> tuple[dict[str, str], Hangs]:
    """A pipe that nobody reads: opening it waits for ever, as on a disk that does not answer."""
    os.mkfifo(folder / "anchors")
    variables = {"AUDIT_ANCHOR_FILE": str(folder / "anchors")}
    return variables, AuditEntry.objects.filter(action="audit.anchored").exists


@pytest.mark.parametrize("what", ["sync", "mail", "disk", "all"])
def test_pauses_go_on_while_other_lanes_hang(
    what: str,
    sandbox: EmbeddedSandbox,
    operator: User,
    tmp_path: Path,
    silent: SilentServer,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fill(sandbox, 30)
    made: dict[str, Callable[[], tuple[dict[str, str], Hangs]]] = {
        "sync": lambda: hung_sync(sandbox),
        "mail": lambda: hung_mail(silent),
        "disk": lambda: hung_disk(tmp_path),
    }
    hung = [make() for name, make in made.items() if what in (name, "all")]
    variables = environment(sandbox, tmp_path)
    for more, _ in hung:
        variables |= more
    with Worker(variables) as worker:
        for _, hangs in hung[:1] if what == "all" else hung:
            wait_for(hangs)
        sandbox.reset_journal()
        change = confirmed(operator)
        wait_for(lambda: bool(sandbox.journal(method="PUT")))
        wait_for(lambda: not Change.objects.get(pk=change.pk).is_open)
        with capsys.disabled():
            waited = first_update_after(sandbox, change)
            print(f"\n{connection.vendor}: {what} hangs, first PUT after {waited:.2f} s")  # noqa: T201
        assert lifecycle.counts(change) == {"applied": 30}
        assert heartbeats.workers().are_running
        assert worker.ask_to_end(20) == 0


def first_update_after(sandbox: EmbeddedSandbox, change: Change) -> float:
    """Seconds from the confirmation to the first update at the vendor."""
    assert change.confirmed_at
    first = dt.datetime.fromisoformat(sandbox.journal(method="PUT")[0]["at"])
    return (first - change.confirmed_at).total_seconds()


def test_a_queue_that_hangs_holds_neither_the_person_nor_the_worker(
    sandbox: EmbeddedSandbox, operator: User, tmp_path: Path, silent: SilentServer
) -> None:
    fill(sandbox, 10)
    variables = environment(sandbox, tmp_path)
    variables["QUEUE_URL"] = f"redis://127.0.0.1:{silent.port}/0"
    with Worker(variables):
        wait_for(lambda: heartbeats.workers().are_running)
        change = confirmed(operator)
        wait_for(lambda: not Change.objects.get(pk=change.pk).is_open)
    assert lifecycle.counts(change) == {"applied": 10}


def test_a_worker_that_joins_takes_part_in_what_runs(
    sandbox: EmbeddedSandbox, operator: User, tmp_path: Path
) -> None:
    fill(sandbox, 900)
    change = confirmed(operator)
    sandbox.set_faults(latency=0.3, methods=["PUT"])
    variables = environment(sandbox, tmp_path)
    with ExitStack() as stack:
        stack.enter_context(Worker(variables))
        wait_for(lambda: bool(sandbox.journal(method="PUT")))
        stack.enter_context(Worker(variables))
        wait_for(lambda: len(leases(change)) == 2)
        assert Change.objects.get(pk=change.pk).is_open


def leases(change: Change) -> set[str]:
    held = change.items.filter(state=ItemState.SENDING)
    return set(held.values_list("lease", flat=True))


def test_what_falls_due_while_nobody_wakes_a_worker_is_done(
    sandbox: EmbeddedSandbox, operator: User, tmp_path: Path, settings: Settings
) -> None:
    """An expired lease, a scheduled start, the end of a wait: none waits for the minute's end."""
    fill(sandbox, 3)
    change = confirmed(operator)
    settings.PUSH_LEASE_SECONDS = 2
    claims.claim(change, "of a worker that died", 1)
    late = timezone.now() + dt.timedelta(seconds=2)
    Change.objects.update(state="running", started_at=timezone.now(), waiting_until=late)
    with Worker(environment(sandbox, tmp_path)):
        wait_for(lambda: not Change.objects.get(pk=change.pk).is_open)
    assert lifecycle.counts(change) == {"applied": 3}
    assert timezone.now() - late < dt.timedelta(seconds=30)
