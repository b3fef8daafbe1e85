"""Lists that lack batches: few are asked for one by one, many end the sync with a reason."""

from __future__ import annotations

import datetime as dt
import threading

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from batchops.models import AuditEntry, Batch, SyncRun
from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.services.mirror import list_pages, sync
from batchops.syllable import records
from batchops.syllable.errors import SyllableError
from tests.services.mirror.lists import fill, list_requests, single_reads

pytestmark = pytest.mark.django_db(transaction=True)

FULL, INCREMENTAL = SyncRun.Kind.FULL, SyncRun.Kind.INCREMENTAL
ON_BATCHES = {"share": 1, "endpoints": ["batches"]}


@pytest.fixture(autouse=True)
def nothing_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(list_pages, "_largest", {})
    monkeypatch.setattr("batchops.syllable.client._delay", lambda *_: 0.01)


@pytest.mark.parametrize("total_count", ["listed", "whole", "hidden"])
@pytest.mark.parametrize("fault", ["empty_list", "partial_list"])
def test_a_list_that_lacks_many_batches_stops_the_sync_and_says_why(
    sandbox: EmbeddedSandbox, fault: str, total_count: str
) -> None:
    fill(sandbox, 300)
    sync.run_sync(FULL)
    sandbox.set_faults(**{fault: ON_BATCHES, "total_count": total_count})
    sandbox.reset_journal()
    with pytest.raises(sync.ListIncomplete, match=r"leaves out \d+ of the 300 that it had before"):
        sync.run_sync(FULL)
    run = SyncRun.objects.first()
    assert run is not None
    assert (run.state, run.missing, run.fully_synced_at) == (SyncRun.State.FAILED, 0, None)
    assert "fault of the list" in run.error
    assert single_reads(sandbox) == 0
    assert not Batch.objects.filter(missing_since__isnull=False).exists()
    assert AuditEntry.objects.filter(action="sync.failed").count() == 1


def test_how_many_may_be_missing_is_a_setting(sandbox: EmbeddedSandbox, settings: Settings) -> None:
    ids = fill(sandbox, 300)
    sync.run_sync(FULL)
    for batch_id in ids[:60]:
        sandbox.vanish(batch_id)
    with pytest.raises(sync.ListIncomplete):
        sync.run_sync(FULL)
    settings.SYNC_MAX_MISSING_PERCENT = 20
    assert sync.run_sync(FULL).missing == 60


def test_a_person_may_say_that_they_are_really_gone(sandbox: EmbeddedSandbox) -> None:
    fill(sandbox, 100)
    sync.run_sync(FULL)
    for batch_id in sandbox.batch_ids():
        sandbox.vanish(batch_id)
    with pytest.raises(sync.ListIncomplete):
        sync.run_sync(FULL)
    assert sync.run_sync(FULL, accept_missing=True).missing == 100


def test_few_are_asked_for_one_by_one_and_it_is_said_that_they_live(
    sandbox: EmbeddedSandbox,
) -> None:
    fill(sandbox, 100)
    sync.run_sync(FULL)
    sandbox.set_faults(partial_list=ON_BATCHES, left_out=0.1)
    sandbox.reset_journal()
    run = sync.run_sync(FULL)
    assert (run.missing, 0 < single_reads(sandbox) <= 20) == (0, True)
    assert f"left out {single_reads(sandbox)} batches that the vendor still has" in run.notes[-1]


def test_an_empty_list_is_no_success_however_few_batches_there_are(
    sandbox: EmbeddedSandbox,
) -> None:
    fill(sandbox, 3)
    sync.run_sync(FULL)
    sandbox.set_faults(empty_list=ON_BATCHES)
    with pytest.raises(sync.ListIncomplete, match="is empty, yet the vendor still has 3 of the 3"):
        sync.run_sync(FULL)


def test_a_list_that_becomes_shorter_while_it_is_read_is_read_again(
    sandbox: EmbeddedSandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.SYLLABLE_PAGE_SIZE = 25
    ids = fill(sandbox, 150)
    apply_page = sync._apply_page
    pages = 0

    def and_then_some_go(*arguments: object, **options: object) -> None:
        nonlocal pages
        pages += 1
        apply_page(*arguments, **options)  # type: ignore[arg-type]
        if pages == 1:
            for batch_id in ids[:20]:
                sandbox.vanish(batch_id)

    monkeypatch.setattr(sync, "_apply_page", and_then_some_go)
    monkeypatch.setattr(list_pages, "PAGES_AT_A_TIME", 1)
    sync.run_sync(FULL)
    assert set(ids[20:]) <= set(Batch.objects.values_list("pk", flat=True))


def spoil(monkeypatch: pytest.MonkeyPatch, batch_id: str) -> None:
    """Make one batch unreadable wherever it is shown."""

    def spoilt(body: bytes) -> object:
        data = records.decode(body)
        rows = data.get("items", [data]) if isinstance(data, dict) else []
        for row in rows:
            if row.get("batch_id") == batch_id:
                row["paused"] = "perhaps"
        return data

    monkeypatch.setattr("batchops.syllable.client.decode", spoilt)


def test_a_row_that_cannot_be_read_is_not_missing(
    sandbox: EmbeddedSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = fill(sandbox, 30)
    sync.run_sync(FULL)
    spoil(monkeypatch, ids[3])
    sandbox.reset_journal()
    run = sync.run_sync(FULL)
    assert (run.state, run.missing, run.unreadable) == (SyncRun.State.DONE, 0, 1)
    assert single_reads(sandbox) == 0


@pytest.mark.parametrize("fault", ["forbidden", "error_500", "not_json", "reset_before"])
def test_one_batch_that_cannot_be_read_ends_no_sync(sandbox: EmbeddedSandbox, fault: str) -> None:
    ids = fill(sandbox, 30)
    sync.run_sync(FULL)
    sandbox.vanish(ids[5])
    sandbox.delete_batch(ids[6])
    sandbox.set_faults(**{fault: {"share": 1, "batch_ids": [ids[6]]}}, deleted_hidden=True)
    run = sync.run_sync(FULL)
    assert (run.state, run.missing, run.unreadable) == (SyncRun.State.DONE, 1, 1)
    assert f"{ids[6]} cannot be read" in " ".join(run.notes)
    assert not run.key_rejected


def test_a_vendor_that_answers_no_single_read_fails_the_sync(
    sandbox: EmbeddedSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = fill(sandbox, 600)
    sync.run_sync(FULL)
    for batch_id in ids[:30]:
        sandbox.vanish(batch_id)
    sandbox.set_faults(error_500={"share": 1, "endpoints": ["batch"]})
    with pytest.raises(SyllableError):
        sync.run_sync(FULL)


@pytest.mark.parametrize("kind", [FULL, INCREMENTAL])
def test_campaigns_that_repeat_themselves_for_ever_are_read_once(
    sandbox: EmbeddedSandbox, kind: SyncRun.Kind
) -> None:
    fill(sandbox, 3)
    endless = {"share": 1, "endpoints": ["campaigns"]}
    sandbox.set_faults(repeated_page=endless, total_count="endless")
    run = sync.run_sync(kind)
    assert run.state == SyncRun.State.DONE
    assert len(list_requests(sandbox, "campaigns")) < 8


def test_a_sync_lives_as_long_as_its_slowest_request(
    sandbox: EmbeddedSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(sandbox, 3)
    monkeypatch.setattr(list_pages, "ALIVE_SECONDS", 0.05)
    monkeypatch.setattr(sync, "LOST_AFTER", dt.timedelta(seconds=2))
    sandbox.set_faults(latency=3.5, endpoints=["campaigns"])
    states: list[str] = []

    def another() -> None:
        for _ in range(3):
            threading.Event().wait(1.0)
            try:
                sync._begin(FULL, "another")
            except sync.AlreadyRunning as error:
                states.append(str(error))
        connection.close()

    rival = threading.Thread(target=another)
    rival.start()
    run = sync.run_sync(FULL)
    rival.join(20)
    assert (run.state, len(states)) == (SyncRun.State.DONE, 3)
    assert SyncRun.objects.count() == 1


def test_a_sync_that_was_given_up_for_lost_takes_nothing_back(sandbox: EmbeddedSandbox) -> None:
    fill(sandbox, 1)
    now = timezone.now()
    run = SyncRun.objects.create(kind=FULL, started_at=now, alive_at=now - dt.timedelta(minutes=3))
    work = sync._Sync(run, lambda *_: None, accept_missing=False)
    assert sync.run_sync(FULL).state == SyncRun.State.DONE
    work.alive()
    assert SyncRun.objects.get(pk=run.pk).state == SyncRun.State.FAILED
