"""Before what is weighty the password is asked for again; what the form held goes on with it."""

from __future__ import annotations

import datetime as dt
import html
import re
from collections.abc import Iterator
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import Group, User
from django.http import HttpResponse
from django.test import Client
from pytest_django import Settings

from batchops.models import AuditEntry, Batch, Campaign, Change, ChangeState
from batchops.services.changes import drafts
from tests.audit.trail import MOMENT
from tests.audit.world import as_
from tests.services.changes.world import PAUSE, RESUME

pytestmark = pytest.mark.django_db

NEW = {"username": "olga", "password1": "a-long-passphrase-9", "password2": "a-long-passphrase-9"}
PASSWORD = {"password_as_proof": "password"}


@pytest.fixture
def clock() -> Iterator[Any]:
    with time_machine.travel(MOMENT, tick=False) as clock:
        yield clock


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def asks(response: Any) -> bool:
    return b"Is it you?" in response.content


def hidden_fields(response: Any) -> dict[str, list[str]]:
    """What the page carries on, as a browser would send it."""
    fields: dict[str, list[str]] = {}
    page = response.content.decode().partition('class="proof"')[2]
    for name, value in re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page):
        fields.setdefault(name, []).append(html.unescape(value))
    fields.pop("csrfmiddlewaretoken", None)
    return fields


def test_a_fresh_sign_in_is_proof_for_ten_minutes(administrator: User, clock: Any) -> None:
    client = signed_in(administrator)
    clock.shift(dt.timedelta(minutes=9))
    assert client.post("/auth/user/add/", NEW).status_code == 302
    clock.shift(dt.timedelta(minutes=2))
    assert asks(client.post("/auth/user/add/", NEW | {"username": "otto"}))
    assert not User.objects.filter(username="otto").exists()


def test_the_right_password_goes_on_with_all_that_was_sent(administrator: User, clock: Any) -> None:
    client = signed_in(administrator)
    clock.shift(dt.timedelta(minutes=11))
    groups = [str(pk) for pk in Group.objects.values_list("pk", flat=True)]
    name = 'a "quoted" <name> & ümläut\r\nof two lines'
    sent = {"name": name, "permissions": ["1", "2"], "more": groups}
    page = client.post("/auth/group/add/?_popup=1", sent)
    assert hidden_fields(page) == {**sent, "name": [name]}
    assert 'action="/auth/group/add/?_popup=1"' in page.content.decode()
    assert client.post("/auth/group/add/", hidden_fields(page) | PASSWORD).status_code == 302
    assert Group.objects.get(name=name).permissions.count() == 2
    entry = AuditEntry.objects.get(action="account.proved")
    assert (entry.actor_name, entry.outcome) == ("ada", "ok")
    clock.shift(dt.timedelta(minutes=9))
    assert client.post("/auth/group/add/", {"name": "next"}).status_code == 302


def test_a_wrong_one_does_nothing_and_is_held_back_like_a_sign_in(
    administrator: User, clock: Any
) -> None:
    client = signed_in(administrator)
    clock.shift(dt.timedelta(minutes=11))
    for _ in range(5):
        page = client.post("/auth/user/add/", NEW | {"password_as_proof": "guessed"})
        assert "This is not your password." in page.content.decode()
    page = client.post("/auth/user/add/", NEW | PASSWORD)
    assert "Too many tries" in page.content.decode()
    assert "guessed" not in str(list(AuditEntry.objects.values()))
    assert AuditEntry.objects.filter(action="account.proved", outcome="denied").count() == 5
    assert not User.objects.filter(username="olga").exists()


def test_every_change_of_an_account_asks_and_a_denied_one_is_denied_without_asking(
    administrator: User, operator: User, viewer: User, clock: Any
) -> None:
    client, other = signed_in(administrator), signed_in(viewer)
    clock.shift(dt.timedelta(minutes=11))
    page = f"/auth/user/{operator.pk}"
    joined = {"date_joined_0": "2026-03-24", "date_joined_1": "06:00:00"}
    delete = {"action": "delete_selected", "_selected_action": [operator.pk], "post": "yes"}
    for address, form in (
        (f"{page}/change/", {"username": "olivia", **joined}),
        (f"{page}/password/", {"password1": "a-long-pass-9-x", "password2": "a-long-pass-9-x"}),
        (f"{page}/delete/", {"post": "yes"}),
        ("/auth/user/", delete),
    ):
        assert asks(client.post(address, form)), address
        assert other.post(address, form).status_code == 403
    operator.refresh_from_db()
    assert operator.is_active


@pytest.fixture
def batches(db: None) -> None:
    seen = {"synced_at": MOMENT, "observed_at": MOMENT}
    campaign = Campaign.objects.create(id=1, **seen)
    for number in range(3):
        Batch.objects.create(
            batch_id=f"b-{number}", campaign=campaign, status="ACTIVE", paused=number < 2, **seen
        )


def confirm(client: Client, change: Change) -> HttpResponse:
    form = {"reason": "list corrected", "seen": change.fingerprint}
    return client.post(f"/batchops/change/{change.pk}/preview/", form)  # type: ignore[return-value]


def test_a_large_release_asks_a_small_one_and_every_pause_do_not(
    operator: User, batches: None, settings: Settings, clock: Any
) -> None:
    settings.REAUTH_ABOVE = 1
    client = signed_in(operator)
    clock.shift(dt.timedelta(minutes=11))
    source = {"source": Change.Source.ACTION, **as_(operator)}
    two = drafts.draft(Batch.objects.filter(paused=True), RESUME, **source)
    one = drafts.draft(Batch.objects.filter(pk="b-0"), RESUME, **source)
    pause = drafts.draft(Batch.objects.filter(paused=False), PAUSE, **source)
    assert asks(confirm(client, two))
    assert confirm(client, one).status_code == 302
    assert confirm(client, pause).status_code == 302
    assert client.post("/batchops/change/emergency/").status_code == 302
    two.refresh_from_db()
    assert two.state == ChangeState.DRAFT


def test_approving_and_exporting_ask(
    operator: User, approver: User, auditor: User, batches: None, settings: Settings, clock: Any
) -> None:
    settings.APPROVAL_FOR = "all"
    change = drafts.draft(
        Batch.objects.filter(paused=True), RESUME, source=Change.Source.ACTION, **as_(operator)
    )
    assert confirm(signed_in(operator), change).status_code == 302
    change.refresh_from_db()
    client, reader = signed_in(approver), signed_in(auditor)
    clock.shift(dt.timedelta(minutes=11))
    approve, seen = f"/batchops/change/{change.pk}/do/approve/", {"seen": change.fingerprint}
    assert asks(client.post(approve, seen))
    assert client.post(approve, seen | PASSWORD).status_code == 302
    change.refresh_from_db()
    assert change.state == ChangeState.QUEUED
    export = "/batchops/auditentry/export/"
    assert asks(reader.post(export, {"kind": "csv"}))
    answer = reader.post(export, {"kind": "csv", **PASSWORD})
    assert answer["Content-Disposition"].startswith("attachment")
