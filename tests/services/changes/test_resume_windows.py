"""Hours in which resuming is allowed: read, asked, and kept at every turn."""

from __future__ import annotations

import datetime as dt

import pytest
import time_machine
from django.contrib.auth.models import User
from pytest_django import Settings

from batchops import audit, checks
from batchops.models import Change, ChangeState
from batchops.services import authorization
from batchops.services.changes import approvals, lifecycle
from batchops.services.errors import ResumeWindowClosed
from batchops.services.runs import run_state
from batchops.syllable.patch import CLEAR, BatchPatch
from tests.services.changes.world import PAUSE, RESUME, batch, confirm, draft

SATURDAY = dt.datetime(2026, 11, 28, 9, tzinfo=dt.UTC)
MONDAY = dt.datetime(2026, 11, 30, 7, tzinfo=dt.UTC)
"""08:00 in Berlin."""


@pytest.fixture(autouse=True)
def office_hours(settings: Settings) -> None:
    settings.RESUME_WINDOWS, settings.TIME_ZONE = "mon-fri 08:00-18:00", "Europe/Berlin"


@pytest.mark.parametrize(
    ("text", "days", "start", "end"),
    [
        ("mon 08:00-09:00", {0}, dt.time(8), dt.time(9)),
        ("Mon-Wed 8:00 - 9:30", {0, 1, 2}, dt.time(8), dt.time(9, 30)),
        ("fri-mon 00:00-24:00", {4, 5, 6, 0}, dt.time(0), dt.time.max),
    ],
)
def test_a_window_is_read(text: str, days: set[int], start: dt.time, end: dt.time) -> None:
    [window] = authorization.resume_windows(text)
    assert set(window.days) == days
    assert (window.start, window.end) == (start, end)


@pytest.mark.parametrize(
    "text", ["always", "mon", "mon 8-9", "mon 25:00-26:00", "mon 18:00-08:00", "xyz 08:00-09:00"]
)
def test_what_cannot_be_read_is_quoted_and_found_by_the_system_check(
    text: str, settings: Settings
) -> None:
    with pytest.raises(ValueError, match=text.split()[0]):
        authorization.resume_windows(text)
    settings.RESUME_WINDOWS = text
    [found] = checks.resume_windows()
    assert found.id == "batchops.E003"
    assert text in found.msg


def test_without_windows_resuming_is_always_allowed(settings: Settings) -> None:
    settings.RESUME_WINDOWS = ""
    assert authorization.resume_allowed_at(SATURDAY)
    assert authorization.next_resume_opening(SATURDAY) == SATURDAY


def test_windows_are_in_the_zone_of_the_operators() -> None:
    assert authorization.resume_allowed_at(MONDAY)
    assert not authorization.resume_allowed_at(MONDAY - dt.timedelta(minutes=1))
    assert authorization.next_resume_opening(SATURDAY) == MONDAY


@pytest.mark.django_db
class TestAtAClosedHour:
    """What is asked on a Saturday."""

    @pytest.fixture(autouse=True)
    def saturday(self) -> object:
        with time_machine.travel(SATURDAY, tick=False):
            yield

    @pytest.mark.parametrize(
        "patch",
        [RESUME, BatchPatch(expires_on=CLEAR), BatchPatch(call_rate=90)],
    )
    def test_what_reaches_more_people_is_refused(self, operator: User, patch: BatchPatch) -> None:
        batch(paused=True, expires_on=MONDAY, call_rate=60)
        with pytest.raises(ResumeWindowClosed) as refused:
            confirm(draft(operator, patch), operator)
        assert refused.value.field == "starts_at"
        assert "mon-fri 08:00-18:00 (Europe/Berlin)" in refused.value.message

    def test_a_pause_is_always_allowed(self, operator: User) -> None:
        batch()
        assert confirm(draft(operator, PAUSE), operator).state == ChangeState.QUEUED

    def test_it_can_be_scheduled_for_an_open_hour(self, operator: User) -> None:
        batch(paused=True)
        change = confirm(draft(operator, RESUME), operator, starts_at=MONDAY)
        assert change.state == ChangeState.SCHEDULED

    def test_it_cannot_be_scheduled_for_another_closed_hour(self, operator: User) -> None:
        batch(paused=True)
        with pytest.raises(ResumeWindowClosed):
            later = SATURDAY + dt.timedelta(hours=3)
            confirm(draft(operator, RESUME), operator, starts_at=later)


@pytest.mark.django_db
def test_an_approval_at_a_closed_hour_waits_for_the_opening(
    operator: User, approver: User, settings: Settings
) -> None:
    settings.APPROVAL_FOR = "expanding"
    with time_machine.travel(MONDAY, tick=False):
        batch(paused=True)
        change = confirm(draft(operator, RESUME), operator)
    with time_machine.travel(SATURDAY, tick=False):
        actor = audit.Actor.of_user(approver)
        approved = approvals.approve(change, seen=change.fingerprint, user=approver, actor=actor)
    assert (approved.state, approved.starts_at) == (ChangeState.SCHEDULED, MONDAY)


@pytest.mark.django_db
@pytest.mark.parametrize("scheduled", [True, False])
def test_what_had_to_wait_into_closed_hours_is_postponed(operator: User, scheduled: bool) -> None:
    """A worker that was down over Friday evening must not resume on Saturday."""
    friday = SATURDAY - dt.timedelta(hours=17)
    with time_machine.travel(friday, tick=False):
        batch(paused=True)
        starts_at = friday + dt.timedelta(minutes=30) if scheduled else None
        change = confirm(draft(operator, RESUME), operator, starts_at=starts_at)
    with time_machine.travel(SATURDAY, tick=False):
        assert lifecycle.queue_due() == 0
    change.refresh_from_db()
    assert (change.state, change.starts_at) == (ChangeState.SCHEDULED, MONDAY)


@pytest.mark.django_db
def test_going_on_with_a_halted_resume_waits_for_an_open_hour(operator: User) -> None:
    with time_machine.travel(MONDAY, tick=False):
        batch(paused=True)
        change = confirm(draft(operator, RESUME), operator)
        Change.objects.update(state="running", halted_reason="key rejected")
    with time_machine.travel(SATURDAY, tick=False), pytest.raises(ResumeWindowClosed):
        lifecycle.proceed(change, user=operator, actor=audit.Actor.of_user(operator))


@pytest.mark.django_db
def test_a_worker_that_comes_back_at_a_closed_hour_starts_nothing(operator: User) -> None:
    with time_machine.travel(SATURDAY - dt.timedelta(hours=17), tick=False):
        batch(paused=True)
        change = confirm(draft(operator, RESUME), operator)
    with time_machine.travel(SATURDAY, tick=False):
        assert not run_state.start(change)
    change.refresh_from_db()
    assert (change.state, change.starts_at) == (ChangeState.SCHEDULED, MONDAY)
