"""Changes made outside batchops are noticed once, with who made them, and never our own."""

from __future__ import annotations

import datetime as dt

import pytest
import time_machine
from django.contrib.auth.models import User
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from batchops.models import Action, AuditEntry, Batch, Change, ItemState, SyncRun
from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.services.changes import lifecycle
from batchops.services.mirror import refresh, store, sync
from batchops.services.push import driver
from batchops.services.runs import read_back
from batchops.syllable.patch import BatchPatch
from batchops.syllable.records import BatchRecord, parse_batch
from tests.services.push.world import confirmed

pytestmark = pytest.mark.django_db(transaction=True)

BATCH = "20260324.9"
SEEN_AT = dt.datetime(2026, 3, 24, 6, tzinfo=dt.UTC)


def outside() -> list[AuditEntry]:
    return list(AuditEntry.objects.filter(outcome="outside").order_by("sequence"))


def moved(entry: AuditEntry, field: str) -> tuple[object, object]:
    """What a field was, and what it became."""
    assert entry.before and entry.after
    return entry.before[field], entry.after[field]


def sync_all() -> None:
    sync.run_sync(SyncRun.Kind.FULL)


def see(minutes: int = 0, **fields: object) -> None:
    """Let the mirror observe the batch, minutes after it was first seen."""
    values: dict[str, object] = {
        "batch_id": BATCH,
        "campaign_id": 1,
        "status": "ACTIVE",
        "paused": False,
        "last_updated_by": "console@example.com",
    }
    record = BatchRecord(**(values | fields))  # type: ignore[arg-type]
    store.apply_page([record], SEEN_AT + dt.timedelta(minutes=minutes))


def pause(user: User) -> Change:
    change = confirmed(user)
    driver.drive()
    return change


# Against the vendor --------------------------------------------------------------------------


def test_the_first_sync_finds_batches_and_no_changes(sandbox: EmbeddedSandbox) -> None:
    sandbox.add_batch(batch_id=BATCH, campaign_id=1, status="ACTIVE", paused=True)
    sync_all()
    assert Batch.objects.get().paused is True
    assert outside() == []


def test_a_batch_that_is_new_in_a_later_sync_is_no_change(sandbox: EmbeddedSandbox) -> None:
    sync_all()
    sandbox.add_batch(batch_id=BATCH, campaign_id=1, status="ACTIVE", paused=True)
    sync_all()
    assert outside() == []


def test_a_change_made_outside_is_recorded_once_with_before_after_and_who(
    sandbox: EmbeddedSandbox,
) -> None:
    sandbox.add_batch(batch_id=BATCH, campaign_id=1, status="ACTIVE", paused=False)
    sync_all()
    sandbox.edit_batch(BATCH, paused=True, last_updated_by="console@example.com")
    sync_all()
    sync_all()
    refresh.refresh([BATCH])
    sync.run_sync(SyncRun.Kind.INCREMENTAL)
    (entry,) = outside()
    assert entry.action == Action.BATCH_CHANGED_OUTSIDE
    assert (entry.actor_name, entry.actor_id) == ("console@example.com", None)
    assert (entry.batch_id, entry.change_id) == (BATCH, None)
    assert moved(entry, "paused") == (False, True)
    assert entry.detail["fields"] == ["paused"]


def test_our_own_pushes_are_never_outside_changes(sandbox: EmbeddedSandbox, operator: User) -> None:
    sandbox.add_batch(batch_id=BATCH, campaign_id=1, status="ACTIVE", paused=False)
    sync_all()
    change = pause(operator)
    read_back.read_back(change)
    sync_all()
    sync.run_sync(SyncRun.Kind.INCREMENTAL)
    refresh.refresh([BATCH])
    assert lifecycle.counts(change) == {"applied": 1}
    assert [e for e in outside() if e.action == Action.BATCH_CHANGED_OUTSIDE] == []


def test_what_the_vendor_accepted_but_never_kept_was_changed_by_nobody(
    sandbox: EmbeddedSandbox, operator: User
) -> None:
    sandbox.add_batch(batch_id=BATCH, campaign_id=1, status="ACTIVE", paused=False)
    sync_all()
    sandbox.set_faults(not_kept=1.0)
    change = pause(operator)
    read_back.read_back(change)
    with time_machine.travel(timezone.now() + dt.timedelta(minutes=5)):
        sync_all()
    assert Batch.objects.get().paused is False
    assert AuditEntry.objects.filter(action=Action.BATCH_NOT_CONFIRMED).count() == 1
    assert outside() == []


def test_a_change_made_outside_after_ours_marks_the_batch_as_changed_externally(
    sandbox: EmbeddedSandbox, operator: User
) -> None:
    sandbox.add_batch(batch_id=BATCH, campaign_id=1, status="ACTIVE", paused=False)
    sync_all()
    pause(operator)
    sandbox.edit_batch(BATCH, paused=False, last_updated_by="console@example.com")
    sync_all()
    changed = [e for e in outside() if e.action == Action.BATCH_CHANGED_OUTSIDE]
    assert [entry.actor_name for entry in changed] == ["console@example.com"]
    batch = Batch.objects.get()
    assert batch.changed_externally_at is not None
    assert batch.paused_by is None


def test_what_the_comparison_before_a_push_notices_is_recorded_too(
    sandbox: EmbeddedSandbox, operator: User
) -> None:
    sandbox.add_batch(batch_id=BATCH, campaign_id=1, status="ACTIVE", paused=False)
    sync_all()
    sandbox.edit_batch(BATCH, call_rate=77, last_updated_by="console@example.com")
    change = pause(operator)
    sync_all()
    assert lifecycle.counts(change) == {"applied": 1}
    changed = [e for e in outside() if e.action == Action.BATCH_CHANGED_OUTSIDE]
    assert [(e.actor_name, e.detail["fields"]) for e in changed] == [
        ("console@example.com", ["call_rate"])
    ]


def test_a_batch_that_vanished_is_recorded_once_and_its_return_as_well(
    sandbox: EmbeddedSandbox,
) -> None:
    sandbox.add_batch(batch_id=BATCH, campaign_id=1, status="ACTIVE", paused=False)
    sync_all()
    sandbox.vanish(BATCH)
    sync_all()
    sync_all()
    assert Batch.objects.get().missing_since is not None
    missing = AuditEntry.objects.filter(action=Action.BATCH_MISSING)
    assert missing.count() == 1
    sandbox.add_batch(batch_id=BATCH, campaign_id=1, status="ACTIVE", paused=False)
    sync_all()
    sync_all()
    assert AuditEntry.objects.filter(action=Action.BATCH_FOUND_AGAIN).count() == 1
    assert Batch.objects.get().missing_since is None


# Observations --------------------------------------------------------------------------------


def test_a_status_that_moves_by_itself_is_told_apart_from_peoples_changes() -> None:
    see()
    see(1, status="EXPIRED")
    (entry,) = outside()
    assert (entry.action, entry.actor_name) == (Action.BATCH_STATUS_CHANGED, "vendor")
    assert moved(entry, "status") == ("ACTIVE", "EXPIRED")


def test_a_status_that_follows_a_persons_change_is_part_of_it() -> None:
    see()
    see(1, status="PAUSED", paused=True)
    (entry,) = outside()
    assert entry.action == Action.BATCH_CHANGED_OUTSIDE
    assert moved(entry, "status") == ("ACTIVE", "PAUSED")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("paused", True),
        ("expires_on", SEEN_AT + dt.timedelta(days=9)),
        ("call_rate", 12),
        ("auto_call_rate", True),
    ],
)
def test_each_changeable_field_is_watched(field: str, value: object) -> None:
    see()
    see(1, **{field: value})
    (entry,) = outside()
    assert entry.detail["fields"] == [field]


def test_a_deletion_at_the_vendor_is_a_persons_change() -> None:
    see()
    see(1, deleted_at=SEEN_AT, deleted_reason="no longer needed")
    (entry,) = outside()
    assert entry.action == Action.BATCH_CHANGED_OUTSIDE
    assert entry.detail["deleted"] == "no longer needed"


def test_what_nobody_may_change_leaves_no_entry() -> None:
    see()
    see(1, upload_filename="list.csv", error_message="one row", last_updated_at=timezone.now())
    assert outside() == []
    assert Batch.objects.get().upload_filename == "list.csv"


def test_fractions_of_a_second_and_an_absent_switch_are_no_change() -> None:
    expiry = SEEN_AT + dt.timedelta(days=9)
    see(expires_on=expiry, auto_call_rate=None)
    see(1, expires_on=expiry + dt.timedelta(microseconds=500_000), auto_call_rate=False)
    assert outside() == []


def test_somebody_unknown_is_called_unknown() -> None:
    see()
    see(1, paused=True, last_updated_by="")
    (entry,) = outside()
    assert entry.actor_name == "unknown"


def test_an_observation_older_than_the_row_is_ignored() -> None:
    see(5)
    see(1, paused=True)
    assert outside() == []
    assert Batch.objects.get().paused is False


def test_a_change_there_and_back_is_two_changes() -> None:
    see()
    see(1, paused=True)
    see(2)
    assert [moved(entry, "paused") for entry in outside()] == [(False, True), (True, False)]


def test_a_batch_twice_on_one_page_is_recorded_once() -> None:
    see()
    record = BatchRecord(batch_id=BATCH, campaign_id=1, status="ACTIVE", paused=True)
    store.apply_page([record, record], SEEN_AT + dt.timedelta(minutes=1))
    assert len(outside()) == 1


def test_what_makes_a_change_of_ours_a_conflict_is_recorded_as_made_outside(
    sandbox: EmbeddedSandbox, operator: User
) -> None:
    sandbox.add_batch(batch_id=BATCH, campaign_id=1, status="ACTIVE", paused=False, call_rate=50)
    sync_all()
    sandbox.edit_batch(BATCH, call_rate=77, last_updated_by="console@example.com")
    change = confirmed(operator, BatchPatch(call_rate=5))
    driver.drive()
    sync_all()
    assert lifecycle.counts(change) == {"conflict": 1}
    (entry,) = outside()
    assert moved(entry, "call_rate") == (50, 77)
    assert entry.actor_name == "console@example.com"


@pytest.mark.parametrize("ours", [False, True])
def test_a_page_of_outside_changes_costs_few_queries_however_many_they_are(
    sandbox: EmbeddedSandbox,
    operator: User,
    django_assert_max_num_queries: DjangoAssertNumQueries,
    ours: bool,
) -> None:
    for number in range(500):
        sandbox.add_batch(batch_id=f"b{number}", campaign_id=1, status="ACTIVE", paused=False)
    sync_all()
    if ours:
        change = pause(operator)
        with time_machine.travel(timezone.now() + dt.timedelta(hours=1)):
            read_back.all_due()
        assert change.items.filter(state=ItemState.APPLIED).count() == 500
    for batch_id in sandbox.batch_ids():
        sandbox.edit_batch(batch_id, paused=not ours, call_rate=77)
    seen_at = timezone.now() + dt.timedelta(hours=2)
    page = [parse_batch(sandbox.batch(batch_id)) for batch_id in sandbox.batch_ids()]
    with django_assert_max_num_queries(50):
        assert store.apply_page(page, seen_at).changed == 500
    assert len([e for e in outside() if e.action == Action.BATCH_CHANGED_OUTSIDE]) == 500
