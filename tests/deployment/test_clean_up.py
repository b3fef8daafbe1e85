"""Once a day, what is out of date is deleted, in slices, with a line in the log."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest import LogCaptureFixture, MonkeyPatch
from pytest_django import Settings

from batchops import audit, tasks
from batchops.models import AuditEntry, Change, PastedIds, SyncRun
from batchops.services import clean_up
from batchops.services.changes import drafts, pasted_ids
from tests.services.changes import world

pytestmark = pytest.mark.django_db

Run = Callable[..., SyncRun]


def days_ago(days: float) -> dt.datetime:
    return timezone.now() - dt.timedelta(days=days)


def sync_run(age: float, state: str = "done", kind: str = "full") -> SyncRun:
    at = days_ago(age)
    return SyncRun.objects.create(kind=kind, state=state, started_at=at, alive_at=at)


def pasted(user: User, age: float) -> PastedIds:
    found = pasted_ids.keep("b-1", user)
    PastedIds.objects.filter(pk=found.pk).update(created_at=days_ago(age))
    return found


def test_syncs_go_when_they_are_old_but_what_the_mirror_rests_on_stays() -> None:
    old = [sync_run(100), sync_run(101, kind="incremental"), sync_run(102, "failed")]
    last = [sync_run(95), sync_run(96, kind="incremental"), sync_run(97, "failed")]
    running = sync_run(98, "running")
    assert clean_up.clean_up()["syncs"] == len(old)
    assert set(SyncRun.objects.all()) == {*last, running}


def test_young_ones_stay(settings: Settings) -> None:
    for _ in range(3):
        sync_run(settings.KEEP_SYNC_RUNS_DAYS - 1)
    assert clean_up.clean_up()["syncs"] == 0


def test_discarded_drafts_go_and_confirmed_changes_never(operator: User) -> None:
    world.batches(4)
    discarded, lately, confirmed = (world.draft(operator) for _ in range(3))
    for change in (discarded, lately):
        drafts.drop(change, audit.SYSTEM)
    world.confirm(confirmed, operator)
    Change.objects.exclude(pk=lately.pk).update(created_at=days_ago(400), finished_at=days_ago(400))
    entries = AuditEntry.objects.count()
    assert clean_up.clean_up()["discarded drafts"] == 1
    assert set(Change.objects.all()) == {lately, confirmed}
    assert AuditEntry.objects.count() == entries


def test_pasted_lists_go_when_their_time_is_over(operator: User, settings: Settings) -> None:
    settings.KEEP_PASTED_IDS_DAYS = 2
    kept = pasted(operator, 1.9)
    pasted(operator, 2.1)
    assert clean_up.clean_up()["pasted lists"] == 1
    assert PastedIds.objects.get() == kept


def test_the_log_says_what_went(operator: User, caplog: LogCaptureFixture) -> None:
    pasted(operator, 9)
    with caplog.at_level(logging.INFO, "batchops"):
        clean_up.clean_up()
    assert "Cleaned up what is out of date: 0 syncs" in caplog.text
    assert "1 pasted lists" in caplog.text


def test_many_go_in_slices(operator: User, monkeypatch: MonkeyPatch) -> None:
    monkeypatch.setattr(clean_up, "SLICE", 3)
    for _ in range(8):
        pasted(operator, 9)
    with CaptureQueriesContext(
        connection,
    ) as captured:
        assert clean_up.clean_up()["pasted lists"] == 8
    deletions = [query["sql"] for query in captured if query["sql"].startswith("DELETE")]
    assert len(deletions) == 3


def test_a_worker_does_it_each_day(operator: User) -> None:
    lane: Any = tasks.LANES["clean-up"]
    pasted(operator, 9)
    lane.step()
    assert lane.every == 86_400
    assert not PastedIds.objects.exists()
