"""Syncs: what the vendor has goes into the mirror, and nothing else does."""

from __future__ import annotations

import datetime as dt
import http.server
import json
import threading
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from batchops.models import AuditEntry, Batch, Campaign, SyncRun
from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.services.mirror import store, sync
from batchops.services.push import driver
from batchops.syllable import records
from batchops.syllable.errors import SyllableError
from batchops.syllable.records import parse_batch
from tests.services.mirror.lists import fill
from tests.services.push.world import confirmed

pytestmark = pytest.mark.django_db(transaction=True)

FULL, INCREMENTAL = SyncRun.Kind.FULL, SyncRun.Kind.INCREMENTAL


@pytest.fixture(autouse=True)
def no_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batchops.syllable.client._delay", lambda *_: 0.01)


def test_a_full_sync_brings_every_batch_and_campaign(sandbox: EmbeddedSandbox) -> None:
    ids = fill(sandbox, 1_234)
    run = sync.run_sync(FULL)
    assert (run.state, run.batches_seen, run.created) == (SyncRun.State.DONE, 1_234, 1_234)
    assert set(Batch.objects.values_list("pk", flat=True)) == set(ids)
    assert Campaign.objects.get(pk=1).campaign_name == "Appointment reminders"


def test_a_second_sync_writes_nothing(sandbox: EmbeddedSandbox) -> None:
    fill(sandbox, 120)
    sync.run_sync(FULL)
    written = dict(Batch.objects.values_list("pk", "synced_at"))
    run = sync.run_sync(FULL)
    assert (run.batches_seen, run.created, run.changed) == (120, 0, 0)
    assert dict(Batch.objects.values_list("pk", "synced_at")) == written


def test_only_rows_that_differ_are_written_and_the_change_is_recorded(
    sandbox: EmbeddedSandbox,
) -> None:
    ids = fill(sandbox, 50)
    sync.run_sync(FULL)
    written = dict(Batch.objects.values_list("pk", "synced_at"))
    sandbox.edit_batch(ids[7], paused=True)
    run = sync.run_sync(FULL)
    assert run.changed == 1
    moved = {pk for pk, at in Batch.objects.values_list("pk", "synced_at") if at != written[pk]}
    assert moved == {ids[7]}
    entry = AuditEntry.objects.get(action="batch.changed_outside")
    before, after = entry.before or {}, entry.after or {}
    assert (entry.batch_id, before["paused"], after["paused"]) == (
        ids[7],
        False,
        True,
    )


def test_an_older_observation_never_overwrites_a_newer_one(sandbox: EmbeddedSandbox) -> None:
    fill(sandbox, 1)
    sync.run_sync(FULL)
    row = Batch.objects.get()
    old = parse_batch(sandbox.batch("b0000") | {"paused": True, "status": "PAUSED"})
    before = row.observed_at - dt.timedelta(seconds=5)
    assert store.apply_page([old], before).changed == 0
    assert Batch.objects.get().paused is not True
    later = timezone.now() + dt.timedelta(seconds=5)
    assert store.apply_page([old], later).changed == 1


def test_a_sync_that_was_sent_before_a_push_does_not_undo_it(
    sandbox: EmbeddedSandbox, operator: User
) -> None:
    fill(sandbox, 60)
    sync.run_sync(FULL)
    sent_at = timezone.now()
    old_page = [parse_batch(sandbox.batch(name)) for name in sandbox.batch_ids()]
    confirmed(operator)
    driver.drive()
    store.apply_page(old_page, sent_at)
    assert Batch.objects.filter(paused=True).count() == 60


def test_a_row_from_the_future_is_of_a_clock_that_was_set_back(sandbox: EmbeddedSandbox) -> None:
    fill(sandbox, 1)
    sync.run_sync(FULL)
    Batch.objects.update(observed_at=timezone.now() + dt.timedelta(days=3))
    sandbox.edit_batch("b0000", paused=True)
    sync.run_sync(FULL)
    assert Batch.objects.get().paused is True


def test_a_batch_is_missing_only_once_a_get_has_confirmed_it(sandbox: EmbeddedSandbox) -> None:
    ids = fill(sandbox, 60)
    sync.run_sync(FULL)
    sandbox.delete_batch(ids[1])
    sandbox.vanish(ids[2])
    sandbox.set_faults(deleted_hidden=True)
    sandbox.reset_journal()
    run = sync.run_sync(FULL)
    assert run.missing == 1
    assert Batch.objects.get(pk=ids[2]).missing_since is not None
    deleted = Batch.objects.get(pk=ids[1])
    assert (deleted.missing_since, deleted.deleted_at is not None) == (None, True)
    asked = {entry["batch_id"] for entry in sandbox.journal() if entry["batch_id"]}
    assert asked == {ids[1], ids[2]}


def test_a_missing_batch_that_comes_back_is_found_again(sandbox: EmbeddedSandbox) -> None:
    ids = fill(sandbox, 3)
    sync.run_sync(FULL)
    sandbox.vanish(ids[0])
    sync.run_sync(FULL)
    sandbox.add_batch(batch_id=ids[0], campaign_id=1, last_updated_at=timezone.now())
    sync.run_sync(FULL)
    assert Batch.objects.get(pk=ids[0]).missing_since is None
    assert AuditEntry.objects.filter(action="batch.found_again").count() == 1


def test_a_batch_of_an_unknown_campaign_gets_a_nameless_one(sandbox: EmbeddedSandbox) -> None:
    sandbox.add_campaign(id=77, campaign_name="Hidden")
    sandbox.add_batch(batch_id="odd", campaign_id=77)
    sandbox.set_faults(null_campaigns=1.0)
    sync.run_sync(FULL)
    assert str(Batch.objects.get(pk="odd").campaign) == "Campaign 77 (name unknown)"
    sandbox.clear_faults()
    sync.run_sync(FULL)
    assert str(Batch.objects.get(pk="odd").campaign) == "Hidden"


def test_only_one_sync_runs_at_a_time(sandbox: EmbeddedSandbox) -> None:
    fill(sandbox, 60)
    sandbox.set_faults(latency=0.3)
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(sync.run_sync(FULL).state)
        except sync.AlreadyRunning as error:
            results.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert results.count(SyncRun.State.DONE) == 1
    assert sum(isinstance(result, sync.AlreadyRunning) for result in results) == 2
    assert SyncRun.objects.count() == 1


def test_a_sync_whose_process_was_lost_gives_way(sandbox: EmbeddedSandbox) -> None:
    fill(sandbox, 1)
    now = timezone.now()
    lost = SyncRun.objects.create(kind=FULL, started_at=now, alive_at=now)
    with pytest.raises(sync.AlreadyRunning):
        sync.run_sync(FULL)
    SyncRun.objects.update(alive_at=now - sync.LOST_AFTER - dt.timedelta(seconds=1))
    assert sync.run_sync(FULL).state == SyncRun.State.DONE
    lost.refresh_from_db()
    assert (lost.state, "lost" in lost.error) == (SyncRun.State.FAILED, True)


@pytest.mark.parametrize("kind", [FULL, INCREMENTAL])
@pytest.mark.parametrize(
    "fault", ["error_503", "unauthorized", "not_json", "not_a_page", "redirect", "reset_before"]
)
def test_a_failing_vendor_leaves_the_mirror_as_it_was(
    sandbox: EmbeddedSandbox, fault: str, kind: SyncRun.Kind
) -> None:
    fill(sandbox, 60)
    sync.run_sync(FULL)
    rows = list(Batch.objects.order_by("pk").values())
    sandbox.edit_batch("b0000", paused=True)
    sandbox.set_faults(**{fault: 1.0})
    with pytest.raises(SyllableError):
        sync.run_sync(kind)
    run = SyncRun.objects.first()
    assert run is not None
    assert run.state == SyncRun.State.FAILED
    assert run.error
    assert run.key_rejected == (fault == "unauthorized")
    assert list(Batch.objects.order_by("pk").values()) == rows
    assert AuditEntry.objects.filter(action="sync.failed").count() == 1
    sandbox.clear_faults()
    sync.run_sync(kind)
    assert Batch.objects.get(pk="b0000").paused is True
    assert AuditEntry.objects.filter(action="sync.recovered").count() == 1


def test_a_page_size_that_the_vendor_refuses_is_made_smaller(settings: Settings) -> None:
    settings.SYLLABLE_PAGE_SIZE = 5_000
    with EmbeddedSandbox(max_limit=100) as small:
        settings.SYLLABLE_BASE_URL, settings.SYLLABLE_API_KEY = small.url, small.key
        ids = fill(small, 260)
        run = sync.run_sync(FULL)
    assert run.state == SyncRun.State.DONE
    assert Batch.objects.count() == len(ids)


@pytest.mark.parametrize("number", [0, 1, 499, 500, 501, 1_000])
def test_pages_without_a_total_are_read_to_the_end(sandbox: EmbeddedSandbox, number: int) -> None:
    fill(sandbox, number)
    sandbox.set_faults(total_count="hidden")
    run = sync.run_sync(FULL)
    assert run.batches_seen == number


class RepeatingVendor(http.server.BaseHTTPRequestHandler):
    """Shows the same batches on every page, and claims that there are ever more."""

    requests = 0

    def do_GET(self) -> None:
        RepeatingVendor.requests += 1
        query = parse_qs(urlsplit(self.path).query)
        page = {"page": int(query["page"][0]), "page_size": 2, "total_pages": 10**9, "items": []}
        if "/batches" in self.path:
            page["items"] = [
                {"batch_id": name, "campaign_id": 1, "last_updated_by": "a@example.com"}
                for name in ("one", "two")
            ]
        body = json.dumps(page).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize("kind", [FULL, INCREMENTAL])
def test_a_list_that_repeats_itself_for_ever_is_read_once(
    settings: Settings, kind: SyncRun.Kind
) -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), RepeatingVendor)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    RepeatingVendor.requests = 0
    try:
        settings.SYLLABLE_BASE_URL = f"http://127.0.0.1:{server.server_port}"
        run = sync.run_sync(kind)
    finally:
        server.shutdown()
        server.server_close()
    assert (run.state, run.batches_seen) == (SyncRun.State.DONE, 2)
    assert RepeatingVendor.requests < 12


def test_rows_that_cannot_be_read_are_counted_and_the_others_kept(
    sandbox: EmbeddedSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(sandbox, 10)

    def spoilt(body: bytes) -> object:
        data = records.decode(body)
        if isinstance(data, dict) and "items" in data:
            for row in data["items"]:
                if row.get("batch_id") == "b0003":
                    row["paused"] = "perhaps"
        return data

    monkeypatch.setattr("batchops.syllable.client.decode", spoilt)
    run = sync.run_sync(FULL)
    assert (run.batches_seen, run.unreadable) == (9, 1)
    assert any("b0003" in note for note in run.notes)
    assert Batch.objects.count() == 9


def test_unknown_statuses_and_fields_are_noted_once(sandbox: EmbeddedSandbox) -> None:
    fill(sandbox, 60)
    sandbox.set_faults(unknown_status=1.0)
    run = sync.run_sync(FULL)
    assert run.notes == ["Unknown status ARCHIVED"]
    assert set(Batch.objects.values_list("status", flat=True)) == {"ARCHIVED"}
    sandbox.clear_faults()
    sandbox.set_faults(extra_fields=1.0)
    run = sync.run_sync(FULL)
    assert run.notes == ["Unknown field outreach_window", "Unknown field priority"]


def test_an_incremental_sync_reads_only_what_is_new(sandbox: EmbeddedSandbox) -> None:
    ids = fill(sandbox, 1_200)
    sync.run_sync(FULL)
    sandbox.edit_batch(ids[5], call_rate=7)
    sandbox.reset_journal()
    run = sync.run_sync(INCREMENTAL)
    assert run.changed == 1
    assert Batch.objects.get(pk=ids[5]).call_rate == 7
    pages = [entry for entry in sandbox.journal() if "batches" in entry["path"]]
    assert len(pages) < 3


def test_what_an_incremental_sync_misses_the_next_full_one_finds(
    sandbox: EmbeddedSandbox,
) -> None:
    ids = fill(sandbox, 60)
    sync.run_sync(FULL)
    sandbox.vanish(ids[0])
    sync.run_sync(INCREMENTAL)
    assert Batch.objects.get(pk=ids[0]).missing_since is None
    sync.run_sync(FULL)
    assert Batch.objects.get(pk=ids[0]).missing_since is not None


# When ----------------------------------------------------------------------------------------


def ended(kind: SyncRun.Kind, *, seconds_ago: int, good: bool) -> None:
    at = timezone.now() - dt.timedelta(seconds=seconds_ago)
    state = SyncRun.State.DONE if good else SyncRun.State.FAILED
    SyncRun.objects.create(kind=kind, state=state, started_at=at, alive_at=at, finished_at=at)


def due() -> tuple[bool, bool]:
    """Whether a full sync each hour and an incremental one each minute are due."""
    return sync.is_due(FULL, 3_600), sync.is_due(INCREMENTAL, 60)


def test_a_sync_is_due_when_the_last_good_one_is_as_old_as_the_interval() -> None:
    assert due() == (True, True)
    ended(FULL, seconds_ago=3_700, good=True)
    ended(INCREMENTAL, seconds_ago=20, good=True)
    assert due() == (True, False)
    ended(FULL, seconds_ago=70, good=True)
    assert due() == (False, False)


def test_a_sync_that_failed_is_not_tried_again_at_once() -> None:
    ended(FULL, seconds_ago=4_000, good=True)
    ended(INCREMENTAL, seconds_ago=10, good=False)
    ended(FULL, seconds_ago=20, good=False)
    assert due() == (False, False)


def test_full_syncs_that_fail_keep_nobody_from_incremental_ones() -> None:
    ended(FULL, seconds_ago=4_000, good=True)
    ended(FULL, seconds_ago=40, good=False)
    assert due() == (False, True)
    SyncRun.objects.all().delete()
    ended(FULL, seconds_ago=400, good=False)
    assert due() == (True, True)
