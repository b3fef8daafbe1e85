"""The parts of pages that stay live: what is sent, when nothing is, and what it leaves alone."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from batchops.models import Batch
from tests.services.changes import world

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("running_worker")]

ASKED = {"X-Live": "parts"}
LIST = reverse("admin:batchops_change_changelist")


@pytest.fixture
def reader(client: Client, operator: User) -> Client:
    client.force_login(operator)
    return client


def parts(response: Any) -> dict[str, str]:
    assert response.headers["Content-Type"] == "application/json"
    found: dict[str, str] = response.json()["parts"]
    return found


def test_the_parts_of_a_page_are_what_the_page_shows(reader: Client, operator: User) -> None:
    world.batch()
    world.confirm(world.draft(operator), operator, reason="wrong list")
    for address, name in ((LIST, "rows"), (reverse("admin:index"), "overview")):
        page = reader.get(address).content.decode()
        part = parts(reader.get(address, headers=ASKED))[name]
        assert "wrong list" in part
        assert part.split("csrfmiddlewaretoken")[0] in page
        assert "<html" not in part


def test_nothing_is_sent_while_nothing_has_changed(reader: Client, operator: User) -> None:
    world.batch()
    first = reader.get(LIST, headers=ASKED)
    seen = {**ASKED, "If-None-Match": first.headers["ETag"]}
    again = reader.get(LIST, headers=seen)
    assert (again.status_code, again.content) == (304, b"")
    world.confirm(world.draft(operator), operator, reason="wrong list")
    changed = reader.get(LIST, headers=seen)
    assert "wrong list" in parts(changed)["rows"]
    assert "no-store" in changed.headers["Cache-Control"]
    assert "X-Live" in changed.headers["Vary"]


def test_what_a_page_has_to_tell_waits_for_the_page(reader: Client) -> None:
    reader.post(reverse("admin:batchops_change_emergency"))  # Nothing is live: it says so.
    assert "messagelist" not in str(parts(reader.get(LIST, headers=ASKED)))
    assert "There is nothing to pause" in reader.get(LIST).content.decode()


def test_parts_are_for_those_alone_who_may_see_the_page(client: Client, viewer: User) -> None:
    Batch.objects.all().delete()
    assert client.get(LIST, headers=ASKED).status_code == 302
    client.force_login(viewer)
    trail = reverse("admin:batchops_auditentry_changelist")
    assert client.get(trail, headers=ASKED).status_code == 403
    assert client.get(f"{LIST}?nonsense=1", headers=ASKED).status_code == 400
