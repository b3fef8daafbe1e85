"""What needs somebody, and what happens by itself in the next 48 hours."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from pytest_django import Settings

from batchops import audit
from batchops.models import Change
from batchops.services.changes import drafts, lifecycle
from batchops.services.stats import attention
from tests.services.changes.world import RESUME, batch, batches, confirm, draft, ended

pytestmark = pytest.mark.django_db


def found(user: User) -> list[tuple[str, int, Any]]:
    return [(need.why, need.number, need.change.pk) for need in attention.needs(user)]


def with_failures(user: User) -> Change:
    change = ended(user)
    change.items.filter(batch="b-0").update(state="refused")
    lifecycle.refresh_counts(change)
    return change


def test_failures_need_somebody_until_they_are_retried(operator: User) -> None:
    batches(3)
    failed = with_failures(operator)
    assert found(operator) == [("failed", 1, failed.pk)]
    retry = drafts.draft_retry(failed, user=operator, actor=audit.Actor.of_user(operator))
    assert found(operator) == [("failed", 1, failed.pk)], "a draft retries nothing"
    confirm(retry, operator)
    assert found(operator) == []


def test_what_failed_long_ago_is_no_news(operator: User) -> None:
    batches(3)
    failed = with_failures(operator)
    Change.objects.filter(pk=failed.pk).update(created_at=timezone.now() - dt.timedelta(days=15))
    assert found(operator) == []


def test_approval_needs_those_who_may_give_it(
    operator: User, approver: User, settings: Settings
) -> None:
    settings.APPROVAL_FOR = "all"
    batches(2, paused=True)
    change = confirm(draft(operator, RESUME), operator)
    assert (found(operator), found(approver)) == ([], [("approval", 2, change.pk)])
    Change.objects.filter(pk=change.pk).update(resume_set_by=approver)
    assert found(approver) == [], "who determined a part of it cannot approve it"


def test_what_has_halted_comes_first(operator: User) -> None:
    batches(3)
    failed = with_failures(operator)
    halted = confirm(draft(operator, RESUME), operator)
    Change.objects.filter(pk=halted.pk).update(state="running", halted_reason="Key rejected.")
    assert [why for why, *_ in found(operator)] == ["halted", "failed"]
    assert found(operator)[1][2] == failed.pk


def test_ends_starts_and_expiries_of_the_next_48_hours_are_told(operator: User) -> None:
    now = timezone.now()
    batches(3)
    pause = ended(operator)
    in_a_day, in_three = now + dt.timedelta(days=1), now + dt.timedelta(days=3)
    Change.objects.filter(pk=pause.pk).update(resume_at=in_a_day, resume_set_by=operator)
    scheduled = confirm(draft(operator, RESUME), operator, starts_at=in_three)
    batch("soon", expires_on=now + dt.timedelta(hours=1))
    batch("later", expires_on=now + dt.timedelta(hours=47))
    batch("much-later", expires_on=now + dt.timedelta(hours=49))
    batch("gone", expires_on=now + dt.timedelta(hours=2), status="EXPIRED")
    soon = attention.soon([])
    assert [(event.change.pk, event.number, event.ends_pause) for event in soon.events] == [
        (pause.pk, 3, True)
    ]
    assert [slot.number for slot in soon.expiries] == [1, 0, 0, 0, 0, 0, 0, 1]
    assert soon.expiring == 2
    Change.objects.filter(pk=scheduled.pk).update(starts_at=now + dt.timedelta(hours=2))
    assert [event.change.pk for event in attention.soon([]).events] == [scheduled.pk, pause.pk]
