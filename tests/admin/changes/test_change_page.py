"""The page of a change and its JSON: what they tell, and to whom."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from batchops import audit
from batchops.models import Change
from batchops.services.changes import drafts, lifecycle
from batchops.services.stats.progress import progress
from tests.services.changes.world import (
    PAUSE,
    RESUME,
    batch,
    batches,
    confirm,
    draft,
    ended,
)

pytestmark = [pytest.mark.once, pytest.mark.django_db]

QUERIES_AT_MOST = 22


def page(change: Change, name: str = "change") -> str:
    return reverse(f"admin:batchops_change_{name}", args=[change.pk])


def running(user: User, number: int = 4, settled: int = 1, **fields: Any) -> Change:
    """A change that is under way."""
    batches(number)
    change = confirm(draft(user), user)
    keys = list(change.items.values_list("pk", flat=True)[:settled])
    change.items.filter(pk__in=keys).update(state="applied", settled_at=timezone.now())
    started = timezone.now() - dt.timedelta(seconds=10)
    fields = {"state": "running", "started_at": started, **fields}
    Change.objects.filter(pk=change.pk).update(**fields)
    change.refresh_from_db()
    return change


def shown(client: Client, user: User, change: Change, query: str = "") -> str:
    client.force_login(user)
    response = client.get(page(change) + query)
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


def told(client: Client, user: User, change: Change, query: str = "") -> dict[str, Any]:
    client.force_login(user)
    answer: dict[str, Any] = client.get(page(change, "state") + query).json()
    return answer


@pytest.mark.usefixtures("running_worker")
def test_a_running_change_shows_bar_counts_rate_and_time_left(
    client: Client, operator: User
) -> None:
    in_flight = {"limit": 4, "maximum": 16, "reason": "the vendor answered 429"}
    change = running(operator, in_flight=in_flight)
    text = shown(client, operator, change)
    assert "Running: 1 of 4 settled" in text
    assert 'aria-valuemax="4" aria-valuenow="1"' in text
    assert "0.1 a second" in text
    assert "4 of 16 requests in flight, slowed: the vendor answered 429" in text
    assert "<title>25 % · Pause 4 batches | batchops</title>" in text


@pytest.mark.usefixtures("running_worker")
def test_a_change_under_a_rate_limit_says_what_is_allowed_and_how_long_it_takes(
    client: Client, operator: User
) -> None:
    in_flight = {"limit": 16, "maximum": 16, "reason": "", "allowed_per_second": 27.8}
    change = running(operator, in_flight=in_flight)
    change.items.update(settled_at=None)
    text = shown(client, operator, change)
    assert "The vendor allows about 28 a second; 3 left: " in text
    assert told(client, operator, change)["allowed_per_second"] == 27.8


@pytest.mark.usefixtures("running_worker")
def test_the_state_as_json_is_complete_and_adds_up(client: Client, operator: User) -> None:
    change = running(operator)
    state = told(client, operator, change)
    assert state["counts"] == {"applied": 1, "pending": 3}
    assert (state["settled"], state["total"], state["percent"]) == (1, 4, 25)
    assert sum(state["counts"].values()) == change.item_count
    assert state["rate_per_second"] == pytest.approx(0.1)
    assert state["remaining_seconds"] == pytest.approx(30, abs=5)
    assert state["poll_ms"] == 1000
    assert set(state["fragments"]) == {"status", "controls", "outcomes"}


def test_polling_ends_with_the_change(client: Client, operator: User) -> None:
    batches(2)
    done = ended(operator)
    assert told(client, operator, done)["poll_ms"] == 0
    Change.objects.update(read_back_at=None)
    assert told(client, operator, done)["poll_ms"] > 0
    Change.objects.update(finished_at=timezone.now() - dt.timedelta(hours=1))
    assert told(client, operator, done)["poll_ms"] == 0


def test_an_end_with_failures_is_never_shown_as_plain_success(
    client: Client, operator: User
) -> None:
    batches(3)
    done = ended(operator)
    assert "Finished: 3 of 3 as requested" in shown(client, operator, done)
    done.items.filter(batch="b-1").update(
        state="refused", http_status=404, message="batch not found"
    )
    lifecycle.refresh_counts(done)
    text = shown(client, operator, done)
    assert "Finished, but 1 of 3 is not as requested" in text
    assert "status-warn" in text
    assert "Finished, 1 not done" in text
    assert "<title>1 not done · Pause 3 batches | batchops</title>" in text


def test_what_the_vendor_said_is_grouped_and_told_for_each(client: Client, operator: User) -> None:
    batches(40)
    done = ended(operator)
    refused = list(done.items.values_list("pk", flat=True)[:37])
    done.items.filter(pk__in=refused).update(
        state="refused", http_status=404, message="batch not found"
    )
    text = shown(client, operator, done)
    assert "<strong>37 \N{MULTIPLICATION SIGN}</strong> <bdi>404 batch not found</bdi>" in text
    [message] = told(client, operator, done)["messages"]
    assert message == {"number": 37, "http_status": 404, "message": "batch not found"}


def test_tabs_search_and_pages_choose_the_batches(client: Client, operator: User) -> None:
    batches(60)
    done = ended(operator)
    done.items.filter(batch="b-7").update(state="failed", message="gave up")
    assert "1 to 25 of 60" in shown(client, operator, done)
    failed = shown(client, operator, done, "?outcome=failed")
    assert "<bdi>b-7</bdi>" in failed
    assert "<bdi>b-8</bdi>" not in failed
    assert "<bdi>b-7</bdi>" in shown(client, operator, done, "?q=gave")
    fragments = told(client, operator, done, "?outcome=failed")["fragments"]
    assert "<bdi>b-8</bdi>" not in fragments["outcomes"]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("?outcome=nonsense", "“outcome” cannot be “nonsense”"),
        ("?p=x", "“x” is not the number of a page"),
        ("?p=-1", "“-1” is not the number of a page"),
        ("?q=%00", "U+0000"),
        (f"?q={'x' * 256}", "at most 255 characters; this one has 256"),
        ("?page=2", "This page does not take “page” in its address. It takes: outcome, p, q."),
    ],
)
@pytest.mark.parametrize("name", ["change", "state"])
def test_an_address_that_makes_no_sense_is_refused_with_words(
    client: Client, operator: User, name: str, query: str, words: str
) -> None:
    batches(2)
    client.force_login(operator)
    address = reverse(f"admin:batchops_change_{name}", args=[ended(operator).pk])
    response = client.get(address + query)
    assert (response.status_code, words in response.content.decode()) == (400, True)


def test_the_page_beyond_the_last_is_the_last(client: Client, operator: User) -> None:
    batches(30)
    assert "26 to 30 of 30" in shown(client, operator, ended(operator), "?p=9999")


def test_confirmed_not_confirmed_and_unrequested_changes_are_told_apart(
    client: Client, operator: User
) -> None:
    batches(4)
    done = ended(operator)
    done.items.filter(batch__in=["b-0", "b-1"]).update(confirmation="confirmed")
    done.items.filter(batch="b-2").update(confirmation="not_confirmed")
    done.items.filter(batch="b-3").update(confirmation="confirmed", unrequested=["call_rate"])
    text = shown(client, operator, done)
    assert "3 confirmed by reading back" in text
    assert "1 accepted, not confirmed" in text
    assert "1 with an unrequested change" in text
    assert "Finished: 4 of 4 as requested, 1 of them not confirmed" in text
    unrequested = shown(client, operator, done, "?outcome=unrequested")
    assert "changed without being requested: call_rate" in unrequested
    assert "<bdi>b-0</bdi>" not in unrequested


@pytest.mark.usefixtures("running_worker")
def test_halted_and_waiting_say_why_and_what_to_do(client: Client, operator: User) -> None:
    change = running(operator, halted_reason="The key was rejected.")
    assert "The key was rejected. Once it is fixed, choose Continue" in shown(
        client, operator, change
    )
    Change.objects.update(
        halted_reason="",
        waiting_reason="The vendor is down.",
        waiting_since=timezone.now(),
        waiting_until=timezone.now() + dt.timedelta(seconds=20),
    )
    change.refresh_from_db()
    text = shown(client, operator, change)
    assert "The vendor is down. It continues by itself" in text
    assert "retried at least once a minute" in text
    assert (
        "Waiting for the vendor"
        in client.get(reverse("admin:batchops_change_changelist")).content.decode()
    )
    assert progress(change).tone == "warn"


def test_the_page_takes_few_queries_whatever_the_size(client: Client, operator: User) -> None:
    change = running(operator, number=90, settled=30)
    client.force_login(operator)
    for name in ("change", "state"):
        with CaptureQueriesContext(connection) as queries:
            client.get(page(change, name))
        assert len(queries) <= QUERIES_AT_MOST


def test_who_may_not_see_changes_sees_nothing(
    client: Client, operator: User, make_person: Callable[..., User]
) -> None:
    change = running(operator)
    client.force_login(make_person("nina"))
    for name in ("change", "state"):
        assert client.get(page(change, name)).status_code == 403
    client.logout()
    answer = client.get(page(change, "state"))
    assert (answer.status_code, "login" in answer["Location"]) == (302, True)


def test_the_state_of_a_draft_is_told_to_nobody(client: Client, operator: User) -> None:
    batch()
    change = draft(operator)
    client.force_login(operator)
    assert client.get(page(change, "state")).status_code == 403
    assert client.get(page(change)).status_code == 302


def test_only_who_may_read_the_trail_finds_it_on_the_page(
    client: Client, operator: User, auditor: User
) -> None:
    batches(2)
    done = ended(operator)
    assert "Audit trail of this change" not in shown(client, operator, done)
    assert "Audit trail of this change" in shown(client, auditor, done)


BUTTONS = (
    "Stop: leave 3 unsent",
    "Continue",
    "Resume these 6…",
    "Retry 1…",
    "Undo on 5…",
)


def buttons(text: str) -> set[str]:
    return {word for word in BUTTONS if f"</svg>{word}</button>" in text}


@pytest.mark.parametrize(
    ("who", "under_way", "at_the_end"),
    [
        ("operator", {BUTTONS[0]}, set(BUTTONS[2:])),
        ("administrator", {BUTTONS[0]}, set(BUTTONS[2:])),
        ("approver", {BUTTONS[0]}, set()),
        ("auditor", set(), set()),
        ("viewer", set(), set()),
    ],
)
def test_everybody_is_offered_what_they_may_do_now(
    client: Client,
    operator: User,
    request: pytest.FixtureRequest,
    who: str,
    under_way: set[str],
    at_the_end: set[str],
) -> None:
    person: User = request.getfixturevalue(who)
    change = running(operator)
    assert buttons(shown(client, person, change)) == under_way
    batch("extra-1")
    batch("extra-2")
    done = ended(operator)
    item = done.items.filter(state="applied").first()
    assert item is not None
    done.items.filter(pk=item.pk).update(state="failed")
    assert buttons(shown(client, person, done)) == at_the_end


def test_the_requester_may_stop_without_the_permission_to_control(
    client: Client, operator: User
) -> None:
    change = running(operator)
    operator.groups.clear()
    operator.user_permissions.add(Permission.objects.get(codename="view_change"))
    assert buttons(shown(client, User.objects.get(pk=operator.pk), change)) == {BUTTONS[0]}


@pytest.mark.parametrize(
    ("who", "decides"),
    [("approver", True), ("administrator", True), ("operator", False), ("viewer", False)],
)
def test_the_decision_is_offered_to_approvers_with_the_risks(
    client: Client,
    operator: User,
    settings: Settings,
    request: pytest.FixtureRequest,
    who: str,
    decides: bool,
) -> None:
    settings.APPROVAL_FOR = "expanding"
    batch(paused=True)
    change = confirm(draft(operator, RESUME), operator)
    text = shown(client, request.getfixturevalue(who), change)
    assert ("Your decision" in text) is decides
    assert ("Outreach starts again on 1 batch" in text) is decides


def test_the_requester_is_not_offered_to_approve_their_own(
    client: Client, administrator: User, settings: Settings
) -> None:
    settings.APPROVAL_FOR = "expanding"
    batch(paused=True)
    change = confirm(draft(administrator, RESUME), administrator)
    assert "Your decision" not in shown(client, administrator, change)


def test_a_pause_tells_until_when_and_how_many_it_holds(client: Client, operator: User) -> None:
    batches(3)
    done = ended(operator, PAUSE)
    assert "3 batches still paused by this change, <strong>with no end</strong>" in " ".join(
        shown(client, operator, done).split()
    )
    Change.objects.update(resume_at=timezone.now() + dt.timedelta(days=1))
    text = shown(client, operator, done)
    assert "Change the end" in text
    assert "Cancel the end: stay paused" in text


def test_changes_that_follow_each_other_are_linked(client: Client, operator: User) -> None:
    batches(2)
    done = ended(operator)
    actor = audit.Actor.of_user(operator)
    undo = confirm(drafts.draft_undo(done, user=operator, actor=actor), operator)
    assert page(undo) in shown(client, operator, done)
    assert page(done) in shown(client, operator, undo)


def test_without_scripts_a_refresh_shows_how_it_goes_on(client: Client, operator: User) -> None:
    batches(2)
    change = confirm(draft(operator), operator)
    assert "Reload this page to see its progress" in shown(client, operator, change)
    lifecycle.stop(change, user=operator, actor=audit.Actor.of_user(operator))
    assert "Stopped: 0 done, 2 not sent" in shown(client, operator, change)
