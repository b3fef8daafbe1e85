"""Workers leave a sign of life; where there is none, every page says that nothing is sent."""

from __future__ import annotations

import datetime as dt
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from batchops import __version__, lanes, tasks
from batchops.lanes import Lane
from batchops.models import Change, Heartbeat, SyncRun
from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.services import heartbeats
from batchops.services.heartbeats import Heart
from batchops.services.mirror import freshness
from batchops.services.push import driver
from batchops.services.runs import leases, run_state
from batchops.services.stats.progress import progress
from tests.services.push.workers import Worker, environment
from tests.services.push.world import confirmed, fill, wait_for

pytestmark = pytest.mark.django_db(transaction=True)

MINUTE = dt.timedelta(minutes=1)
PAGES = [
    reverse("admin:index"),
    reverse("admin:batchops_batch_changelist"),
    reverse("admin:batchops_change_changelist"),
    reverse("admin:password_change"),
]


def heartbeat(ago: dt.timedelta = dt.timedelta()) -> Heartbeat:
    seen_at = timezone.now() - ago
    return Heartbeat.objects.create(
        host="here", pid=1, version="0", started_at=seen_at, seen_at=seen_at
    )


def are_running() -> bool:
    return heartbeats.workers().are_running


def test_a_worker_process_lives_until_it_is_killed(
    sandbox: EmbeddedSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not are_running()
    with Worker(environment(sandbox, tmp_path)) as worker:
        wait_for(are_running)
        row = Heartbeat.objects.get()
        assert (row.pid, row.version) == (worker.process.pid, __version__)
        first = row.seen_at
        wait_for(lambda: Heartbeat.objects.get().seen_at > first)
        worker.kill()
    monkeypatch.setattr(heartbeats, "GONE_AFTER", dt.timedelta(seconds=1))
    wait_for(lambda: not are_running())
    assert heartbeats.workers().last_seen_at == Heartbeat.objects.get().seen_at


def test_a_hung_or_dead_worker_is_noticed_within_fifteen_seconds() -> None:
    noticed = heartbeats.HUNG_AFTER_SECONDS + heartbeats.GONE_AFTER.total_seconds()
    assert noticed <= 15
    # A busy machine may delay two beats in a row without a false alarm.
    assert heartbeats.GONE_AFTER.total_seconds() > 3 * heartbeats.BEAT_SECONDS


@pytest.fixture
def push_lane(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Lane], None]]:
    """Runs a lane in place of the one that pushes, until the test ends."""
    running: list[Lane] = []
    monkeypatch.setattr(heartbeats, "HUNG_AFTER_SECONDS", 0.3)
    monkeypatch.setattr(tasks, "_heart", Heart())

    def run(lane: Lane) -> None:
        monkeypatch.setitem(tasks.LANES, "push", lane)
        driver.stop_when(lane.is_asked_to_end)
        lane.start()
        running.append(lane)

    yield run
    lanes.end(running, 10)
    driver.stop_when(lambda: False)


def has_beaten() -> bool:
    Heartbeat.objects.all().delete()
    tasks.beat()
    return Heartbeat.objects.exists()


def test_a_worker_whose_engine_hangs_counts_as_none(
    sandbox: EmbeddedSandbox,
    operator: User,
    push_lane: Callable[[Lane], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(sandbox, 3)
    change = confirmed(operator)
    go_on = threading.Event()
    claim = leases.claim

    def hang(*args: object, **more: object) -> object:
        go_on.wait(30)
        return claim(*args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(leases, "claim", hang)
    push_lane(Lane("push", tasks.push_work, every=0.05))
    wait_for(lambda: not has_beaten())
    go_on.set()
    wait_for(has_beaten)
    wait_for(lambda: not Change.objects.get(pk=change.pk).is_open)


def test_a_worker_whose_engine_is_at_work_for_long_is_alive(
    sandbox: EmbeddedSandbox, operator: User, push_lane: Callable[[Lane], None]
) -> None:
    fill(sandbox, 40)
    change = confirmed(operator)
    sandbox.set_faults(latency=1.0)
    push_lane(Lane("push", driver.drive, every=60))
    wait_for(lambda: len(sandbox.journal(method="PUT")) > 0)
    time.sleep(2 * heartbeats.HUNG_AFTER_SECONDS)
    wait_for(has_beaten)
    assert Change.objects.get(pk=change.pk).is_open


def test_a_worker_whose_engine_fails_every_time_counts_as_none(
    push_lane: Callable[[Lane], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "FIRST_BACKOFF_SECONDS", 0.001)

    def fail() -> None:
        raise ValueError("a mistake of ours")

    push_lane(Lane("push", fail, every=0.05))
    wait_for(lambda: not has_beaten())


def test_the_clock_of_the_database_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    Heart().beat()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timezone, "now", lambda: dt.datetime(2099, 1, 1, tzinfo=dt.UTC))
        assert are_running()
    assert abs(timezone.now() - Heartbeat.objects.get().seen_at) < MINUTE


def test_old_rows_are_forgotten_but_the_last_one_says_since_when() -> None:
    heartbeat(3 * heartbeats.KEPT)
    last = heartbeat(2 * heartbeats.KEPT)
    assert heartbeats.forget_old() == 1
    assert Heartbeat.objects.get() == last
    heartbeat()
    assert heartbeats.forget_old() == 1


def test_a_heart_whose_row_was_deleted_beats_on() -> None:
    heart = Heart()
    heart.beat()
    Heartbeat.objects.all().delete()
    heart.beat()
    heart.beat()
    assert Heartbeat.objects.count() == 1


@pytest.mark.parametrize("page", PAGES)
def test_every_page_says_that_nothing_is_sent_and_since_when(
    client: Client, operator: User, page: str
) -> None:
    client.force_login(operator)
    words = "Nothing is being sent except emergency pauses: no worker is running"
    assert words in client.get(page).content.decode()
    heartbeat(MINUTE)
    assert f"{words} since" in client.get(page).content.decode()
    heartbeat()
    assert words not in client.get(page).content.decode()


def test_nobody_who_is_not_signed_in_is_told(client: Client) -> None:
    assert b"no worker" not in client.get(reverse("admin:login")).content


def test_what_pages_ask_costs_no_query_of_its_own(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    now = timezone.now()
    SyncRun.objects.create(kind="full", state="done", started_at=now, alive_at=now)
    seen = heartbeat(MINUTE).seen_at
    with django_assert_num_queries(1):
        found = freshness.freshness()
    assert (found.workers.are_running, found.workers.last_seen_at) == (False, seen)


def test_a_change_says_that_nothing_of_it_is_sent(
    sandbox: EmbeddedSandbox, operator: User, client: Client
) -> None:
    fill(sandbox, 2)
    change = confirmed(operator)
    seen = heartbeat(MINUTE).seen_at
    said = f"Nothing is being sent: no worker has been running since {seen:%d %b %H:%M:%S} UTC."
    assert progress(change).headline == f"At 0 of 2. {said}"
    assert progress(change).tone == "bad"
    client.force_login(operator)
    state = client.get(reverse("admin:batchops_change_state", args=[change.pk])).content
    assert json.loads(state)["nothing_is_sent"] == said
    heartbeat()
    assert progress(change).headline == "Queued: starts as soon as a worker is free"
    assert progress(change).to_json()["nothing_is_sent"] == ""


@pytest.mark.parametrize(
    ("fields", "promise", "truth"),
    [
        (
            {"state": "scheduled", "starts_at": dt.timedelta(hours=1)},
            "<span>Starts",
            "or once a worker is running",
        ),
        (
            {"waiting_reason": "503."},
            "It continues by itself",
            "It continues once a worker is running",
        ),
        (
            {"state": "finished", "started_at": dt.timedelta(), "finished_at": dt.timedelta()},
            "Reading back from the vendor",
            "Not read back yet: no worker is running",
        ),
    ],
)
def test_a_change_promises_nothing_that_only_a_worker_does(
    sandbox: EmbeddedSandbox,
    operator: User,
    client: Client,
    fields: dict[str, object],
    promise: str,
    truth: str,
) -> None:
    fill(sandbox, 2)
    change = confirmed(operator)
    now = timezone.now()
    values = {n: now + v if isinstance(v, dt.timedelta) else v for n, v in fields.items()}
    Change.objects.filter(pk=change.pk).update(**values)
    client.force_login(operator)
    page = reverse("admin:batchops_change_change", args=[change.pk])
    shown = client.get(page).content.decode()
    assert truth in shown
    assert promise not in shown
    heartbeat()
    shown = client.get(page).content.decode()
    assert promise in shown
    assert truth not in shown


def test_what_a_person_asks_for_is_promised_only_where_a_worker_will_do_it(
    sandbox: EmbeddedSandbox, operator: User, client: Client
) -> None:
    fill(sandbox, 2)
    change = confirmed(operator)
    client.force_login(operator)
    asked = (
        (reverse("admin:batchops_syncrun_now"), "It shows here once it is done."),
        (
            reverse("admin:batchops_change_do", args=[change.pk, "continue"]),
            "The change continues.",
        ),
    )
    for address, words in asked:
        run_state.halt(change, "The key was rejected.")
        page = client.post(address, follow=True).content.decode()
        assert f"{words} But no worker is running, so it waits for one." in page
    heartbeat()
    for address, words in asked:
        run_state.halt(change, "The key was rejected.")
        page = client.post(address, follow=True).content.decode()
        assert words in page
        assert f"{words} But" not in page
