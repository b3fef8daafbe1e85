"""An emergency pause does not depend on a worker: the web process carries it out itself."""

from __future__ import annotations

import datetime as dt
import re
import threading
import time
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone

from batchops.models import Change, ChangeItem, ChangeState
from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.services.changes import lifecycle
from batchops.services.heartbeats import Heart
from batchops.services.runs import due, leases, run_state
from batchops.web import standby
from batchops.web.standby import Standby
from tests.services.push.workers import LEASE_SECONDS, Worker, environment
from tests.services.push.world import assert_all_agree, confirmed, fill, wait_for
from tests.worker.web import WebServer

pytestmark = pytest.mark.django_db(transaction=True)

EMERGENCY = Change.Priority.EMERGENCY
HIDDEN_FIELD = re.compile(r'<input type="hidden" name="(seen\w*|zone)" value="([^"]*)"')


@pytest.fixture
def emergency(sandbox: EmbeddedSandbox, operator: User) -> Change:
    fill(sandbox, 20)
    return confirmed(operator, priority=EMERGENCY)


def test_without_a_worker_it_is_carried_out_at_once(
    sandbox: EmbeddedSandbox, emergency: Change
) -> None:
    Standby().step()
    assert lifecycle.counts(emergency) == {"applied": 20}
    assert Change.objects.get().state == ChangeState.FINISHED
    assert_all_agree(sandbox, emergency)


def test_a_worker_that_is_alive_has_two_seconds_to_take_it(
    sandbox: EmbeddedSandbox, emergency: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    Heart().beat()
    look = Standby()
    look.step()
    assert sandbox.journal(method="PUT") == []
    assert standby.WORKERS_FIRST_SECONDS == 2.0
    monkeypatch.setattr(standby, "WORKERS_FIRST_SECONDS", 0.01)
    time.sleep(0.02)
    look.step()
    assert lifecycle.counts(emergency) == {"applied": 20}


def test_the_two_seconds_begin_anew_when_a_worker_took_it_meanwhile(
    sandbox: EmbeddedSandbox, emergency: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standby, "WORKERS_FIRST_SECONDS", 0.05)
    Heart().beat()
    look = Standby()
    look.step()
    leases.claim(emergency, "of a worker", 5)
    time.sleep(0.06)
    assert look.step() == standby.OPEN_POLL_SECONDS
    leases.give_back("of a worker", list(emergency.items.values_list("pk", flat=True)))
    look.step()
    assert sandbox.journal(method="PUT") == []


def test_other_changes_are_left_to_the_workers(sandbox: EmbeddedSandbox, operator: User) -> None:
    ids = fill(sandbox, 4)
    ordinary = confirmed(operator)
    assert Standby().step() == standby.IDLE_POLL_SECONDS
    assert lifecycle.counts(ordinary) == {"pending": 4}
    ordinary.items.filter(batch__in=ids[:2]).delete()
    urgent = confirmed(operator, priority=EMERGENCY)
    Standby().step()
    assert lifecycle.counts(urgent) == {"applied": 4}
    assert lifecycle.counts(ordinary) == {"pending": 2}


def test_what_a_process_that_died_had_leased_is_taken_over_when_its_leases_expire(
    sandbox: EmbeddedSandbox, emergency: Change
) -> None:
    leases.claim(emergency, "of a process that died", 20)
    assert not due.emergencies().are_left_alone
    ChangeItem.objects.update(lease_until=timezone.now() - dt.timedelta(seconds=1))
    Standby().step()
    assert lifecycle.counts(emergency) == {"applied": 20}


def test_one_that_is_halted_is_not_looked_at_again_and_again(emergency: Change) -> None:
    run_state.halt(emergency, "The key was rejected.")
    assert Standby().step() == standby.IDLE_POLL_SECONDS


def test_the_page_does_not_say_that_nothing_is_sent(emergency: Change) -> None:
    from batchops.services.stats.progress import progress

    assert "the web server itself" in progress(emergency).headline


def confirm_an_emergency(server: WebServer, operator: User) -> Change:
    """As a person does: the button, then the page to confirm."""
    post = server.signed_in(operator)
    review = post("/batchops/change/emergency/")
    shown = dict(HIDDEN_FIELD.findall(review.text))
    post(review.url.removeprefix(server.address), **shown, reason="Wrong script")
    return Change.objects.get(source=Change.Source.EMERGENCY)


def test_a_web_server_without_any_worker_pauses_in_an_emergency(
    sandbox: EmbeddedSandbox, operator: User, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(sandbox, 40)
    with WebServer(environment(sandbox, tmp_path), tmp_path / "web.log") as server:
        change = confirm_an_emergency(server, operator)
        wait_for(lambda: not Change.objects.get(pk=change.pk).is_open)
    assert change.confirmed_at
    first = dt.datetime.fromisoformat(sandbox.journal(method="PUT")[0]["at"])
    waited = (first - change.confirmed_at).total_seconds()
    with capsys.disabled():
        print(f"\n{connection.vendor}: no worker, first PUT after {waited:.2f} s")  # noqa: T201
    assert lifecycle.counts(change) == {"applied": 40}
    assert_all_agree(sandbox, change)
    assert len(sandbox.journal(method="PUT")) == 40


def test_a_killed_web_process_loses_nothing_of_an_emergency(
    sandbox: EmbeddedSandbox, operator: User, tmp_path: Path
) -> None:
    fill(sandbox, 60)
    variables = environment(sandbox, tmp_path)
    with WebServer(variables, tmp_path / "web.log") as server:
        sandbox.set_faults(latency=0.5, methods=["PUT"])
        change = confirm_an_emergency(server, operator)
        wait_for(lambda: len(sandbox.journal(method="PUT")) > 0)
        for process in server.children():
            process.kill()
        sandbox.clear_faults()
        wait_for(lambda: not Change.objects.get(pk=change.pk).is_open, 30 + LEASE_SECONDS)
    assert lifecycle.counts(change) == {"applied": 60}


def test_a_web_server_that_ends_hands_an_emergency_to_the_worker_that_comes(
    sandbox: EmbeddedSandbox, operator: User, tmp_path: Path
) -> None:
    fill(sandbox, 60)
    variables = environment(sandbox, tmp_path)
    sandbox.set_faults(latency=0.5, methods=["PUT"])
    with WebServer(variables, tmp_path / "web.log") as server:
        change = confirm_an_emergency(server, operator)
        wait_for(lambda: len(sandbox.journal(method="PUT")) > 0)
    assert lifecycle.counts(change).keys() == {"applied", "pending"}
    sandbox.clear_faults()
    with Worker(variables):
        wait_for(lambda: not Change.objects.get(pk=change.pk).is_open)
    assert lifecycle.counts(change) == {"applied": 60}
    assert len(sandbox.journal(method="PUT")) == 60


def test_no_lane_runs_where_no_web_is_served() -> None:
    assert not [thread for thread in threading.enumerate() if thread.name == "standby"]
