"""Changes that follow others: put back, try again, resume exactly those."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from pytest_django import Settings

from batchops import audit
from batchops.models import AuditEntry, Batch, Change, ChangeState, ItemState, SyncRun
from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.services.changes import drafts, lifecycle
from batchops.services.errors import EmptySelection, NotAllowed, WrongState
from batchops.services.mirror import sync
from batchops.services.push import driver
from batchops.syllable.patch import CLEAR, BatchPatch
from tests.services.changes.world import PAUSE, batch, batches, confirm, draft, ended

pytestmark = pytest.mark.django_db

Source = Change.Source
EXPIRY = dt.datetime(2027, 1, 31, 12, tzinfo=dt.UTC)


def by(user: User) -> dict[str, Any]:
    return {"user": user, "actor": audit.Actor.of_user(user)}


def asked(change: Change) -> dict[str, BatchPatch]:
    return {item.batch_id: item.requested(change) for item in change.items.all()}


def test_undo_puts_back_what_each_batch_had(operator: User) -> None:
    batch("with", expires_on=EXPIRY)
    batch("without")
    done = ended(operator, BatchPatch(expires_on=EXPIRY + dt.timedelta(days=9)))
    undo = drafts.draft_undo(done, **by(operator))
    assert (undo.source, undo.follows, undo.state) == (Source.UNDO, done, ChangeState.DRAFT)
    assert asked(undo) == {
        "with": BatchPatch(expires_on=EXPIRY),
        "without": BatchPatch(expires_on=CLEAR),
    }


def test_undo_touches_only_what_was_applied(operator: User) -> None:
    batches(3)
    done = ended(operator)
    done.items.filter(batch="b-1").update(state="refused")
    assert set(asked(drafts.draft_undo(done, **by(operator)))) == {"b-0", "b-2"}


def test_what_was_undone_is_not_undone_again(operator: User) -> None:
    batches(3)
    done = ended(operator)
    undo = confirm(drafts.draft_undo(done, **by(operator)), operator)
    undo.items.filter(batch="b-0").update(state=ItemState.APPLIED)
    assert set(asked(drafts.draft_undo(done, **by(operator)))) == {"b-1", "b-2"}


def test_a_batch_that_moved_since_is_a_conflict_at_once(operator: User) -> None:
    batches(2)
    done = ended(operator, BatchPatch(call_rate=30))
    Batch.objects.filter(pk="b-0").update(call_rate=45)
    undo = drafts.draft_undo(done, **by(operator))
    item = undo.items.get(batch="b-0")
    assert (item.plan, item.state) == ("skip", "conflict")
    assert item.message == "Changed since: call_rate."
    assert undo.items.get(batch="b-1").state == "pending"


def test_a_batch_that_is_as_it_was_already_needs_nothing(operator: User) -> None:
    batches(1)
    done = ended(operator)
    Batch.objects.update(paused=False)
    assert drafts.draft_undo(done, **by(operator)).items.get().plan == "already"


def test_a_batch_that_failed_since_is_skipped_with_the_same_words_as_anywhere(
    operator: User,
) -> None:
    batches(1)
    done = ended(operator)
    Batch.objects.update(status="FAILED")
    item = drafts.draft_undo(done, **by(operator)).items.get()
    assert item.message == "Failed at the vendor: there is nobody to reach."


def test_undoing_a_pause_lets_outreach_start_and_needs_that_permission(
    operator: User, approver: User, settings: Settings
) -> None:
    settings.APPROVAL_FOR = "expanding"
    batches(2)
    done = ended(operator)
    undo = drafts.draft_undo(done, **by(operator))
    assert undo.expanding_count == 2
    assert confirm(undo, operator).state == ChangeState.AWAITING_APPROVAL
    with pytest.raises(NotAllowed):
        drafts.draft_undo(done, **by(approver))
    assert AuditEntry.objects.filter(action="change.denied", actor_name="amir").exists()


def test_nothing_applied_leaves_nothing_to_undo(operator: User) -> None:
    batches(2)
    done = ended(operator, state="failed")
    with pytest.raises(EmptySelection):
        drafts.draft_undo(done, **by(operator))
    assert Change.objects.count() == 1


@pytest.mark.parametrize("trouble", ["failed", "refused", "not_applied", "conflict"])
def test_retry_takes_all_that_did_not_get_what_was_asked(operator: User, trouble: str) -> None:
    batches(3)
    done = ended(operator)
    done.items.filter(batch="b-1").update(state=trouble)
    Batch.objects.filter(pk="b-1").update(paused=False)
    retry = drafts.draft_retry(done, **by(operator))
    assert (retry.source, retry.follows, retry.reason) == (Source.RETRY, done, "wrong list")
    assert asked(retry) == {"b-1": PAUSE}


def test_retrying_an_undo_asks_each_batch_for_its_own_again(operator: User) -> None:
    batch("a", call_rate=10)
    batch("b", call_rate=20)
    undo = confirm(
        drafts.draft_undo(ended(operator, BatchPatch(call_rate=30)), **by(operator)), operator
    )
    undo.items.update(state=ItemState.FAILED)
    Change.objects.filter(pk=undo.pk).update(state=ChangeState.FINISHED)
    undo.refresh_from_db()
    retry = drafts.draft_retry(undo, **by(operator))
    assert asked(retry) == {"a": BatchPatch(call_rate=10), "b": BatchPatch(call_rate=20)}


def test_resume_takes_exactly_what_is_still_paused_by_it(operator: User) -> None:
    batches(3)
    pause = ended(operator)
    pause.holds.filter(batch="b-1").update(lifted_at=timezone.now())
    resume = drafts.draft_resume(pause, **by(operator))
    assert set(asked(resume)) == {"b-0", "b-2"}
    assert resume.source == Source.RESUME


def test_the_summary_of_an_undo_names_the_change_it_undoes(operator: User) -> None:
    batches(1)
    done = ended(operator)
    undo = drafts.draft_undo(done, **by(operator))
    assert undo.summary() == f"undo change {done.short_id}"
    assert done.summary() == "pause"


def test_going_on_with_what_was_stopped_sends_the_rest_and_reads_it_back(operator: User) -> None:
    batches(2)
    change = confirm(draft(operator), operator)
    Change.objects.filter(pk=change.pk).update(state="running", started_at=timezone.now())
    lifecycle.stop(change, **by(operator))
    Change.objects.filter(pk=change.pk).update(read_back_at=timezone.now())
    change = lifecycle.proceed(change, **by(operator))
    assert (change.state, change.read_back_at, change.finished_at) == (
        ChangeState.QUEUED,
        None,
        None,
    )
    assert lifecycle.counts(change) == {"pending": 2}


@pytest.mark.django_db(transaction=True)
def test_undo_reaches_the_vendor(sandbox: EmbeddedSandbox, operator: User) -> None:
    for name, rate in (("a", 10), ("b", 20)):
        sandbox.add_batch(batch_id=name, campaign_id=1, status="ACTIVE", call_rate=rate)
    sync.run_sync(SyncRun.Kind.FULL)
    done = confirm(draft(operator, BatchPatch(call_rate=5)), operator)
    driver.drive()
    done.refresh_from_db()
    assert done.state == ChangeState.FINISHED
    confirm(drafts.draft_undo(done, **by(operator)), operator)
    driver.drive()
    assert [sandbox.batch(name)["call_rate"] for name in ("a", "b")] == [10, 20]


@pytest.mark.parametrize("follow", [drafts.draft_undo, drafts.draft_retry, drafts.draft_resume])
def test_nothing_follows_a_change_that_has_not_ended(operator: User, follow: Any) -> None:
    batches(2)
    change = confirm(draft(operator), operator)
    with pytest.raises(WrongState, match="has not ended yet"):
        follow(change, **by(operator))


def test_who_may_not_control_changes_cannot_retry(
    operator: User, make_person: Callable[..., User]
) -> None:
    batches(1)
    done = ended(operator, state="failed")
    person = make_person("petra", "Viewer")
    with pytest.raises(NotAllowed, match="may not stop, continue or retry"):
        drafts.draft_retry(done, **by(person))
