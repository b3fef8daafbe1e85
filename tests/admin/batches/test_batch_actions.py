"""What is done to selected batches: each action freezes a draft and leads to its review."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from batchops.models import AuditEntry, Batch, Change, ChangeState
from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.services.mirror import refresh
from tests.services.changes import world

pytestmark = [pytest.mark.once, pytest.mark.django_db]

LIST = reverse("admin:batchops_batch_changelist")
TOMORROW = timezone.now() + dt.timedelta(days=1)


@pytest.fixture
def client(client: Client, operator: User) -> Client:
    client.force_login(operator)
    return client


def act(
    client: Client, action: str, *names: str, across: bool = False, query: str = "", **more: Any
) -> HttpResponse:
    """Choose an action for some batches, or for all that match."""
    chosen = names or [str(Batch.objects.order_by("pk").first())]
    data = {
        "action": action,
        "index": "0",
        "select_across": "1" if across else "0",
        "_selected_action": chosen,
    }
    return client.post(f"{LIST}?{query}", {**data, **more})  # type: ignore[return-value]


def drafted(response: HttpResponse) -> Change:
    """The draft whose review page a response leads to."""
    change = Change.objects.get()
    assert response.status_code == 302
    assert response["Location"] == reverse("admin:batchops_change_preview", args=[change.pk])
    assert change.state == ChangeState.DRAFT
    return change


@pytest.mark.parametrize(
    ("action", "patch"),
    [
        ("pause", {"paused": True}),
        ("resume", {"paused": False}),
        ("clear_expiry", {"expires_on": None}),
        ("clear_call_rate", {"call_rate": None}),
        ("auto_call_rate_on", {"auto_call_rate": True}),
        ("auto_call_rate_off", {"auto_call_rate": False}),
    ],
)
def test_an_action_freezes_what_is_selected(
    client: Client, action: str, patch: dict[str, Any]
) -> None:
    world.batches(3, expires_on=TOMORROW, call_rate=5)
    change = drafted(act(client, action, "b-0", "b-2"))
    assert change.patch_json == patch
    assert {item.batch_id for item in change.items.all()} == {"b-0", "b-2"}
    assert change.selection == "Selected one by one in the batch list"


def test_all_that_match_are_frozen_and_no_other(client: Client) -> None:
    world.batches(70)
    world.batch("other", 2)
    world.batch("held", paused=True)
    change = drafted(act(client, "pause", across=True, query="show=on&campaign=1&q=b-"))
    assert change.item_count == 70
    assert change.selection == (
        "All that match (show: Live, not paused; campaign: Campaign 1 (number 1); search: b-)"
    )


def test_what_limits_the_list_by_itself_is_recorded_too(client: Client) -> None:
    world.batches(2)
    world.batch("gone", missing_since=TOMORROW)
    change = drafted(act(client, "pause", across=True, query="status=ACTIVE"))
    assert change.item_count == 2
    assert change.selection == "All that match (show: All present; status: Active)"


def test_a_batch_that_was_ticked_is_chosen_although_it_left_the_list(client: Client) -> None:
    world.batches(2)
    Batch.objects.filter(pk="b-1").update(paused=True)
    change = drafted(act(client, "pause", "b-0", "b-1", query="show=on"))
    assert {item.batch_id for item in change.items.all()} == {"b-0", "b-1"}


@pytest.mark.parametrize("name", ["b-7", "B-0", "b-0 ", '"b-0"', "b-0\0", "x" * 300])
def test_a_batch_that_is_not_there_is_named_and_nothing_is_frozen(
    client: Client, name: str
) -> None:
    world.batches(2)
    page = client.get(act(client, "pause", "b-0", name)["Location"])
    assert "The mirror has no batch" in page.content.decode()
    assert not Change.objects.exists()


@pytest.mark.parametrize("across", ["2", "on", "true", "0 ", "\u0661"])
def test_a_selection_that_cannot_be_read_is_refused(client: Client, across: str) -> None:
    world.batches(2)
    response = act(client, "pause", "b-0", select_across=across)
    assert "cannot be read" in client.get(response["Location"]).content.decode()
    assert not Change.objects.exists()


def test_expire_now_is_allowed_although_it_is_not_in_the_future(client: Client) -> None:
    world.batch()
    change = drafted(act(client, "expire_now"))
    expiry = change.patch.expires_on
    assert isinstance(expiry, dt.datetime)
    assert abs(expiry - timezone.now()) < dt.timedelta(seconds=5)


def test_the_empty_choice_of_more_actions_does_not_disturb_a_button(client: Client) -> None:
    world.batch()
    data = {"index": "0", "select_across": "0", "_selected_action": ["b-1"]}
    page = client.post(LIST, {**data, "action": ["set_expiry", ""]})
    assert b'name="action" value="set_expiry"' in page.content


def test_an_expiry_is_asked_for_in_the_zone_of_the_person(client: Client) -> None:
    world.batches(2)
    client.cookies["time_zone"] = "America/New_York"
    page = act(client, "set_expiry", "b-0", "b-1")
    assert page.status_code == 200
    assert not Change.objects.exists()
    assert b"Set expiry: 2 batches" in page.content
    given: dict[str, Any] = {"apply": "1", "expiry": "at", "expires_on": "2099-01-31T08:00"}
    change = drafted(act(client, "set_expiry", "b-0", "b-1", **given))
    assert change.patch.expires_on == dt.datetime(2099, 1, 31, 13, tzinfo=dt.UTC)
    assert change.item_count == 2


def test_a_value_reaches_all_that_match(client: Client) -> None:
    world.batches(70)
    world.batch("other", 2)
    page = act(client, "set_call_rate", across=True, query="campaign=1")
    assert b"Set call rate: 70 batches" in page.content
    assert b'name="select_across" value="1"' in page.content
    given: dict[str, Any] = {"apply": "1", "call_rate": "120"}
    change = drafted(act(client, "set_call_rate", across=True, query="campaign=1", **given))
    assert change.item_count == 70
    assert change.patch_json == {"call_rate": 120}


@pytest.mark.parametrize(
    ("preset", "hours"), [("day", 24), ("week", 7 * 24), ("now", 0), ("today", None)]
)
def test_presets_work_without_a_script(client: Client, preset: str, hours: int | None) -> None:
    world.batch()
    change = drafted(act(client, "set_expiry", apply="1", expiry=preset))
    expiry = change.patch.expires_on
    assert isinstance(expiry, dt.datetime)
    if hours is None:
        assert (expiry.hour, expiry.minute) == (23, 59)
    else:
        expected = timezone.now() + dt.timedelta(hours=hours)
        assert abs(expiry - expected) < dt.timedelta(minutes=2)


@pytest.mark.parametrize(
    ("given", "field", "message"),
    [
        ({"expiry": "at"}, "expires_on", "Enter a date and a time."),
        ({"expiry": "at", "expires_on": "soon"}, "expires_on", "Enter a date and a time, such as"),
        ({"expiry": "at", "expires_on": "2020-01-01T00:00"}, "expires_on", "in the past"),
        ({"expiry": "day", "expires_on": "2099-01-01T00:00"}, "expires_on", "would be ignored"),
        ({"expiry": "someday"}, "expiry", "Select a valid choice"),
        ({}, "expiry", "required"),
    ],
)
def test_a_bad_expiry_is_refused_at_its_field(
    client: Client, given: dict[str, Any], field: str, message: str
) -> None:
    world.batch()
    page = act(client, "set_expiry", apply="1", **given)
    assert page.status_code == 200
    assert message in str(page.context["form"].errors[field])  # type: ignore[attr-defined]
    assert not Change.objects.exists()


@pytest.mark.parametrize(
    ("rate", "message"),
    [
        ("", "Enter a whole number."),
        ("fast", "Enter a whole number."),
        ("2.5", "Enter a whole number."),
        ("0", "Between 1 and 3,600"),
        ("3601", "Between 1 and 3,600"),
        ("9" * 400, "Between 1 and 3,600"),
    ],
)
def test_a_bad_rate_is_refused_at_its_field(client: Client, rate: str, message: str) -> None:
    world.batch()
    page = act(client, "set_call_rate", apply="1", call_rate=rate)
    assert message in str(page.context["form"].errors["call_rate"])  # type: ignore[attr-defined]
    assert not Change.objects.exists()


def test_nothing_selected_is_said(client: Client) -> None:
    world.batch()
    data = {"action": "pause", "index": "0", "select_across": "0"}
    page = client.post(LIST, data, follow=True)
    assert b"Items must be selected" in page.content
    assert not Change.objects.exists()


def test_an_empty_match_is_said(client: Client) -> None:
    world.batch()
    response = act(client, "pause", across=True, query="show=failed")
    page = client.get(response["Location"])
    assert b"No batch is selected" in page.content
    assert not Change.objects.exists()


def test_a_release_is_refused_to_those_who_may_only_take_back(
    client: Client, operator: User
) -> None:
    operator.groups.clear()
    give(operator, "view_batch", "request_change")
    client.force_login(operator)
    world.batch(expires_on=TOMORROW, paused=True)
    act(client, "resume")
    assert not Change.objects.exists()
    later: dict[str, Any] = {"apply": "1", "expiry": "at", "expires_on": "2099-01-31T08:00"}
    page = act(client, "set_expiry", **later)
    assert "may not let outreach reach more people" in page.content.decode()
    assert not Change.objects.exists()
    assert AuditEntry.objects.filter(action="change.denied").count() == 1
    drafted(act(client, "expire_now"))


def test_a_viewer_cannot_act_by_a_forged_request(client: Client, viewer: User) -> None:
    client.force_login(viewer)
    world.batch()
    act(client, "pause")
    assert not Change.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_refresh_reads_the_batches_again(client: Client, sandbox: EmbeddedSandbox) -> None:
    sandbox.add_batch(batch_id="b-1", campaign_id=1, status="ACTIVE", paused=False)
    refresh.refresh(["b-1"])
    sandbox.edit_batch("b-1", paused=True)
    page = client.get(act(client, "refresh", "b-1")["Location"])
    assert b"1 batch refreshed" in page.content
    assert Batch.objects.get().paused is True
    sandbox.set_faults(unauthorized=1)
    page = client.get(act(client, "refresh", "b-1")["Location"])
    assert b"Not refreshed" in page.content


@pytest.mark.django_db(transaction=True)
def test_a_refresh_keeps_what_was_read_in_time_and_says_how_much(
    client: Client, sandbox: EmbeddedSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"b-{number:02}" for number in range(100)]
    for name in names:
        sandbox.add_batch(batch_id=name, campaign_id=1, paused=True)
        world.batch(name)
    stalled = {"share": 1.0, "batch_ids": names[43:]}
    sandbox.set_faults(stall_before=stalled, stall_seconds=30)
    monkeypatch.setattr(refresh, "DEADLINE_SECONDS", 3.0)
    page = client.get(act(client, "refresh", across=True, query="o=1")["Location"])
    assert "43 of 100 batches refreshed; the others are shown as before." in page.content.decode()
    assert "did not answer for all within 3 seconds" in page.content.decode()
    assert set(Batch.objects.filter(paused=True).values_list("pk", flat=True)) == set(names[:43])


@pytest.mark.django_db(transaction=True)
def test_one_batch_that_cannot_be_read_keeps_no_other_from_being_read(
    client: Client, sandbox: EmbeddedSandbox
) -> None:
    for name in ("b-0", "b-1", "b-2"):
        sandbox.add_batch(batch_id=name, campaign_id=1, paused=True)
        world.batch(name)
    world.batch("b-3", created_at=timezone.now() - dt.timedelta(days=30))
    sandbox.set_faults(error_500={"share": 1.0, "batch_ids": ["b-1"]})
    page = client.get(act(client, "refresh", across=True)["Location"])
    assert "3 of 4 batches refreshed" in page.content.decode()
    assert Batch.objects.filter(paused=True).count() == 2
    assert Batch.objects.get(pk="b-3").missing_since is not None


def test_too_many_for_a_refresh_become_a_full_sync(client: Client) -> None:
    world.batches(101)
    page = client.get(act(client, "refresh", across=True)["Location"])
    assert b"Full sync requested" in page.content


def give(user: User, *codenames: str) -> None:
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
