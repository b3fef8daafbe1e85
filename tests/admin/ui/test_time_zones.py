"""What a person types as a time is the instant that the page promised, whatever their cookie."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest
import time_machine
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from batchops.models import Change
from batchops.syllable.patch import CLEAR, BatchPatch
from tests.admin.trail.trail import write
from tests.services.changes import world

pytestmark = [pytest.mark.once, pytest.mark.django_db]

LIST: Final = reverse("admin:batchops_batch_changelist")
BERLIN: Final = "Europe/Berlin"
TWICE: Final = "2027-10-31 02:30"
SKIPPED: Final = "2027-03-28T02:30"


def utc(*parts: int) -> dt.datetime:
    return dt.datetime(*parts, tzinfo=dt.UTC)  # type: ignore[misc,arg-type]


@pytest.fixture
def client(client: Client, operator: User) -> Client:
    client.force_login(operator)
    client.cookies["time_zone"] = BERLIN
    return client


@pytest.fixture(autouse=True)
def before_the_clocks_change() -> Any:
    with time_machine.travel(utc(2026, 11, 24, 12), tick=False):
        yield


def batch_page(client: Client, **given: str) -> HttpResponse:
    address = reverse("admin:batchops_batch_change", args=["b-0"])
    return client.post(address, {"expiry": "at", **given})  # type: ignore[return-value]


def action(client: Client, **given: str) -> HttpResponse:
    data = {"action": "set_expiry", "index": "0", "apply": "1", "_selected_action": "b-0"}
    return client.post(LIST, {**data, "expiry": "at", **given})  # type: ignore[return-value]


DOORS: Final = {"page of a batch": batch_page, "action": action}


@pytest.fixture(params=DOORS)
def door(request: pytest.FixtureRequest) -> Any:
    """Each form that takes an expiry, for a batch that is there."""
    world.batches(1)
    return DOORS[request.param]


def test_a_zone_whose_clocks_never_change_is_called_by_its_name(client: Client) -> None:
    """Django's name of it is "-05", which is no zone: forms fell back to UTC, five hours off."""
    world.batches(1)
    client.cookies["time_zone"] = "Etc/GMT+5"
    page = client.get(reverse("admin:batchops_batch_change", args=["b-0"])).content.decode()
    assert '<input type="hidden" name="expires_on_zone" value="Etc/GMT+5">' in page
    assert 'data-value="2026-11-25 07:00" data-offset="-18000"' in page, "in 24 hours"
    assert "Times are in Etc/GMT+5." in page
    response = batch_page(client, expires_on="2027-01-31T08:00", expires_on_zone="Etc/GMT+5")
    preview = client.get(response["Location"]).content.decode()
    assert "31 Jan 2027 08:00 UTC-05 (13:00 UTC), in Etc/GMT+5" in preview
    assert '<input type="hidden" name="starts_at_zone" value="Etc/GMT+5">' in preview


def test_a_form_means_the_zone_it_was_shown_in(client: Client, door: Any) -> None:
    page = client.get(reverse("admin:batchops_batch_change", args=["b-0"])).content.decode()
    assert '<input type="hidden" name="expires_on_zone" value="Europe/Berlin">' in page
    client.cookies["time_zone"] = "America/New_York"
    response = door(client, expires_on="2027-01-31T08:00", expires_on_zone=BERLIN)
    change = Change.objects.get()
    assert change.patch.expires_on == utc(2027, 1, 31, 7)
    preview = client.get(response["Location"]).content.decode()
    assert "31 Jan 2027 08:00 CET (07:00 UTC), in Europe/Berlin" in preview
    assert "Expire on 31 Jan 2027 08:00 CET" in preview
    assert '<input type="hidden" name="starts_at_zone" value="Europe/Berlin">' in preview
    assert "Times are in Europe/Berlin." in preview


def test_the_preview_keeps_the_zone_from_page_to_page(client: Client, door: Any) -> None:
    for number in range(40):
        world.batch(f"c-{number}")
    draft = world.draft(User.objects.get(), BatchPatch(expires_on=utc(2027, 1, 31, 7)))
    address = reverse("admin:batchops_change_preview", args=[draft.pk])
    page = client.get(f"{address}?zone=Asia/Tokyo").content.decode()
    assert "zone=Asia%2FTokyo&amp;p=2" in page
    assert '<input type="hidden" name="zone" value="Asia/Tokyo">' in page
    assert client.get(f"{address}?zone=Mars/Olympus").status_code == 400


def test_an_hour_that_comes_twice_is_asked_about_and_can_be_expressed(
    client: Client, door: Any
) -> None:
    page = door(client, expires_on=TWICE, expires_on_zone=BERLIN)
    assert "02:30 comes twice on 31 Oct 2027 in Europe/Berlin" in page.content.decode()
    assert '<option value="7200">02:30 CEST (00:30 UTC)</option>' in page.content.decode()
    assert '<option value="3600">02:30 CET (01:30 UTC)</option>' in page.content.decode()
    assert not Change.objects.exists()
    for offset, hour in (("7200", 0), ("3600", 1)):
        Change.objects.all().delete()
        door(client, expires_on=TWICE, expires_on_zone=BERLIN, expires_on_offset=offset)
        assert Change.objects.get().patch.expires_on == utc(2027, 10, 31, hour, 30)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"expires_on": SKIPPED}, "02:30 does not exist on 28 Mar 2027 in Europe/Berlin"),
        ({"expires_on": TWICE, "expires_on_offset": "0"}, "comes twice"),
        ({"expires_on": TWICE, "expires_on_offset": "9" * 5_000}, "comes twice"),
        ({"expires_on": "2027-01-31T08:00", "expires_on_zone": "Mars/X"}, "does not exist"),
        ({"expires_on": "9999-12-31T23:59", "expires_on_zone": "America/Lima"}, "the calendar"),
        ({"expires_on": "10000-01-01T00:00"}, "such as 2027-01-31 08:00"),
        ({"expires_on": "0001-01-01T00:00", "expires_on_zone": "Asia/Tokyo"}, "the calendar"),
    ],
)
def test_a_time_that_means_nothing_is_refused_at_its_field(
    client: Client, door: Any, given: dict[str, str], words: str
) -> None:
    page = door(client, **{"expires_on_zone": BERLIN, **given})
    assert words in str(page.context["form"].errors["expires_on"])
    assert not Change.objects.exists()


@pytest.mark.parametrize(
    ("now", "choice", "expected"),
    [
        (utc(2027, 10, 30, 12), "day", utc(2027, 10, 31, 12)),
        (utc(2027, 3, 27, 12), "day", utc(2027, 3, 28, 12)),
        (utc(2027, 10, 28, 12), "week", utc(2027, 11, 4, 12)),
        (utc(2027, 10, 31, 12), "today", utc(2027, 10, 31, 22, 59)),
        (utc(2027, 10, 30, 22, 30), "today", utc(2027, 10, 31, 22, 59)),
    ],
)
def test_a_preset_is_as_long_as_it_says(
    client: Client, door: Any, now: dt.datetime, choice: str, expected: dt.datetime
) -> None:
    with time_machine.travel(now, tick=False):
        client.force_login(User.objects.get())
        client.cookies["time_zone"] = "Pacific/Apia"
        door(client, expiry=choice, expires_on_zone=BERLIN)
        assert Change.objects.get().patch.expires_on == expected


def test_a_button_into_the_repeated_hour_says_which_of_the_two(client: Client) -> None:
    world.batches(1)
    draft = world.draft(User.objects.get())
    for now, offset in ((utc(2027, 10, 30, 22, 30), "7200"), (utc(2027, 10, 30, 23, 30), "3600")):
        with time_machine.travel(now, tick=False), timezone.override(BERLIN):
            client.force_login(User.objects.get())
            page = client.get(reverse("admin:batchops_change_preview", args=[draft.pk]))
            two_hours = page.context["form"].ends[0]
            assert (two_hours.value, two_hours.offset) == (TWICE, offset)
            assert f'data-offset="{offset}">In 2 hours' in page.content.decode()


@pytest.mark.parametrize("name", ["starts_at", "resume_at"])
def test_a_schedule_and_the_end_of_a_pause_mean_the_zone_of_their_form(
    client: Client, operator: User, name: str
) -> None:
    world.batches(1)
    draft = world.draft(operator)
    address = reverse("admin:batchops_change_preview", args=[draft.pk])
    why = {"reason": "why", "seen": draft.fingerprint}
    given = {**why, name: TWICE, f"{name}_zone": BERLIN}
    client.cookies["time_zone"] = "America/New_York"
    page = client.post(address, given)
    assert f'<select name="{name}_offset" data-offset' in page.content.decode()
    assert "comes twice" in str(page.context["form"].errors[name])
    confirmed = client.post(address, {**given, f"{name}_offset": "3600"}, follow=True)
    assert getattr(Change.objects.get(), name) == utc(2027, 10, 31, 1, 30)
    assert "01:30 UTC" in confirmed.content.decode()


def test_the_end_of_a_pause_is_moved_in_the_zone_of_its_form(
    client: Client, operator: User
) -> None:
    world.batches(1)
    pause = world.ended(operator)
    address = reverse("admin:batchops_change_do", args=[pause.pk, "move-end"])
    client.cookies["time_zone"] = "Asia/Tokyo"
    end = {"resume_at": "2027-10-31T02:30", "resume_at_zone": BERLIN, "resume_at_offset": "7200"}
    client.post(address, end)
    pause.refresh_from_db()
    assert pause.resume_at == utc(2027, 10, 31, 0, 30)
    client.cookies["time_zone"] = BERLIN
    page = client.get(reverse("admin:batchops_change_change", args=[pause.pk])).content.decode()
    assert '<option value="7200" selected>02:30 CEST (00:30 UTC)</option>' in page
    client.post(address, {"resume_at": SKIPPED, "resume_at_zone": BERLIN})
    page = client.get(reverse("admin:batchops_change_change", args=[pause.pk])).content.decode()
    assert "02:30 does not exist on 28 Mar 2027" in page


def test_days_of_the_trail_are_those_of_the_address_that_is_shared(
    client: Client, auditor: User
) -> None:
    entry = write(at=utc(2026, 11, 20, 23, 30))
    client.force_login(auditor)
    trail = reverse("admin:batchops_auditentry_changelist")
    page = client.get(trail, {"since": "2026-11-21", "until": "2026-11-21"})
    assert [one.pk for one in page.context["page"].entries] == [entry.pk]
    assert parse_qs(page.context["query"])["zone"] == [BERLIN]
    client.cookies["time_zone"] = "America/New_York"
    shared = client.get(f"{trail}?{page.context['query']}")
    assert [one.pk for one in shared.context["page"].entries] == [entry.pk]
    assert "Days begin and end in the time zone Europe/Berlin." in shared.content.decode()
    day = {"since": "2026-11-21", "until": "2026-11-21"}
    assert not client.get(trail, day).context["page"].entries
    wrong = client.get(trail, {"since": "2026-11-21", "zone": "Mars/Olympus"})
    assert "time zone of this form does not exist" in wrong.content.decode()
    assert "Days begin and end in the time zone America/New_York." in wrong.content.decode()
    assert 'name="zone" value="America/New_York"' in wrong.content.decode(), "to be sent again"
    report = reverse("admin:batchops_auditentry_report")
    made = client.get(report, {**day, "zone": BERLIN})
    assert made.context["report"].total.entries == 1
    (link,) = (
        part.split('"')[0].replace("&amp;", "&")
        for part in made.content.decode().split('href="')
        if "since=2026-11-21" in part.split('"')[0] and "campaign_id" not in part.split('"')[0]
    )
    assert parse_qs(urlsplit(link).query)["zone"] == [BERLIN]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("9999-12-31T23:59-05:00", "lies beyond the calendar"),
        ("0001-01-01T00:00+05:00", "lies beyond the calendar"),
        ("10000-01-01T00:00Z", "is not a date and time"),
        ("2027-10-31T02:30", "lacks a time zone"),
    ],
)
@pytest.mark.parametrize("option", ["--expires-on", "--at"])
def test_on_the_command_line_it_is_said_what_is_wrong(
    operator: User, option: str, given: str, words: str
) -> None:
    world.batches(1)
    with pytest.raises(CommandError, match=words):
        call_command("change", "--pause", option, given, "--all", "--reason", "x", "--as", "olivia")


def test_clearing_the_expiry_under_an_automatic_rate_is_warned_about(
    client: Client, operator: User, capsys: pytest.CaptureFixture[str]
) -> None:
    world.batch("b-0", auto_call_rate=True, expires_on=utc(2027, 1, 1))
    world.batch("b-1", expires_on=utc(2027, 1, 1))
    page = client.get(reverse("admin:batchops_batch_change", args=["b-0"])).content.decode()
    assert "automatic, which needs an expiry" in page
    other = client.get(reverse("admin:batchops_batch_change", args=["b-1"])).content.decode()
    assert "automatic, which needs an expiry" not in other
    warning = "The call rate of 1 batch is automatic, which needs an expiry"
    draft = world.draft(operator, BatchPatch(expires_on=CLEAR))
    address = reverse("admin:batchops_change_preview", args=[draft.pk])
    assert warning in client.get(address).content.decode()
    both = world.draft(operator, BatchPatch(expires_on=CLEAR, auto_call_rate=False))
    address = reverse("admin:batchops_change_preview", args=[both.pk])
    assert warning not in client.get(address).content.decode()
    call_command(
        *("change", "--clear-expiry", "--all", "--reason", "x", "--as", "olivia", "--dry-run")
    )
    assert warning in capsys.readouterr().out


def test_undoing_what_gave_an_expiry_under_an_automatic_rate_is_warned_about(
    client: Client, operator: User
) -> None:
    world.batch("b-0", auto_call_rate=True)
    done = world.ended(operator, BatchPatch(expires_on=utc(2027, 1, 1)))
    response = client.post(reverse("admin:batchops_change_do", args=[done.pk, "undo"]))
    page = client.get(response["Location"]).content.decode()
    assert "The call rate of 1 batch is automatic, which needs an expiry" in page
