"""Every button by every role: who may, what it does, and that denied tries are recorded."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from batchops import audit
from batchops.models import AuditEntry, Batch, Change, ChangeState
from batchops.services.changes import timed_pauses
from tests.services.changes.world import (
    RESUME,
    batch,
    batches,
    campaign,
    confirm,
    draft,
    ended,
)

pytestmark = [pytest.mark.once, pytest.mark.django_db]

ROLES = ("operator", "approver", "auditor", "viewer", "administrator")


def do(client: Client, user: User, change: Change, action: str, **data: Any) -> str:
    """Press a button; returns the page that follows."""
    client.force_login(user)
    address = reverse("admin:batchops_change_do", args=[change.pk, action])
    answer = client.post(address, data, follow=True)
    assert answer.status_code == 200
    return answer.content.decode()


def of_other(make_person: Callable[..., User]) -> User:
    """Somebody who asks for changes and is none of the roles tried."""
    return make_person("otto", "Operator")


def under_way(user: User) -> Change:
    batches(3)
    change = confirm(draft(user), user)
    Change.objects.filter(pk=change.pk).update(state="running", started_at=timezone.now())
    return change


def waiting(user: User, settings: Settings) -> Change:
    settings.APPROVAL_FOR = "expanding"
    batches(2, paused=True)
    return confirm(draft(user, RESUME), user)


def denied(user: User) -> bool:
    return AuditEntry.objects.filter(
        action="change.denied", outcome="denied", actor_id=user.pk
    ).exists()


@pytest.mark.parametrize("role", ROLES)
def test_stop(
    client: Client, make_person: Callable[..., User], request: pytest.FixtureRequest, role: str
) -> None:
    person: User = request.getfixturevalue(role)
    change = under_way(of_other(make_person))
    do(client, person, change, "stop")
    change.refresh_from_db()
    may = role in ("operator", "approver", "administrator")
    assert (change.state == ChangeState.STOPPED, denied(person)) == (may, not may)
    if may:
        assert change.counts_json == {"stopped": 3}
        assert AuditEntry.objects.filter(action="change.stopped", actor_id=person.pk).exists()


@pytest.mark.parametrize("role", ROLES)
def test_continue(
    client: Client, make_person: Callable[..., User], request: pytest.FixtureRequest, role: str
) -> None:
    person: User = request.getfixturevalue(role)
    change = under_way(of_other(make_person))
    Change.objects.update(halted_reason="key rejected")
    do(client, person, change, "continue")
    change.refresh_from_db()
    may = role in ("operator", "administrator")
    assert (not change.is_halted, denied(person)) == (may, not may)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("action", ["retry", "undo", "resume"])
def test_what_begins_a_new_change_leads_to_its_review(
    client: Client,
    make_person: Callable[..., User],
    request: pytest.FixtureRequest,
    action: str,
    role: str,
) -> None:
    person: User = request.getfixturevalue(role)
    batches(3)
    done = ended(of_other(make_person))
    done.items.filter(batch="b-0").update(state="failed")
    Batch.objects.filter(pk="b-0").update(paused=False, paused_by=None)
    done.holds.filter(batch="b-0").delete()
    text = do(client, person, done, action)
    may = role in ("operator", "administrator")
    assert ("selected" in text) is may
    # What another person paused is not resumed without lifting that person's hold.
    assert ("selected will be changed" in text) is (may and action == "retry")
    assert ("Holds on these batches" in text) is (may and action != "retry")
    assert denied(person) is not may
    assert Change.objects.filter(follows=done, requested_by=person).exists() is may


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("action", ["approve", "reject"])
def test_decisions(
    client: Client,
    make_person: Callable[..., User],
    request: pytest.FixtureRequest,
    settings: Settings,
    action: str,
    role: str,
) -> None:
    person: User = request.getfixturevalue(role)
    change = waiting(of_other(make_person), settings)
    do(client, person, change, action, comment="looked at it", seen=change.fingerprint)
    change.refresh_from_db()
    may = role in ("approver", "administrator")
    decided = {"approve": ChangeState.QUEUED, "reject": ChangeState.REJECTED}[action]
    assert change.state == (decided if may else ChangeState.AWAITING_APPROVAL)
    assert denied(person) is not may
    if may:
        assert (change.decided_by, change.decision_comment) == (person, "looked at it")


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("action", ["move-end", "cancel-end"])
def test_the_end_of_a_pause(
    client: Client,
    make_person: Callable[..., User],
    request: pytest.FixtureRequest,
    action: str,
    role: str,
) -> None:
    person: User = request.getfixturevalue(role)
    batches(2)
    pause = ended(of_other(make_person))
    end = timezone.now().replace(second=0, microsecond=0) + dt.timedelta(days=1)
    Change.objects.update(resume_at=end)
    later = end + dt.timedelta(days=1)
    do(client, person, pause, action, resume_at=f"{later:%Y-%m-%dT%H:%M}", reason="asked to")
    pause.refresh_from_db()
    may = role in ("operator", "administrator")
    wanted = later if action == "move-end" else None
    assert pause.resume_at == (wanted if may else end)
    assert denied(person) is not may


def test_nobody_approves_their_own(client: Client, administrator: User, settings: Settings) -> None:
    change = waiting(administrator, settings)
    text = do(client, administrator, change, "approve")
    assert "another person has to decide" in text
    change.refresh_from_db()
    assert change.state == ChangeState.AWAITING_APPROVAL
    assert denied(administrator)


@pytest.mark.parametrize(
    ("action", "data", "words"),
    [
        ("move-end", {"resume_at": ""}, "Enter a date and a time."),
        ("move-end", {"resume_at": "tomorrow"}, "Enter a date and a time"),
        ("move-end", {"resume_at": "2020-01-01T00:00", "reason": "x"}, "This time is in the past"),
        ("move-end", {"resume_at": "9999-12-31T23:59", "reason": "x"}, "within a year"),
        ("cancel-end", {}, "stay paused until somebody resumes them"),
        ("stop", {}, "This change is already finished."),
        ("continue", {}, "There is nothing to continue."),
        ("approve", {}, "no longer awaiting approval"),
        ("retry", {}, "No batch is selected"),
    ],
)
def test_what_makes_no_sense_now_is_said_in_words(
    client: Client,
    administrator: User,
    operator: User,
    action: str,
    data: dict[str, str],
    words: str,
) -> None:
    batches(2)
    text = do(client, administrator, ended(operator), action, **data)
    assert words in text


def test_a_rejection_without_a_comment_is_refused(
    client: Client, operator: User, approver: User, settings: Settings
) -> None:
    change = waiting(operator, settings)
    assert "Give a reason for rejecting it." in do(client, approver, change, "reject", comment=" ")
    change.refresh_from_db()
    assert change.state == ChangeState.AWAITING_APPROVAL


def test_a_comment_that_is_too_long_is_refused(
    client: Client, operator: User, approver: User, settings: Settings
) -> None:
    change = waiting(operator, settings)
    assert "at most 2000 characters" in do(client, approver, change, "approve", comment="x" * 2001)


def test_a_stop_pressed_twice_stops_once(client: Client, operator: User) -> None:
    change = under_way(operator)
    do(client, operator, change, "stop")
    assert "This change is already stopped." in do(client, operator, change, "stop")
    assert AuditEntry.objects.filter(action="change.stopped").count() == 1


def test_buttons_are_posts_with_a_token(operator: User) -> None:
    change = under_way(operator)
    careful = Client(enforce_csrf_checks=True)
    careful.force_login(operator)
    address = reverse("admin:batchops_change_do", args=[change.pk, "stop"])
    assert careful.get(address).status_code == 405
    assert careful.post(address).status_code == 403
    change.refresh_from_db()
    assert change.state == ChangeState.RUNNING


def test_there_are_no_other_actions_and_none_on_drafts(client: Client, operator: User) -> None:
    change = draft_of_one(operator)
    client.force_login(operator)
    for pk, action in ((change.pk, "stop"), (under_way(operator).pk, "explode")):
        address = reverse("admin:batchops_change_do", args=[pk, action])
        assert client.post(address).status_code == 404


def draft_of_one(user: User) -> Change:
    batch("alone")
    return draft(user)


@pytest.mark.parametrize("role", ROLES)
def test_the_emergency_button(client: Client, request: pytest.FixtureRequest, role: str) -> None:
    person: User = request.getfixturevalue(role)
    batch("here", campaign_id=1)
    batch("there", campaign_id=2)
    client.force_login(person)
    answer = client.post(reverse("admin:batchops_change_emergency"), follow=True)
    may = role in ("operator", "administrator")
    assert ("<strong>2 batches</strong>" in answer.content.decode()) is may
    assert denied(person) is not may


@pytest.mark.parametrize("named", ["in the address", "in the form"])
def test_the_emergency_button_of_a_campaign(client: Client, operator: User, named: str) -> None:
    batch("here", campaign_id=7)
    batch("there", campaign_id=2)
    client.force_login(operator)
    if named == "in the address":
        answer = client.post(reverse("admin:batchops_change_emergency", args=[7]), follow=True)
    else:
        address = reverse("admin:batchops_change_emergency")
        answer = client.post(address, {"campaign": "7"}, follow=True)
    assert "Everything live in Campaign 7" in answer.content.decode()
    change = Change.objects.get()
    assert change.priority == Change.Priority.EMERGENCY
    assert [item.batch_id for item in change.items.all()] == ["here"]


@pytest.mark.parametrize("named", ["x", "99", "9" * 40, "-1"])
def test_an_emergency_in_a_campaign_that_does_not_exist_is_refused(
    client: Client, operator: User, named: str
) -> None:
    batch()
    client.force_login(operator)
    address = reverse("admin:batchops_change_emergency")
    answer = client.post(address, {"campaign": named}, follow=True)
    assert "There is no campaign" in answer.content.decode()
    assert not Change.objects.exists()


def test_an_emergency_with_nothing_live_says_so(client: Client, operator: User) -> None:
    campaign(1)
    client.force_login(operator)
    answer = client.post(reverse("admin:batchops_change_emergency"), follow=True)
    assert "There is nothing to pause: no batch is live." in answer.content.decode()


def test_a_stale_page_approves_nothing_and_tells_what_moved_since(
    client: Client, operator: User, approver: User, settings: Settings
) -> None:
    settings.APPROVAL_FOR = "all"
    batches(2)
    end = timezone.now() + dt.timedelta(hours=1)
    change = confirm(draft(operator), operator, resume_at=end)
    client.force_login(approver)
    page = reverse("admin:batchops_change_change", args=[change.pk])
    assert f'name="seen" value="{change.fingerprint}"' in client.get(page).content.decode()
    later = end + dt.timedelta(hours=5)
    timed_pauses.move_resume(change, later, user=operator, actor=audit.Actor.of_user(operator))
    text = do(client, approver, change, "approve", seen=change.fingerprint)
    assert "no longer what you were shown" in text
    assert "Since then: olivia moved the end of a pause" in text
    assert "resume at:" in text
    assert "Changed since it was confirmed" in text, "and the page shows it before the next click"
    change.refresh_from_db()
    assert change.state == ChangeState.AWAITING_APPROVAL
    do(client, approver, change, "approve", seen=change.fingerprint)
    change.refresh_from_db()
    assert change.state == ChangeState.QUEUED


def test_a_page_that_does_not_say_what_it_showed_approves_nothing(
    client: Client, operator: User, approver: User, settings: Settings
) -> None:
    change = waiting(operator, settings)
    assert "no longer what you were shown" in do(client, approver, change, "approve")
    change.refresh_from_db()
    assert change.state == ChangeState.AWAITING_APPROVAL


def test_who_may_not_decide_is_recorded_whatever_the_form_holds(
    client: Client, operator: User, viewer: User, settings: Settings
) -> None:
    change = waiting(operator, settings)
    do(client, viewer, change, "reject", comment="x" * 5_000)
    assert denied(viewer)


def test_the_end_of_anothers_pause_needs_a_reason(
    client: Client, operator: User, make_person: Callable[..., User]
) -> None:
    batches(2)
    pause = ended(operator)
    end = f"{timezone.now() + dt.timedelta(days=1):%Y-%m-%dT%H:%M}"
    assert "Give a reason" in do(client, of_other(make_person), pause, "move-end", resume_at=end)
    pause.refresh_from_db()
    assert pause.resume_at is None
