"""How the batch list looks: a line a batch, columns and rows a page as each person chose them."""

from __future__ import annotations

import datetime as dt
import html
import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from batchops.admin.batches.batch_list import DEFAULT_COLUMNS
from batchops.models import Batch, Change
from batchops.saved_views.models import ListSettings
from tests.services.changes import world

pytestmark = pytest.mark.django_db

LIST = reverse("admin:batchops_batch_changelist")
LOOK = reverse("admin:batchops_batch_look")


@pytest.fixture
def client(client: Client, operator: User) -> Client:
    client.force_login(operator)
    return client


def drawn(client: Client) -> set[str]:
    return set(re.findall(r'<th scope="col"[^>]* class="field-(\w+)', page(client)))


def page(client: Client, query: str = "") -> str:
    return client.get(f"{LIST}?{query}").content.decode()


def state_of(client: Client, **fields: Any) -> str:
    """What the column State says of a batch, read out."""
    Batch.objects.all().delete()
    world.batch("b-1", **fields)
    cell = re.search(r'<td[^>]* class="field-state">(.*?)</td>', page(client), re.DOTALL)
    assert cell
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", cell[1])).split())


def test_the_state_is_one_word_and_what_else_is_to_be_known(client: Client) -> None:
    now = timezone.now()
    assert state_of(client) == "Active"
    assert state_of(client, paused=True, status="PAUSED") == "Paused outside batchops"
    assert state_of(client, paused=True, status="FAILED") == "Failed Paused outside batchops"
    assert state_of(client, paused=None) == "Active whether it is paused is not stated"
    assert state_of(client, paused=False, status="PAUSED") == (
        "Paused but the vendor says that it is not paused"
    )
    assert state_of(client, id_shared_since=now, changed_externally_at=now) == (
        "Active Id in several campaigns Changed outside"
    )


def test_a_long_reason_is_read_out_and_shown_on_hover_in_full(
    client: Client, operator: User
) -> None:
    world.batch("b-1")
    change = world.ended(operator, batches=Batch.objects.filter(pk="b-1"))
    reason = "the list is wrong " * 15
    ahead = dt.datetime(2027, 1, 4, 8, tzinfo=dt.UTC)
    Change.objects.filter(pk=change.pk).update(reason=reason, resume_at=ahead)
    shown = page(client)
    assert f'title="Paused by olivia until 4 Jan 2027 08:00 UTC: {reason}"' in shown
    assert f": <bdi>{reason.strip()}" in shown


def test_columns_and_rows_a_page_are_kept_for_each_person_alone(
    client: Client, approver: User
) -> None:
    for number in range(25):
        world.batch(f"b-{number:02}")
    assert drawn(client) == DEFAULT_COLUMNS | {"action_checkbox"}
    chosen = {"column": ["created", "state", "nonsense"], "page_size": "20", "query": "show=on"}
    response = client.post(LOOK, chosen)
    assert response["Location"] == f"{LIST}?show=on"
    assert drawn(client) == {"action_checkbox", "identity", "created", "state"}
    assert len(client.get(LIST).context["cl"].result_list) == 20
    other = Client()
    other.force_login(approver)
    assert drawn(other) == DEFAULT_COLUMNS
    client.post(LOOK, {"reset": "1"})
    assert drawn(client) == DEFAULT_COLUMNS | {"action_checkbox"}


def test_what_cannot_be_kept_leaves_things_as_they_are(client: Client) -> None:
    for size in ("1000000", "", "x"):
        client.post(LOOK, {"column": ["created"], "page_size": size})
    assert not ListSettings.objects.exists()
    assert client.get(LOOK).status_code == 405
    client.force_login(User.objects.create_user("nina", is_staff=True))
    assert client.post(LOOK, {"page_size": "20"}).status_code == 403


def test_an_address_sorts_alike_for_everybody(client: Client, operator: User, viewer: User) -> None:
    for name, rate in (("a", 3), ("b", 1), ("c", 2)):
        world.batch(name, call_rate=rate)
    client.post(LOOK, {"column": ["rate"], "page_size": "20"})
    heading = re.search(r'href="([^"]*)">An hour', page(client))
    assert heading
    sorted_by_rate = html.unescape(heading[1])
    for person in (operator, viewer):
        client.force_login(person)
        rows = client.get(f"{LIST}{sorted_by_rate}").context["cl"].result_list
        assert [row.pk for row in rows] == ["b", "c", "a"]
    kept = f'name="o" value="{sorted_by_rate.partition("o=")[2]}"'
    assert kept in page(client, sorted_by_rate[1:])
