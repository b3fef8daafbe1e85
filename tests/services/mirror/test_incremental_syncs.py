"""Syncs of what changed lately: no date blinds them, and in doubt everything is read."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from pytest_django import Settings

from batchops.models import AuditEntry, Batch, SyncRun
from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.services.mirror import freshness, list_pages, store, sync
from batchops.services.push import driver
from batchops.syllable.client import SyllableClient
from batchops.syllable.records import parse_batch
from tests.services.mirror.lists import fill, list_requests, single_reads
from tests.services.push.world import confirmed

pytestmark = pytest.mark.django_db(transaction=True)

FULL, INCREMENTAL = SyncRun.Kind.FULL, SyncRun.Kind.INCREMENTAL


@pytest.fixture(autouse=True)
def nothing_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(list_pages, "_largest", {})
    monkeypatch.setattr("batchops.syllable.client._delay", lambda *_: 0.01)


def is_paused(batch_id: str) -> bool:
    return bool(Batch.objects.get(pk=batch_id).paused)


def test_it_falls_back_to_smaller_pages_and_remembers(sandbox: EmbeddedSandbox) -> None:
    ids = fill(sandbox, 160)
    sandbox.set_faults(max_limit=50)
    sync.run_sync(FULL)
    sandbox.edit_batch(ids[0], paused=True)
    sandbox.reset_journal()
    run = sync.run_sync(INCREMENTAL)
    assert (run.state, run.kind, run.changed) == (SyncRun.State.DONE, INCREMENTAL, 1)
    assert {one["status"] for one in list_requests(sandbox)} == {200}
    sandbox.set_faults(max_limit=10)
    sandbox.edit_batch(ids[1], paused=True)
    assert sync.run_sync(INCREMENTAL).changed == 1


def test_batches_without_a_date_that_come_first_hide_no_change(sandbox: EmbeddedSandbox) -> None:
    ids = fill(sandbox, 120)
    for number in range(230):
        sandbox.add_batch(batch_id=f"undated{number}", last_updated_at=None)
    sync.run_sync(FULL)
    sandbox.edit_batch(ids[7], paused=True)
    run = sync.run_sync(INCREMENTAL)
    assert (run.kind, run.changed) == (INCREMENTAL, 1)
    assert is_paused(ids[7])


@pytest.mark.parametrize("year", ["2099", "9999"])
def test_a_date_in_the_future_blinds_no_sync(sandbox: EmbeddedSandbox, year: str) -> None:
    ids = fill(sandbox, 250)
    sandbox.add_batch(batch_id="odd", last_updated_at=f"{year}-01-01T00:00:00Z")
    sync.run_sync(FULL)
    for changed in (ids[:130], ids[130:]):
        # More than a page of them: the date of the odd one is older than none.
        for batch_id in changed:
            sandbox.edit_batch(batch_id, paused=True)
        run = sync.run_sync(INCREMENTAL)
        assert (run.kind, run.changed) == (INCREMENTAL, len(changed))
    assert Batch.objects.filter(paused=True).count() == 250


def test_a_whole_page_of_dates_in_the_future_blinds_no_sync(sandbox: EmbeddedSandbox) -> None:
    ids = fill(sandbox, 20)
    for number in range(210):
        sandbox.add_batch(batch_id=f"odd{number}", last_updated_at="2099-01-01T00:00:00Z")
    sync.run_sync(FULL)
    sandbox.edit_batch(ids[3], paused=True)
    sync.run_sync(INCREMENTAL)
    assert is_paused(ids[3])


def test_an_undated_batch_that_comes_last_makes_it_read_everything(
    sandbox: EmbeddedSandbox,
) -> None:
    fill(sandbox, 150)
    sandbox.add_batch(batch_id="undated", last_updated_at=None)
    sandbox.set_faults(undated_last=True)
    sync.run_sync(FULL)
    sandbox.edit_batch("undated", paused=True, last_updated_at=None)
    run = sync.run_sync(INCREMENTAL)
    assert (run.kind, is_paused("undated")) == (FULL, True)
    assert "no date of their last update" in " ".join(run.notes)


def test_without_any_dates_everything_is_read(sandbox: EmbeddedSandbox) -> None:
    for number in range(150):
        sandbox.add_batch(batch_id=f"undated{number}", last_updated_at=None)
    sync.run_sync(FULL)
    sandbox.vanish("undated3")
    assert sync.run_sync(INCREMENTAL).kind == FULL
    assert Batch.objects.get(pk="undated3").missing_since is not None


def test_a_list_out_of_order_makes_it_read_everything(
    sandbox: EmbeddedSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = fill(sandbox, 150)
    sync.run_sync(FULL)
    sandbox.edit_batch(ids[149], paused=True)
    vendor_list = SyllableClient.list_batches

    def unordered(client: Any, **options: Any) -> Any:
        return vendor_list(client, **(options | {"order_by": "batch_id", "descending": False}))

    monkeypatch.setattr(SyllableClient, "list_batches", unordered)
    sandbox.edit_batch(ids[1], paused=True)
    assert sync.run_sync(INCREMENTAL).kind == FULL
    assert is_paused(ids[149]) and is_paused(ids[1])


def test_what_batchops_wrote_itself_moves_no_sync_past_what_others_did(
    sandbox: EmbeddedSandbox,
) -> None:
    ids = fill(sandbox, 150)
    sync.run_sync(FULL)
    changed_at = timezone.now()
    sandbox.edit_batch(ids[9], paused=True, last_updated_at=changed_at)
    for batch_id in ids[20:140]:
        later = changed_at + dt.timedelta(minutes=1)
        sandbox.edit_batch(batch_id, call_rate=5, last_updated_at=later)
    # As the reply to a PUT of ours is: newer than what any list has shown.
    own = sandbox.batch(ids[0]) | {"last_updated_at": timezone.now().isoformat()}
    store.apply_page([parse_batch(own)], timezone.now() + dt.timedelta(hours=1))
    Batch.objects.filter(pk=ids[0]).update(last_updated_at=changed_at + dt.timedelta(hours=1))
    sync.run_sync(INCREMENTAL)
    assert is_paused(ids[9])


def test_an_empty_or_half_list_is_no_news_that_nothing_changed(sandbox: EmbeddedSandbox) -> None:
    ids = fill(sandbox, 150)
    sync.run_sync(FULL)
    sandbox.edit_batch(ids[0], paused=True)
    sandbox.reset_journal()
    for fault in ("empty_list", "partial_list"):
        sandbox.set_faults(**{fault: {"share": 1, "endpoints": ["batches"]}})
        with pytest.raises(sync.ListIncomplete):
            sync.run_sync(INCREMENTAL)
        sandbox.clear_faults()
    assert single_reads(sandbox) == 0
    sync.run_sync(INCREMENTAL)
    assert is_paused(ids[0])


def test_a_list_that_leaves_out_what_it_had_before_makes_it_read_everything(
    sandbox: EmbeddedSandbox,
) -> None:
    ids = fill(sandbox, 150)
    for batch_id in ids[:60]:
        sandbox.edit_batch(batch_id, call_rate=5)
    sync.run_sync(FULL)
    sandbox.edit_batch(ids[61], paused=True)
    sandbox.set_faults(partial_list=1, left_out=0.04, total_count="hidden")
    run = sync.run_sync(INCREMENTAL)
    assert (run.kind, is_paused(ids[61])) == (FULL, True)
    assert "leaves out batches that it showed before" in " ".join(run.notes)


def test_lists_that_lag_behind_what_batchops_wrote_leave_no_doubt(
    sandbox: EmbeddedSandbox, settings: Settings, operator: User
) -> None:
    settings.SYLLABLE_READ_LAG = 120
    fill(sandbox, 150)
    sync.run_sync(FULL)
    sandbox.set_faults(list_lag_seconds=600)
    change = confirmed(operator)
    driver.drive()
    assert change.items.filter(state="applied").count() == 150
    for kind in (INCREMENTAL, FULL, INCREMENTAL):
        run = sync.run_sync(kind)
        assert (run.kind, run.changed) == (kind, 0)
    assert Batch.objects.filter(paused=True).count() == 150
    assert not AuditEntry.objects.filter(outcome="outside").exists()


def test_batches_that_go_while_it_is_read_make_it_read_everything(
    sandbox: EmbeddedSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = fill(sandbox, 250)
    sync.run_sync(FULL)
    for batch_id in ids[:150]:
        sandbox.edit_batch(batch_id, call_rate=5)
    pages = 0
    apply_page = sync._apply_page

    def and_then_some_go(*arguments: Any, **options: Any) -> None:
        nonlocal pages
        pages += 1
        apply_page(*arguments, **options)
        if pages == 1:
            sandbox.delete_batch(ids[149])
            sandbox.set_faults(deleted_hidden=True)

    monkeypatch.setattr(sync, "_apply_page", and_then_some_go)
    assert sync.run_sync(INCREMENTAL).kind == FULL
    assert Batch.objects.filter(call_rate=5).count() == 150


# How fresh it is -----------------------------------------------------------------------------


def test_what_lately_changed_and_everything_have_each_their_own_age(
    sandbox: EmbeddedSandbox,
) -> None:
    fill(sandbox, 30)
    full = sync.run_sync(FULL)
    recent = sync.run_sync(INCREMENTAL)
    fresh = freshness.freshness()
    assert (fresh.synced_at, fresh.fully_synced_at) == (recent.started_at, full.started_at)


def test_a_list_that_says_there_are_more_is_never_everything(sandbox: EmbeddedSandbox) -> None:
    fill(sandbox, 60)
    sandbox.set_faults(partial_list=1, total_count="whole")
    run = sync.run_sync(FULL)
    assert run.fully_synced_at is None
    assert "but reports a total of 60" in " ".join(run.notes)
    assert freshness.freshness().fully_synced_at is None
    sandbox.clear_faults()
    run = sync.run_sync(FULL)
    assert freshness.freshness().fully_synced_at == run.started_at
