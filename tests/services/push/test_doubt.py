"""Updates whose replies are lost: what may be ours is not somebody else's, and before is before."""

from __future__ import annotations

import datetime as dt

import pytest
import time_machine
from django.contrib.auth.models import User
from django.utils import timezone
from pytest_django import Settings

from batchops import audit
from batchops.models import (
    Action,
    AuditEntry,
    Batch,
    Change,
    ChangeItem,
    ChangeState,
    KeyIdentity,
    SyncRun,
)
from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.sandbox.records import CONSOLE_USER
from batchops.sandbox.vendor import KEY_OWNER
from batchops.services.changes import lifecycle, timed_pauses
from batchops.services.mirror import refresh, sync
from batchops.services.push import driver
from batchops.services.runs import leases
from batchops.syllable.patch import BatchPatch
from tests.services.push.world import PAUSE, RESUME, confirmed, drive_to_the_end, fill

pytestmark = pytest.mark.django_db(transaction=True)

LAG = 120
LOST = {"share": 1.0, "methods": ["PUT"]}
UNREADABLE = {"share": 1.0, "endpoints": ["batch"]}


@pytest.fixture(autouse=True)
def reads_may_lag(settings: Settings) -> None:
    settings.SYLLABLE_READ_LAG = LAG


def later(seconds: float) -> time_machine.travel:
    return time_machine.travel(timezone.now() + dt.timedelta(seconds=seconds))


def sync_all() -> None:
    sync.run_sync(SyncRun.Kind.FULL)


def facts(*actions: Action) -> list[AuditEntry]:
    return list(AuditEntry.objects.filter(action__in=actions).order_by("sequence"))


def outside() -> list[AuditEntry]:
    return list(AuditEntry.objects.filter(outcome="outside"))


def before_and_after(field: str) -> set[tuple[object, object]]:
    return {
        (entry.before[field], entry.after[field])
        for entry in facts(Action.BATCH_APPLIED)
        if entry.before and entry.after
    }


def known_by_name(sandbox: EmbeddedSandbox, operator: User) -> None:
    """One update that went well, from whose reply the key's own name was learnt."""
    sandbox.add_batch(batch_id="first", campaign_id=1, status="ACTIVE")
    sync_all()
    confirmed(operator, BatchPatch(call_rate=7), Batch.objects.filter(pk="first"))
    driver.drive()


def sent_by_a_dead_worker(change: Change, sandbox: EmbeddedSandbox, **done: object) -> None:
    """A worker claimed everything, sent so much of it as `done` says, and was killed."""
    leases.claim(change, "of a worker that died", 100)
    for item in change.items.all():
        if done:
            sandbox.edit_batch(item.batch_id, **done, last_updated_by=KEY_OWNER)
    Change.objects.filter(pk=change.pk).update(state=ChangeState.RUNNING, started_at=timezone.now())


def expire_leases() -> None:
    ChangeItem.objects.filter(state="sending").update(
        lease_until=timezone.now() - dt.timedelta(seconds=1)
    )


@pytest.mark.parametrize("number", [1, 20, 120])
@pytest.mark.parametrize("named", [True, False], ids=["name known", "name unknown"])
def test_updates_whose_replies_were_lost_are_never_changes_of_others(
    sandbox: EmbeddedSandbox, operator: User, number: int, named: bool
) -> None:
    if named:
        known_by_name(sandbox, operator)
    ids = fill(sandbox, number)
    change = confirmed(operator, PAUSE, Batch.objects.filter(pk__in=ids))
    sandbox.set_faults(reset_after=LOST, error_500=UNREADABLE)
    driver.drive()
    sync_all()
    sync.run_sync(SyncRun.Kind.INCREMENTAL)
    with later(LAG + 1):
        sync_all()
        assert outside() == []
        sandbox.clear_faults()
        refresh.refresh(ids[:1])
        drive_to_the_end(change, operator)
        sync_all()
    assert lifecycle.counts(change) == {"applied": number}
    assert outside() == []
    paused = [e for e in facts(Action.BATCH_APPLIED) if e.change_id == change.pk]
    assert {(e.before["paused"], e.after["paused"]) for e in paused} == {(False, True)}  # type: ignore[index]


@pytest.mark.parametrize("wait", [0, LAG + 1])
def test_what_a_killed_worker_had_sent_is_never_a_change_of_others(
    sandbox: EmbeddedSandbox, operator: User, wait: int
) -> None:
    fill(sandbox, 20)
    change = confirmed(operator)
    sent_by_a_dead_worker(change, sandbox, paused=True)
    sync_all()
    expire_leases()
    leases.reclaim_expired()
    with later(wait):
        sync_all()
        refresh.refresh(["20261124.0"])
        assert set(Batch.objects.values_list("paused", flat=True)) == {False}
        drive_to_the_end(change, operator)
        sync_all()
    assert lifecycle.counts(change) == {"applied": 20}
    assert outside() == []
    assert before_and_after("paused") == {(False, True)}


def test_what_was_so_before_a_killed_worker_could_send_it_is_unchanged(
    sandbox: EmbeddedSandbox, operator: User
) -> None:
    fill(sandbox, 3, paused=True)
    change = confirmed(operator)
    sent_by_a_dead_worker(change, sandbox)
    expire_leases()
    with later(LAG + 1):
        leases.reclaim_expired()
    with later(2 * LAG + 2):
        driver.drive()
    assert lifecycle.counts(change) == {"unchanged": 3}
    assert sandbox.journal(method="PUT") == []


@pytest.mark.parametrize("named", [True, False], ids=["name known", "name unknown"])
def test_what_others_did_while_a_worker_was_dead_is_not_said_to_be_ours(
    sandbox: EmbeddedSandbox, operator: User, named: bool
) -> None:
    """Another update is sent, so that its own reply tells."""
    if named:
        known_by_name(sandbox, operator)
    ids = fill(sandbox, 3)
    change = confirmed(operator, PAUSE, Batch.objects.filter(pk__in=ids))
    sent_by_a_dead_worker(change, sandbox)
    for batch_id in ids:
        sandbox.edit_batch(batch_id, paused=True)
    expire_leases()
    driver.drive()
    assert lifecycle.counts(change) == {"applied": 3}
    assert len(sandbox.journal(method="PUT")) == 3
    assert not change.items.filter(message__contains="earlier try").exists()


def test_what_others_did_to_a_stopped_change_is_not_said_to_be_ours(
    sandbox: EmbeddedSandbox, operator: User
) -> None:
    known_by_name(sandbox, operator)
    ids = fill(sandbox, 3)
    change = confirmed(operator, PAUSE, Batch.objects.filter(pk__in=ids))
    sent_by_a_dead_worker(change, sandbox)
    sandbox.edit_batch(ids[0], paused=True)
    expire_leases()
    leases.reclaim_expired()
    lifecycle.stop(change, user=operator, actor=audit.Actor.of_user(operator))
    driver.drive()
    assert lifecycle.counts(change) == {"pending": 3}, "No answer proves anything yet."
    with later(LAG + 1):
        driver.drive()
    assert lifecycle.counts(change) == {"unchanged": 1, "stopped": 2}
    message = change.items.get(state="unchanged").message
    assert CONSOLE_USER in message
    assert "not known" in message


def test_another_tool_with_our_key_is_called_that(sandbox: EmbeddedSandbox, operator: User) -> None:
    known_by_name(sandbox, operator)
    assert KeyIdentity.objects.get().name == KEY_OWNER
    with later(2):
        sandbox.edit_batch("first", call_rate=99, last_updated_by=KEY_OWNER)
        sync_all()
    (entry,) = outside()
    assert entry.action == Action.BATCH_CHANGED_WITH_OUR_KEY
    assert entry.actor_name == KEY_OWNER


def test_a_name_is_learnt_only_from_updates_that_changed_something(
    sandbox: EmbeddedSandbox, operator: User
) -> None:
    """A vendor that ignores an update shows who changed the batch before."""
    fill(sandbox, 2)
    sandbox.set_faults(not_applied=1.0)
    confirmed(operator)
    driver.drive()
    assert not KeyIdentity.objects.exists()


def test_what_others_changed_besides_is_still_theirs(
    sandbox: EmbeddedSandbox, operator: User
) -> None:
    """In doubt about a pause, somebody sets another rate: that is recorded, the pause is not."""
    known_by_name(sandbox, operator)
    (batch_id,) = fill(sandbox, 1)
    change = confirmed(operator, PAUSE, Batch.objects.filter(pk=batch_id))
    sent_by_a_dead_worker(change, sandbox, paused=True)
    sandbox.edit_batch(batch_id, call_rate=50)
    expire_leases()
    leases.reclaim_expired()
    with later(LAG + 1):
        sync_all()
        (entry,) = outside()
        assert (entry.actor_name, entry.detail["fields"]) == (CONSOLE_USER, ["call_rate"])
        assert entry.before["paused"] == entry.after["paused"]  # type: ignore[index]
        driver.drive()
        sync_all()
    assert outside() == [entry]
    assert lifecycle.counts(change) == {"applied": 1}
    (applied,) = [e for e in facts(Action.BATCH_APPLIED) if e.change_id == change.pk]
    assert (applied.before["paused"], applied.before["call_rate"]) == (False, 50)  # type: ignore[index]
    assert not facts(Action.BATCH_UNREQUESTED_CHANGE)


def test_a_request_that_failed_and_was_carried_out_after_all_is_told_as_ours(
    sandbox: EmbeddedSandbox, operator: User
) -> None:
    known_by_name(sandbox, operator)
    (batch_id,) = fill(sandbox, 1)
    change = confirmed(operator, PAUSE, Batch.objects.filter(pk=batch_id))
    sent_by_a_dead_worker(change, sandbox, paused=True)
    expire_leases()
    leases.reclaim_expired()
    change.items.update(state="failed", settled_at=timezone.now())
    with later(LAG + 1):
        sync_all()
    assert outside() == []
    (entry,) = facts(Action.BATCH_CARRIED_OUT_LATE)
    assert (entry.change_id, entry.batch_id) == (change.pk, batch_id)
    assert Batch.objects.get(pk=batch_id).paused is True


@pytest.mark.parametrize(("after", "is_ours"), [(2, True), (LAG + 60, False)])
def test_another_try_that_takes_effect_late_and_undoes_a_later_change_is_told_as_ours(
    sandbox: EmbeddedSandbox, operator: User, after: float, is_ours: bool
) -> None:
    """A pause was tried more than once; the last try arrives when the batch was resumed again."""
    known_by_name(sandbox, operator)
    (batch_id,) = fill(sandbox, 1)
    batch = Batch.objects.filter(pk=batch_id)
    pause = confirmed(operator, PAUSE, batch)
    sandbox.set_faults(reset_before=LOST)
    driver.drive()
    sandbox.clear_faults()
    drive_to_the_end(pause, operator)
    drive_to_the_end(confirmed(operator, RESUME, batch), operator)
    with later(after):
        sandbox.edit_batch(batch_id, paused=True, last_updated_by=KEY_OWNER)
        sync_all()
    assert batch.get().paused is True
    assert batch.get().changed_externally_at is not None
    told = facts(Action.BATCH_CARRIED_OUT_LATE), facts(Action.BATCH_CHANGED_WITH_OUR_KEY)
    assert [len(entries) for entries in told] == [int(is_ours), int(not is_ours)]
    if is_ours:
        assert told[0][0].change_id == pause.pk


def test_the_doubt_of_another_change_counts_too(sandbox: EmbeddedSandbox, operator: User) -> None:
    """A resume took effect unseen and was stopped; a pause of what looks paused must be sent."""
    fill(sandbox, 3, paused=True)
    resume = confirmed(operator, RESUME)
    sent_by_a_dead_worker(resume, sandbox, paused=False)
    expire_leases()
    leases.reclaim_expired()
    resume.refresh_from_db()
    lifecycle.stop(resume, user=operator, actor=audit.Actor.of_user(operator))
    sandbox.set_faults(get_lag_seconds=60, list_lag_seconds=60)
    pause = confirmed(operator)
    assert set(pause.items.values_list("plan", flat=True)) == {ChangeItem.Plan.ACT}
    driver.drive()
    assert lifecycle.counts(pause) == {"applied": 3}
    assert {sandbox.batch(item.batch_id)["paused"] for item in pause.items.all()} == {True}


def test_a_pause_that_ends_by_itself_waits_for_what_it_may_have_paused(
    sandbox: EmbeddedSandbox, operator: User
) -> None:
    fill(sandbox, 3)
    pause = confirmed(operator)
    sent_by_a_dead_worker(pause, sandbox, paused=True)
    expire_leases()
    leases.reclaim_expired()
    pause.refresh_from_db()
    actor = audit.Actor.of_user(operator)
    timed_pauses.move_resume(
        pause, timezone.now() + dt.timedelta(seconds=1), user=operator, actor=actor
    )
    lifecycle.stop(pause, user=operator, actor=actor)
    with later(2):
        assert timed_pauses.resume_due() == []
    with later(LAG + 1):
        driver.drive()
        (resume,) = timed_pauses.resume_due()
        driver.drive()
    assert lifecycle.counts(resume) == {"applied": 3}
    assert {sandbox.batch(item.batch_id)["paused"] for item in pause.items.all()} == {False}
