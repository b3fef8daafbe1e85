"""Four eyes: who decides, on what, and that nothing else runs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from pytest_django import Settings

from batchops import audit
from batchops.models import AuditEntry, Batch, Change, ChangeItem, ChangeState
from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.services.changes import approvals, lifecycle, timed_pauses
from batchops.services.errors import ChangeError, InvalidInput, NotAllowed, WrongState
from batchops.services.push import driver
from tests.services.changes.world import PAUSE, RESUME, batch, batches, confirm, draft

pytestmark = pytest.mark.django_db


def by(user: User) -> dict[str, Any]:
    """The person who does it, as the services take them."""
    return {"user": user, "actor": audit.Actor.of_user(user)}


@pytest.fixture
def waiting(operator: User, settings: Settings) -> Change:
    """A pause of three batches, where more than two need approval."""
    settings.APPROVAL_THRESHOLD = 2
    batches(3)
    return confirm(draft(operator), operator)


def test_many_batches_wait_for_another_person(waiting: Change) -> None:
    assert waiting.state == ChangeState.AWAITING_APPROVAL
    assert waiting.approval_reason == "It changes 3 batches, more than 2."


def test_batches_that_are_already_so_do_not_count(operator: User, settings: Settings) -> None:
    settings.APPROVAL_THRESHOLD = 2
    batches(2)
    batch("held", paused=True)
    assert confirm(draft(operator), operator).state == ChangeState.QUEUED


def test_every_resume_waits_where_that_is_asked_for(operator: User, settings: Settings) -> None:
    settings.APPROVAL_FOR = "expanding"
    batch("held", paused=True)
    batch("live")
    assert confirm(draft(operator, RESUME), operator).state == ChangeState.AWAITING_APPROVAL
    assert confirm(draft(operator, PAUSE), operator).state == ChangeState.QUEUED


def test_an_approved_change_runs(waiting: Change, approver: User) -> None:
    approved = approvals.approve(
        waiting, seen=waiting.fingerprint, comment="checked", **by(approver)
    )
    assert approved.state == ChangeState.QUEUED
    assert (approved.decided_by_name, approved.decision_comment) == ("amir", "checked")
    entry = AuditEntry.objects.get(action="change.approved")
    assert (entry.detail["comment"], entry.detail["fingerprint"]) == (
        "checked",
        waiting.fingerprint,
    )


def test_the_requester_never_approves_not_even_as_administrator(
    administrator: User, settings: Settings
) -> None:
    settings.APPROVAL_THRESHOLD = 1
    batches(2)
    change = confirm(draft(administrator), administrator)
    with pytest.raises(NotAllowed, match="another person has to decide"):
        approvals.approve(change, seen=change.fingerprint, **by(administrator))
    with pytest.raises(NotAllowed, match="another person has to decide"):
        approvals.reject(change, comment="no", **by(administrator))
    assert AuditEntry.objects.filter(action="change.denied").count() == 2


def test_who_may_not_approve_is_refused_and_recorded(
    waiting: Change, make_person: Callable[..., User]
) -> None:
    with pytest.raises(NotAllowed, match="may not approve"):
        approvals.approve(waiting, seen=waiting.fingerprint, **by(make_person("otto", "Operator")))
    waiting.refresh_from_db()
    assert waiting.state == ChangeState.AWAITING_APPROVAL
    assert AuditEntry.objects.filter(action="change.denied", actor_name="otto").exists()


def test_a_rejection_needs_a_comment_and_ends_the_change(waiting: Change, approver: User) -> None:
    with pytest.raises(InvalidInput) as refused:
        approvals.reject(waiting, comment="  ", **by(approver))
    assert refused.value.field == "comment"
    rejected = approvals.reject(waiting, comment="not today", **by(approver))
    assert rejected.state == ChangeState.REJECTED
    assert rejected.counts_json == {"stopped": 3}
    assert set(rejected.items.values_list("message", flat=True)) == {"Rejected."}


def test_a_decision_is_made_once(waiting: Change, approver: User) -> None:
    approvals.approve(waiting, seen=waiting.fingerprint, **by(approver))
    with pytest.raises(WrongState):
        approvals.approve(waiting, seen=waiting.fingerprint, **by(approver))
    with pytest.raises(WrongState):
        approvals.reject(waiting, comment="no", **by(approver))


def test_what_differs_from_the_review_cannot_be_approved(waiting: Change, approver: User) -> None:
    extra = batch("extra")
    ChangeItem.objects.create(change=waiting, batch=extra)
    with pytest.raises(ChangeError, match="no longer what was reviewed"):
        approvals.approve(waiting, seen=waiting.fingerprint, **by(approver))


def test_an_approved_schedule_waits_for_its_time(
    operator: User, approver: User, settings: Settings
) -> None:
    settings.APPROVAL_THRESHOLD = 1
    batches(2)
    later = timezone.now() + dt.timedelta(hours=1)
    change = confirm(draft(operator), operator, starts_at=later)
    assert (
        approvals.approve(change, seen=change.fingerprint, **by(approver)).state
        == ChangeState.SCHEDULED
    )


def test_moving_the_end_of_an_approved_pause_asks_for_approval_anew(
    operator: User, approver: User, settings: Settings
) -> None:
    settings.APPROVAL_THRESHOLD = 1
    batches(2)
    soon = timezone.now() + dt.timedelta(hours=1)
    change = confirm(draft(operator), operator, starts_at=soon)
    change = approvals.approve(change, seen=change.fingerprint, **by(approver))
    end = soon + dt.timedelta(hours=5)
    moved = timed_pauses.move_resume(change, end, **by(operator))
    assert (moved.state, moved.approved_fingerprint) == (ChangeState.AWAITING_APPROVAL, "")
    assert (
        approvals.approve(moved, seen=moved.fingerprint, **by(approver)).state
        == ChangeState.SCHEDULED
    )


@pytest.mark.django_db(transaction=True)
def test_what_was_changed_after_the_approval_does_not_run(
    sandbox: EmbeddedSandbox, waiting: Change, approver: User
) -> None:
    approvals.approve(waiting, seen=waiting.fingerprint, **by(approver))
    Change.objects.filter(pk=waiting.pk).update(patch_json={"paused": False})
    driver.drive()
    waiting.refresh_from_db()
    assert "not what was approved" in waiting.halted_reason
    assert sandbox.journal() == []
    assert not Batch.objects.filter(paused=True).exists()


@pytest.mark.django_db(transaction=True)
def test_nothing_runs_while_it_waits_for_approval(
    sandbox: EmbeddedSandbox, waiting: Change
) -> None:
    lifecycle.queue_due()
    driver.drive()
    waiting.refresh_from_db()
    assert waiting.state == ChangeState.AWAITING_APPROVAL
    assert sandbox.journal() == []


def test_a_waiting_change_can_be_withdrawn_by_its_requester(
    waiting: Change, operator: User, approver: User
) -> None:
    lifecycle.stop(waiting, **by(operator))
    with pytest.raises(WrongState):
        approvals.approve(waiting, seen=waiting.fingerprint, **by(approver))
