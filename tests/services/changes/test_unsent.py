"""What is never sent gets its facts in groups, the rest by a worker."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from pytest_django import Settings

from batchops import audit
from batchops.models import AuditEntry, Change, ChangeState
from batchops.services.changes import approvals, lifecycle, unsent
from tests.services.changes.world import batch, batches, confirm, draft

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups of two, and no more than two while a person waits."""
    monkeypatch.setattr(unsent, "GROUP_SIZE", 2)
    monkeypatch.setattr(unsent, "SYNC_LIMIT", 2)


def by(user: User) -> dict[str, Any]:
    return {"user": user, "actor": audit.Actor.of_user(user)}


def told(action: str) -> int:
    return AuditEntry.objects.filter(action=action).count()


def test_what_a_draft_leaves_out_is_recorded_once_for_each(operator: User) -> None:
    batches(5, status="FAILED")
    batch("live")
    confirm(draft(operator), operator)
    assert told("batch.skipped") == 2
    unsent.record_rest()
    unsent.record_rest()
    assert told("batch.skipped") == 5


def test_a_stop_takes_effect_before_all_is_settled(operator: User) -> None:
    batches(5)
    change = confirm(draft(operator), operator)
    Change.objects.update(state="running", started_at=timezone.now())
    stopped = lifecycle.stop(change, **by(operator))
    assert stopped.state == ChangeState.STOPPED
    assert lifecycle.counts(change) == {"stopped": 2, "pending": 3}
    assert not lifecycle.sweep_stopped(change)
    assert lifecycle.sweep_stopped(change)
    assert lifecycle.counts(change) == {"stopped": 5}
    assert told("batch.stopped") == 5


def test_what_may_have_been_sent_is_left_to_be_read(operator: User) -> None:
    batches(2)
    change = confirm(draft(operator), operator)
    change.items.filter(batch="b-0").update(attempts=1)
    lifecycle.stop(change, **by(operator))
    assert lifecycle.counts(change) == {"stopped": 1, "pending": 1}


def test_a_rejection_settles_the_rest_later(
    operator: User, approver: User, settings: Settings
) -> None:
    settings.APPROVAL_THRESHOLD = 1
    batches(5)
    change = confirm(draft(operator), operator)
    approvals.reject(change, comment="no", **by(approver))
    unsent.record_rest()
    assert lifecycle.counts(change) == {"stopped": 5}
    assert told("batch.stopped") == 5


def test_a_sweep_leaves_a_change_alone_that_goes_on_again(operator: User) -> None:
    batches(2)
    change = confirm(draft(operator), operator)
    assert lifecycle.sweep_stopped(change)
    assert lifecycle.counts(change) == {"pending": 2}
