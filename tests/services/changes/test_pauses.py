"""Pauses that end by themselves, and what they resume: exactly theirs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import Group, User
from django.utils import timezone
from pytest_django import Settings

from batchops import audit
from batchops.models import AuditEntry, Batch, Change, ChangeState, SyncRun
from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.services.changes import lifecycle, timed_pauses
from batchops.services.errors import InvalidInput, NotAllowed, WrongState
from batchops.services.mirror import sync
from batchops.services.push import driver
from batchops.services.stats.upcoming import upcoming
from tests.services.changes.world import RESUME, batch, batches, confirm, draft, ended

pytestmark = pytest.mark.django_db

Source = Change.Source
HOUR = dt.timedelta(hours=1)
MONDAY_EVENING = dt.datetime(2026, 11, 23, 20, tzinfo=dt.UTC)


def by(user: User) -> dict[str, Any]:
    return {"user": user, "actor": audit.Actor.of_user(user)}


def paused_until(user: User, end: dt.datetime, **more: Any) -> Change:
    """A pause that has been carried out and whose end is set."""
    pause = ended(user, **more)
    Change.objects.filter(pk=pause.pk).update(
        resume_at=end, resume_set_by=user, resume_set_by_name=user.username
    )
    pause.refresh_from_db()
    return pause


def past() -> dt.datetime:
    return timezone.now() - dt.timedelta(seconds=1)


def test_the_end_of_a_pause_becomes_a_linked_change_over_what_it_still_holds(
    operator: User,
) -> None:
    batches(3)
    batch("paused-by-others", paused=True)
    pause = paused_until(operator, past())
    Batch.objects.filter(pk="b-0").update(paused=False, paused_by=None)
    [resume] = timed_pauses.resume_due()
    assert (resume.state, resume.source, resume.follows) == (
        ChangeState.QUEUED,
        Source.END,
        pause,
    )
    assert set(resume.items.values_list("batch_id", flat=True)) == {"b-1", "b-2"}
    assert resume.patch == RESUME
    assert resume.requested_by == operator
    assert resume.reason == "End of the pause: wrong list"
    assert timed_pauses.resume_due() == []


def test_an_end_that_lies_ahead_waits(operator: User) -> None:
    batches(2)
    paused_until(operator, timezone.now() + HOUR)
    assert timed_pauses.resume_due() == []


def test_a_pause_that_holds_nothing_any_more_ends_without_a_change(operator: User) -> None:
    batches(2)
    paused_until(operator, past())
    Batch.objects.update(paused=False, paused_by=None)
    assert timed_pauses.resume_due() == []
    entry = AuditEntry.objects.get(action="change.resume_cancelled")
    assert entry.detail["why"] == "Nothing that it paused is still paused."


def test_the_end_waits_for_an_open_window(operator: User, settings: Settings) -> None:
    settings.RESUME_WINDOWS, settings.TIME_ZONE = "mon-fri 08:00-18:00", "UTC"
    with time_machine.travel(MONDAY_EVENING, tick=False):
        batches(2)
        paused_until(operator, past())
        [resume] = timed_pauses.resume_due()
    assert resume.state == ChangeState.SCHEDULED
    assert resume.starts_at == dt.datetime(2026, 11, 24, 8, tzinfo=dt.UTC)


def test_the_end_waits_for_approval_where_resuming_needs_it(
    operator: User, settings: Settings
) -> None:
    settings.APPROVAL_FOR = "expanding"
    batches(2)
    paused_until(operator, past())
    [resume] = timed_pauses.resume_due()
    assert resume.state == ChangeState.AWAITING_APPROVAL


@pytest.mark.parametrize("lost", ["role", "account"])
def test_nobody_resumes_in_the_name_of_who_may_not_any_more(operator: User, lost: str) -> None:
    batches(2)
    paused_until(operator, past())
    if lost == "role":
        operator.groups.remove(Group.objects.get(name="Operator"))
    else:
        User.objects.filter(pk=operator.pk).update(is_active=False)
    assert timed_pauses.resume_due() == []
    assert not Change.objects.filter(source__in=(Source.RESUME, Source.END)).exists()
    assert AuditEntry.objects.filter(action="change.resume_cancelled").exists()
    assert Batch.objects.filter(paused=True).count() == 2


def test_the_end_can_be_moved_and_cancelled_and_both_are_recorded(operator: User) -> None:
    batches(2)
    end = timezone.now() + HOUR
    pause = paused_until(operator, end)
    moved = timed_pauses.move_resume(pause, end + HOUR, **by(operator))
    assert moved.resume_at == end + HOUR
    assert timed_pauses.move_resume(moved, None, **by(operator)).resume_at is None
    told = AuditEntry.objects.filter(action__startswith="change.resume").order_by("sequence")
    assert [entry.action for entry in told] == ["change.resume_moved", "change.resume_cancelled"]
    first = told[0]
    assert first.before == {"resume_at": end.isoformat()}
    assert first.after == {"resume_at": (end + HOUR).isoformat()}


@pytest.mark.parametrize("away", [-HOUR, dt.timedelta(days=400)])
def test_the_end_cannot_be_moved_to_a_time_without_sense(
    operator: User, away: dt.timedelta
) -> None:
    batches(2)
    pause = paused_until(operator, timezone.now() + HOUR)
    with pytest.raises(InvalidInput) as refused:
        timed_pauses.move_resume(pause, timezone.now() + away, **by(operator))
    assert refused.value.field == "resume_at"


def test_the_end_of_a_scheduled_pause_stays_behind_its_start(operator: User) -> None:
    batch()
    start = timezone.now() + 3 * HOUR
    pause = confirm(draft(operator), operator, starts_at=start)
    with pytest.raises(InvalidInput, match="end before it begins"):
        timed_pauses.move_resume(pause, start - HOUR, **by(operator))


def test_only_pauses_have_an_end(operator: User) -> None:
    batch(paused=True)
    change = confirm(draft(operator, RESUME), operator)
    with pytest.raises(WrongState, match="Only a pause"):
        timed_pauses.move_resume(change, timezone.now() + HOUR, **by(operator))


def test_a_pause_that_was_resumed_has_no_end_to_move(operator: User) -> None:
    batches(2)
    pause = paused_until(operator, past())
    timed_pauses.resume_due()
    with pytest.raises(WrongState, match="already ended"):
        timed_pauses.move_resume(pause, timezone.now() + HOUR, **by(operator))


def test_the_end_is_cancelled_by_who_may_pause_but_set_only_by_who_may_resume(
    operator: User, approver: User
) -> None:
    batches(2)
    pause = paused_until(operator, timezone.now() + HOUR)
    for end in (None, timezone.now() + 2 * HOUR):
        with pytest.raises(NotAllowed):
            timed_pauses.move_resume(pause, end, **by(approver))
    assert AuditEntry.objects.filter(action="change.denied", actor_name="amir").count() == 2


def test_what_is_to_come_lists_starts_and_ends_the_nearest_first(operator: User) -> None:
    batches(2)
    now = timezone.now()
    paused_until(operator, now + 2 * HOUR)
    Batch.objects.filter(pk="b-0").update(paused=False, paused_by=None)
    confirm(draft(operator), operator, starts_at=now + HOUR, resume_at=now + 5 * HOUR)
    cancelled = confirm(draft(operator), operator, starts_at=now + HOUR, resume_at=now + 6 * HOUR)
    lifecycle.stop(cancelled, **by(operator))
    assert [(event.ends_pause, event.number) for event in upcoming([])] == [
        (False, 2),
        (True, 1),
        (True, 2),
    ]


def test_what_is_to_come_says_when_a_closed_window_moves_it(
    operator: User, settings: Settings
) -> None:
    settings.RESUME_WINDOWS, settings.TIME_ZONE = "mon-fri 08:00-18:00", "UTC"
    with time_machine.travel(MONDAY_EVENING, tick=False):
        batches(1)
        paused_until(operator, MONDAY_EVENING + HOUR)
        [event] = upcoming([])
    assert event.postponed_to == dt.datetime(2026, 11, 24, 8, tzinfo=dt.UTC)


@pytest.mark.django_db(transaction=True)
def test_a_pause_ends_at_the_vendor(
    sandbox: EmbeddedSandbox, operator: User, make_person: Callable[..., User]
) -> None:
    for name in ("a", "b"):
        sandbox.add_batch(batch_id=name, campaign_id=1, status="ACTIVE", paused=False)
    sandbox.add_batch(batch_id="paused-before", campaign_id=1, status="ACTIVE", paused=True)
    sync.run_sync(SyncRun.Kind.FULL)
    end = timezone.now() + HOUR
    confirm(draft(operator), operator, resume_at=end)
    driver.drive()
    assert all(sandbox.batch(name)["paused"] for name in ("a", "b", "paused-before"))
    Change.objects.update(resume_at=past())
    timed_pauses.resume_due()
    driver.drive()
    assert [sandbox.batch(n)["paused"] for n in ("a", "b", "paused-before")] == [
        False,
        False,
        True,
    ]
    assert not Batch.objects.filter(paused_by__isnull=False).exists()
