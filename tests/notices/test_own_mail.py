"""Mail of one's own: what is in one's inbox, from how much it matters, and not at quiet hours."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from batchops import audit
from batchops.notices import kinds, raising
from batchops.notices.channels import delivery, own_mail, quiet_hours
from batchops.notices.kinds import Kind, Raised, always
from batchops.notices.models import Channel, Delivery, Severity
from batchops.services.errors import InvalidInput

pytestmark = pytest.mark.django_db

PAGE = reverse("admin:notices_mail")


def want(user: User, least: int | None = Severity.WARNING, **more: Any) -> Channel:
    fields = {"quiet_from": None, "quiet_until": None, "zone": "Europe/Berlin", **more}
    wanted = own_mail.Wanted(least, **fields)
    return own_mail.save(user, wanted, actor=audit.Actor.of_user(user))


def tell(user: User, kind: Kind = kinds.FAILED, about: str = "1") -> None:
    people = frozenset({user.pk})
    raising.raise_all([Raised(kind, about, always(f"for {user}"), "/x/", people=people)])


def test_a_person_gets_their_own_and_nothing_of_others_or_that_matters_less(
    operator: User, approver: User
) -> None:
    for user in (operator, approver):
        want(user)
    tell(operator)
    tell(operator, kinds.FINISHED, "less")
    for channel in Channel.objects.all():
        delivery.deliver_by(channel.pk)
    [sent] = mail.outbox
    assert sent.to == ["olivia@example.com"]
    assert "for olivia" in sent.subject


def test_the_address_is_that_of_the_account_as_it_is_when_it_is_sent(operator: User) -> None:
    channel = want(operator)
    tell(operator)
    User.objects.filter(pk=operator.pk).update(email="new@example.com")
    delivery.deliver_by(channel.pk)
    assert mail.outbox[0].to == ["new@example.com"]
    tell(operator, about="2")
    User.objects.filter(pk=operator.pk).update(is_active=False)
    delivery.deliver_by(channel.pk)
    assert len(mail.outbox) == 1
    assert "not active" in Delivery.objects.latest("pk").error


def test_who_wants_no_mail_any_more_gets_none_not_even_what_waits(operator: User) -> None:
    channel = want(operator)
    tell(operator)
    want(operator, None)
    tell(operator, about="2")
    assert not Delivery.objects.exists()
    assert delivery.deliver_by(channel.pk) == 0


@pytest.mark.parametrize(
    ("begin", "end", "at", "due"),
    [
        ("22:00", "07:00", "2026-03-24T23:30+01:00", "2026-03-25T07:00+01:00"),
        ("22:00", "07:00", "2026-03-25T03:00+01:00", "2026-03-25T07:00+01:00"),
        ("22:00", "07:00", "2026-03-25T07:00+01:00", "2026-03-25T07:00+01:00"),
        ("22:00", "07:00", "2026-03-28T23:00+01:00", "2026-03-29T07:00+02:00"),
        ("12:00", "13:00", "2026-03-24T12:59+01:00", "2026-03-24T13:00+01:00"),
        ("12:00", "13:00", "2026-03-24T11:59+01:00", "2026-03-24T11:59+01:00"),
        ("12:00", "12:00", "2026-03-24T12:00+01:00", "2026-03-24T12:00+01:00"),
    ],
)
def test_quiet_hours_end_by_the_clock_on_the_wall(
    operator: User, begin: str, end: str, at: str, due: str
) -> None:
    first, last = dt.time.fromisoformat(begin), dt.time.fromisoformat(end)
    channel = want(operator, quiet_from=first, quiet_until=last)
    found = quiet_hours.after(channel, dt.datetime.fromisoformat(at))
    assert found == dt.datetime.fromisoformat(due)


def test_in_quiet_hours_only_what_is_urgent_is_sent_and_before_what_waits(operator: User) -> None:
    local = timezone.now().astimezone(quiet_hours.zone_of("Europe/Berlin"))
    begin, end = (local - dt.timedelta(hours=2)).time(), (local + dt.timedelta(hours=2)).time()
    channel = want(operator, quiet_from=begin, quiet_until=end)
    tell(operator)
    tell(operator, kinds.HALTED)
    assert delivery.deliver_by(channel.pk) == 1
    assert "Urgent" in mail.outbox[0].subject
    Delivery.objects.update(due_at=timezone.now())
    assert delivery.deliver_by(channel.pk) == 1


def test_what_cannot_be_is_refused_at_its_field(operator: User) -> None:
    with pytest.raises(InvalidInput) as error:
        want(operator, quiet_from=dt.time(22))
    assert error.value.field == "quiet_until"
    operator.email = ""
    with pytest.raises(InvalidInput) as error:
        want(operator)
    assert error.value.field == "least_severity"
    assert not Channel.objects.exists()


def test_the_page_keeps_what_was_chosen_in_the_readers_zone(operator: User) -> None:
    client = Client()
    client.force_login(operator)
    client.cookies["time_zone"] = "Europe/Berlin"
    form = {"least_severity": "10", "quiet_from": "22:00", "quiet_until": "06:30"}
    assert client.post(PAGE, form).status_code == 302
    kept = Channel.objects.get(owner=operator)
    assert (kept.least_severity, kept.zone) == (10, "Europe/Berlin")
    page = client.get(PAGE).content.decode()
    assert 'value="22:00"' in page
    assert "Give both times" in client.post(PAGE, {**form, "quiet_until": ""}).content.decode()
    assert client.post(PAGE, {**form, "least_severity": "11"}).status_code == 200
    assert client.post(PAGE, {"least_severity": ""}).status_code == 302
    kept.refresh_from_db()
    assert not kept.is_active


def test_nobody_keeps_the_mail_of_another_as_a_channel(operator: User, administrator: User) -> None:
    channel = want(operator)
    client = Client()
    client.force_login(administrator)
    for rest in ("", "test/", "again/"):
        address = reverse("admin:notices_channel", args=[channel.pk]) + rest
        assert client.post(address, {}).status_code == 404
    listed = client.get(reverse("admin:notices_channels")).content.decode()
    assert channel.name not in listed
