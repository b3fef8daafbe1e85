"""Reads that lag behind writes: nothing is left unsent because of them, and nothing false said."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections import Counter

import pytest
import time_machine
from django.contrib.auth.models import User
from django.utils import timezone
from pytest_django import Settings

from batchops import audit
from batchops.models import Action, AuditEntry, Batch, SyncRun
from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.services import vendor
from batchops.services.changes import drafts, emergency, lifecycle
from batchops.services.mirror import refresh, store, sync
from batchops.services.push import driver
from batchops.services.runs import preflight
from batchops.syllable.patch import BatchPatch
from tests.services.push.world import PAUSE, RESUME, confirmed, fill

pytestmark = pytest.mark.django_db(transaction=True)

NUMBERS = pytest.mark.parametrize("number", [1, 20, 120])
LAGS = pytest.mark.parametrize(
    "lags",
    [
        {"list_lag_seconds": 60.0, "get_lag_seconds": 60.0},
        {"list_lag_seconds": 60.0},
        {"get_lag_seconds": 60.0},
        {"list_lag_seconds": 60.0, "get_lag_seconds": 60.0, "lagging_share": 0.5},
    ],
    ids=["both", "lists", "single", "half"],
)
OUTSIDE = (Action.BATCH_CHANGED_OUTSIDE, Action.BATCH_CHANGED_WITH_OUR_KEY)


@pytest.fixture(autouse=True)
def reads_may_lag(settings: Settings) -> None:
    settings.SYLLABLE_READ_LAG = 120


def shown_at_the_vendor(sandbox: EmbeddedSandbox, field: str) -> set[object]:
    return {sandbox.batch(batch.pk)[field] for batch in Batch.objects.all()}


def false_facts() -> list[str]:
    """Nobody but batchops touches the vendor in these tests, unless they say so."""
    suspect = (*OUTSIDE, Action.BATCH_UNREQUESTED_CHANGE, Action.BATCH_NOT_CONFIRMED)
    return [
        f"{e.action} {e.batch_id} {e.before} {e.after}"
        for e in AuditEntry.objects.filter(action__in=suspect)
    ]


def sync_all() -> None:
    sync.run_sync(SyncRun.Kind.FULL)
    sync.run_sync(SyncRun.Kind.INCREMENTAL)


@LAGS
@NUMBERS
def test_batches_resumed_a_moment_ago_are_paused(
    sandbox: EmbeddedSandbox, operator: User, number: int, lags: dict[str, float]
) -> None:
    ids = fill(sandbox, number, paused=True)
    sandbox.set_faults(**lags)
    resume = confirmed(operator, RESUME)
    driver.drive()
    pause = confirmed(operator, PAUSE)
    driver.drive()
    sync_all()
    refresh.refresh(ids[:1])
    assert lifecycle.counts(resume) == lifecycle.counts(pause) == {"applied": number}
    assert shown_at_the_vendor(sandbox, "paused") == {True}
    assert set(Batch.objects.values_list("paused", flat=True)) == {True}
    assert false_facts() == []


@LAGS
def test_a_change_is_undone_at_once(
    sandbox: EmbeddedSandbox, operator: User, lags: dict[str, float]
) -> None:
    fill(sandbox, 20)
    sandbox.set_faults(**lags)
    pause = confirmed(operator)
    driver.drive()
    sync_all()
    actor = audit.Actor.of_user(operator)
    pause.refresh_from_db()
    undo = drafts.draft_undo(pause, user=operator, actor=actor)
    lifecycle.confirm(undo, user=operator, actor=actor, reason="wrong list")
    driver.drive()
    assert lifecycle.counts(undo) == {"applied": 20}
    assert shown_at_the_vendor(sandbox, "paused") == {False}
    assert false_facts() == []


@LAGS
@NUMBERS
def test_an_emergency_pause_stops_what_was_resumed_a_moment_ago(
    sandbox: EmbeddedSandbox, operator: User, number: int, lags: dict[str, float]
) -> None:
    fill(sandbox, number, paused=True)
    sandbox.set_faults(**lags)
    confirmed(operator, RESUME)
    driver.drive()
    sync_all()
    actor = audit.Actor.of_user(operator)
    change = emergency.draft_pause(user=operator, actor=actor)
    lifecycle.confirm(change, user=operator, actor=actor, reason="stop everything")
    driver.drive()
    assert lifecycle.counts(change) == {"applied": number}
    assert shown_at_the_vendor(sandbox, "paused") == {True}
    assert false_facts() == []


def test_an_emergency_pause_includes_what_may_have_been_resumed(
    sandbox: EmbeddedSandbox, operator: User
) -> None:
    """A resume took effect, and its replies were lost: the mirror still says that all is paused."""
    number = preflight.FEW + 5
    fill(sandbox, number, paused=True)
    confirmed(operator, RESUME)
    sandbox.set_faults(
        reset_after={"share": 1.0, "methods": ["PUT"]},
        error_500={"share": 1.0, "methods": ["GET"], "endpoints": ["batch"]},
    )
    driver.drive()
    sandbox.clear_faults()
    resumed = sum(not sandbox.batch(batch.pk)["paused"] for batch in Batch.objects.all())
    assert resumed
    assert not Batch.objects.filter(paused=False).exists()
    actor = audit.Actor.of_user(operator)
    change = emergency.draft_pause(user=operator, actor=actor)
    assert change.item_count == number
    lifecycle.confirm(change, user=operator, actor=actor, reason="stop everything")
    driver.drive()
    counts = Counter(lifecycle.counts(change))
    assert counts["applied"] >= resumed
    assert counts["applied"] + counts["unchanged"] == counts.total() == number
    assert shown_at_the_vendor(sandbox, "paused") == {True}


def test_an_emergency_pause_sends_nothing_to_what_is_known_to_be_paused(
    sandbox: EmbeddedSandbox, operator: User
) -> None:
    fill(sandbox, 3)
    confirmed(operator, PAUSE)
    driver.drive()
    sandbox.reset_journal()
    actor = audit.Actor.of_user(operator)
    change = emergency.draft_pause(user=operator, actor=actor)
    lifecycle.confirm(change, user=operator, actor=actor, reason="stop everything")
    driver.drive()
    assert lifecycle.counts(change) == {"unchanged": 3}
    assert sandbox.journal(method="PUT") == []


def test_what_is_already_so_is_left_alone_where_the_vendor_proves_it(
    sandbox: EmbeddedSandbox, operator: User
) -> None:
    fill(sandbox, 20)
    confirmed(operator)
    driver.drive()
    sandbox.reset_journal()
    again = confirmed(operator)
    driver.drive()
    assert lifecycle.counts(again) == {"unchanged": 20}
    assert sandbox.journal(method="PUT") == []


def test_after_the_lag_any_answer_proves(sandbox: EmbeddedSandbox, operator: User) -> None:
    fill(sandbox, 120)
    confirmed(operator)
    driver.drive()
    again = confirmed(operator)
    with time_machine.travel(timezone.now() + dt.timedelta(seconds=121)):
        driver.drive()
    assert lifecycle.counts(again) == {"unchanged": 120}


@NUMBERS
def test_a_change_made_by_others_meanwhile_is_a_conflict_although_reads_lag(
    sandbox: EmbeddedSandbox, operator: User, number: int
) -> None:
    """What lags is older than our last reply; what others did later is not."""
    ids = fill(sandbox, number)
    confirmed(operator)
    driver.drive()
    change = confirmed(operator, BatchPatch(call_rate=20))
    with time_machine.travel(timezone.now() + dt.timedelta(seconds=2)):
        sandbox.edit_batch(ids[0], call_rate=99, last_updated_by="console@example.com")
        driver.drive()
    assert lifecycle.counts(change).get("conflict") == 1
    assert sandbox.batch(ids[0])["call_rate"] == 99
    (entry,) = AuditEntry.objects.filter(action__in=OUTSIDE)
    assert (entry.batch_id, entry.actor_name) == (ids[0], "console@example.com")


def test_a_batch_made_a_moment_ago_is_not_missing_since_a_read_does_not_know_it_yet(
    sandbox: EmbeddedSandbox, operator: User
) -> None:
    batch_id = "new"
    made_at = timezone.now().isoformat()
    sandbox.add_batch(batch_id=batch_id, campaign_id=1, status="ACTIVE", created_at=made_at)
    sync_all()
    sandbox.set_faults(not_found={"share": 1.0, "methods": ["GET"], "endpoints": ["batch"]})
    change = confirmed(operator)
    driver.drive()
    refresh.refresh([batch_id])
    assert lifecycle.counts(change) == {"applied": 1}
    assert Batch.objects.get().missing_since is None


def test_an_emergency_pause_holds_against_a_resume_that_has_only_begun(
    sandbox: EmbeddedSandbox, operator: User
) -> None:
    """What is still paused, and would be resumed in a moment, is paused as well."""
    fill(sandbox, 5, paused=True)
    resume = confirmed(operator, RESUME)
    actor = audit.Actor.of_user(operator)
    change = emergency.draft_pause(user=operator, actor=actor)
    assert change.item_count == 5
    lifecycle.confirm(change, user=operator, actor=actor, reason="stop everything")
    driver.drive()
    assert shown_at_the_vendor(sandbox, "paused") == {True}
    assert lifecycle.counts(resume) == {"conflict": 5}


def test_another_status_under_the_same_instant_may_be_an_older_one(
    sandbox: EmbeddedSandbox, operator: User
) -> None:
    """Not every vendor moves `last_updated_at` with each update, or tells it finely enough."""
    (batch_id,) = fill(sandbox, 1)
    confirmed(operator, PAUSE)
    driver.drive()
    batch = Batch.objects.get(pk=batch_id)
    shown = vendor.client().get_batch(batch_id).record
    older = dataclasses.replace(shown, status="PENDING")
    for seconds, status in ((1, batch.status), (121, "PENDING")):
        with time_machine.travel(timezone.now() + dt.timedelta(seconds=seconds)):
            store.apply_page([older], timezone.now())
        batch.refresh_from_db()
        assert batch.status == status
        told = AuditEntry.objects.filter(action=Action.BATCH_STATUS_CHANGED)
        assert told.exists() == (status == "PENDING")
