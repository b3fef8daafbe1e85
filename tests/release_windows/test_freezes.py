"""Freezes hold back what lets outreach reach more people, and never a pause."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest
import time_machine
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from batchops import audit
from batchops.models import AuditEntry, Batch, Campaign, Change, ChangeState
from batchops.release_windows import freezes, openings
from batchops.release_windows.models import Freeze
from batchops.services.changes import lifecycle, timed_pauses
from batchops.services.errors import ChangeError, InvalidInput, NotAllowed, ResumeWindowClosed
from batchops.services.runs import run_state
from batchops.services.stats import upcoming
from tests.services.changes.world import PAUSE, RESUME, batch, campaign, confirm, draft, ended

pytestmark = pytest.mark.django_db(transaction=True)

HOUR = dt.timedelta(hours=1)


@pytest.fixture
def keeper(make_person: Callable[..., User]) -> User:
    return make_person("kim", "Approver")


def freeze(
    keeper: User, start: dt.timedelta, end: dt.timedelta, where: Campaign | None = None
) -> Freeze:
    now = timezone.now()
    return freezes.freeze(
        user=keeper,
        actor=audit.Actor.of_user(keeper),
        reason="Black Friday",
        starts_at=now + start if start else None,
        ends_at=now + end,
        campaign=where,
    )


def test_a_freeze_holds_back_a_release_and_never_a_pause(operator: User, keeper: User) -> None:
    batch("on")
    batch("off", paused=True)
    made = freeze(keeper, dt.timedelta(), 3 * HOUR)
    confirm(draft(operator, PAUSE, batches=Batch.objects.filter(pk="on")), operator)
    change = draft(operator, RESUME, batches=Batch.objects.filter(pk="off"))
    with pytest.raises(ResumeWindowClosed, match=r"Frozen until .* by kim .*: Black Friday"):
        confirm(change, operator)
    assert openings.next_opening(change, timezone.now()) == made.ends_at
    change = confirm(change, operator, starts_at=made.ends_at)
    assert change.state == ChangeState.SCHEDULED


def test_freezes_in_a_row_and_the_hours_of_the_settings_make_one_opening(
    operator: User, keeper: User, settings: object
) -> None:
    settings.RESUME_WINDOWS, settings.TIME_ZONE = "mon-fri 08:00-18:00", "UTC"  # type: ignore[attr-defined]
    batch("off", paused=True)
    change = draft(operator, RESUME)
    monday = dt.datetime(2026, 12, 7, 9, tzinfo=dt.UTC)
    with time_machine.travel(monday, tick=False):
        freeze(keeper, dt.timedelta(), 2 * HOUR)
        freeze(keeper, HOUR, 12 * HOUR)
        assert openings.next_opening(change, timezone.now()) == dt.datetime(
            2026, 12, 8, 8, tzinfo=dt.UTC
        )


def test_a_freeze_of_one_campaign_leaves_the_others_alone(operator: User, keeper: User) -> None:
    batch("here", 1, paused=True)
    batch("there", 2, paused=True)
    freeze(keeper, dt.timedelta(), HOUR, campaign(1))
    here = draft(operator, RESUME, batches=Batch.objects.filter(pk="here"))
    there = draft(operator, RESUME, batches=Batch.objects.filter(pk="there"))
    both = draft(operator, RESUME)
    now = timezone.now()
    assert [openings.is_open(one, now) for one in (here, there, both)] == [False, True, False]


def test_what_is_scheduled_moves_to_the_end_of_a_freeze_and_says_so(
    operator: User, keeper: User
) -> None:
    batch("off", paused=True)
    start = timezone.now() + HOUR
    change = confirm(draft(operator, RESUME), operator, starts_at=start)
    made = freeze(keeper, HOUR / 2, 5 * HOUR)
    [event] = upcoming.upcoming(upcoming.open_freezes())
    assert (event.at, event.postponed_to) == (start, made.ends_at)
    with time_machine.travel(start + dt.timedelta(seconds=1), tick=False):
        assert lifecycle.queue_due() == 0
    change.refresh_from_db()
    assert (change.state, change.starts_at) == (ChangeState.SCHEDULED, made.ends_at)
    entry = AuditEntry.objects.get(action="change.rescheduled")
    assert "Black Friday" in entry.detail["why"]


def test_the_end_of_a_pause_waits_for_the_end_of_a_freeze(operator: User, keeper: User) -> None:
    batch("b")
    pause = ended(operator)
    end = timezone.now() + HOUR
    timed_pauses.move_resume(
        pause, end, user=operator, actor=audit.Actor.of_user(operator), reason="then"
    )
    made = freeze(keeper, dt.timedelta(), 2 * HOUR)
    with time_machine.travel(end + dt.timedelta(seconds=1), tick=False):
        [change] = timed_pauses.resume_due()
    assert (change.state, change.starts_at) == (ChangeState.SCHEDULED, made.ends_at)


def test_what_runs_when_a_freeze_begins_goes_no_further(operator: User, keeper: User) -> None:
    batch("off", paused=True)
    change = confirm(draft(operator, RESUME), operator)
    assert run_state.start(change)
    freeze(keeper, dt.timedelta(), HOUR)
    with pytest.raises(ChangeError, match="Black Friday"):
        run_state.start(change)
    run_state.halt(change, "frozen")
    actor = audit.Actor.of_user(operator)
    with pytest.raises(ResumeWindowClosed):
        lifecycle.proceed(Change.objects.get(), user=operator, actor=actor)


def test_only_the_permitted_freeze_and_end_with_a_reason_that_the_trail_keeps(
    operator: User, keeper: User
) -> None:
    with pytest.raises(NotAllowed):
        freeze(operator, dt.timedelta(), HOUR)
    made = freeze(keeper, dt.timedelta(), HOUR)
    with pytest.raises(NotAllowed):
        freezes.end(made, user=operator, actor=audit.Actor.of_user(operator), reason="no")
    actor = audit.Actor.of_user(keeper)
    for reason in ("", "  "):
        with pytest.raises(InvalidInput):
            freezes.end(made, user=keeper, actor=actor, reason=reason)
    freezes.end(made, user=keeper, actor=actor, reason="over")
    with pytest.raises(InvalidInput, match="over already"):
        freezes.end(made, user=keeper, actor=actor, reason="over")
    entries = AuditEntry.objects.filter(action__startswith="release.").order_by("sequence")
    assert [(entry.action, entry.reason) for entry in entries] == [
        ("release.frozen", "Black Friday"),
        ("release.freeze_ended", "over"),
    ]


@pytest.mark.parametrize(("start", "end"), [(2, 1), (-3, -1), (0, 24 * 400)])
def test_a_freeze_without_sense_is_refused(keeper: User, start: int, end: int) -> None:
    with pytest.raises(InvalidInput):
        freeze(keeper, start * HOUR, end * HOUR)


def test_the_pages_show_freezes_and_let_only_the_permitted_freeze(
    client: Client, operator: User, keeper: User
) -> None:
    batch("off", paused=True)
    until = f"{timezone.now() + dt.timedelta(days=2):%Y-%m-%dT%H:%M}"
    form = {"reason": "Black Friday", "ends_at": until}
    client.force_login(operator)
    assert "Freeze releases" not in client.get(reverse("admin:freezes")).content.decode()
    assert client.post(reverse("admin:freezes"), form).status_code == 403
    client.force_login(keeper)
    assert "Freeze releases" in client.get(reverse("admin:freezes")).content.decode()
    assert client.post(reverse("admin:freezes"), form).status_code == 302
    change = draft(operator, RESUME)
    client.force_login(operator)
    for address in (
        "/",
        reverse("admin:freezes"),
        reverse("admin:batchops_change_upcoming"),
        reverse("admin:batchops_change_preview", args=[change.pk]),
    ):
        assert "Black Friday" in client.get(address).content.decode(), address
