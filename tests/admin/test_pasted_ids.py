"""Pasted lists of batch ids: nothing is dropped in silence, and what was found can be acted on."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchops.models import Change, PastedIds
from batchops.services import selection
from batchops.services.errors import InvalidInput
from tests.changes import world

pytestmark = pytest.mark.django_db

LIST = reverse("admin:batchops_batch_changelist")
PASTE = reverse("admin:batchops_batch_paste")


@pytest.fixture
def client(client: Client, operator: User) -> Client:
    client.force_login(operator)
    return client


def test_unknown_and_repeated_ids_are_named_and_counted(client: Client, operator: User) -> None:
    world.batches(3)
    response = client.post(PASTE, {"batch_ids": 'b-0\n\n "b-1" \r\nb-0\nghost-7\nb-2;b-1,\n'})
    pasted = PastedIds.objects.get()
    assert response["Location"] == f"{LIST}?pasted={pasted.pk}"
    assert pasted.found == ["b-0", "b-1", "b-2"]
    assert pasted.unknown == ["ghost-7"]
    assert pasted.duplicates == ["b-0", "b-1"]
    assert pasted.surplus == 2
    page = client.get(response["Location"]).content.decode()
    assert "<strong>3 batches</strong> found" in page
    assert "ghost-7" in page
    assert "2 repeated" in page


def test_a_separator_inside_a_known_id_does_not_cut_it(operator: User) -> None:
    world.batch("spring, part 2")
    world.batch("a b")
    pasted = selection.keep("spring, part 2\na b\nx, a b", operator)
    assert pasted.found == ["a b", "spring, part 2"]
    assert pasted.unknown == ["x"]
    assert pasted.duplicates == ["a b"]


def test_all_of_a_pasted_list_can_be_acted_on(client: Client) -> None:
    world.batches(60)
    world.batch("gone", status="CANCELED")
    names = [f"b-{number}" for number in range(55)]
    response = client.post(PASTE, {"batch_ids": "\n".join([*names, "gone", "ghost"])})
    data = {"action": "pause", "index": "0", "select_across": "1", "_selected_action": ["b-0"]}
    client.post(response["Location"], data)
    change = Change.objects.get()
    assert change.item_count == 56
    assert change.items.filter(plan="skip").count() == 1
    assert change.selection == "All that match (pasted list: 56 found, 1 unknown)"


def test_a_list_belongs_to_the_person_who_pasted_it(client: Client, approver: User) -> None:
    world.batch()
    address = client.post(PASTE, {"batch_ids": "b-1"})["Location"]
    client.force_login(approver)
    page = client.get(address)
    assert list(page.context["cl"].result_list) == []
    assert b"not there any more" in page.content


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Paste at least one batch id."),
        ("  \n\n ", "Paste at least one batch id."),
        (" , ;\t", "Paste at least one batch id."),
        ("x\n" * 100_001, "These are 100,001 ids. Paste at most 100,000 at a time."),
        (",".join(["x"] * 100_002), "These are 100,002 ids."),
    ],
)
def test_a_bad_list_is_refused_at_its_field(client: Client, text: str, message: str) -> None:
    page = client.post(PASTE, {"batch_ids": text})
    assert message in str(page.context["form"].errors["batch_ids"])
    assert not PastedIds.objects.exists()


def test_a_hundred_thousand_ids_are_taken(operator: User) -> None:
    world.batches(20)
    lines = [f"b-{number % 50_000}" for number in range(100_000)]
    pasted = selection.keep("\n".join(lines), operator)
    assert pasted.found_count == 20
    assert len(pasted.unknown) == 50_000 - 20
    assert pasted.surplus == 50_000
    assert selection.batches_of(pasted).count() == 20


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=80))
def test_whatever_is_pasted_adds_up(operator: User, text: str) -> None:
    try:
        pasted = selection.keep(text, operator)
    except InvalidInput as error:
        assert error.field == "batch_ids"
        return
    assert pasted.found_count == 0
    assert set(pasted.duplicates) <= set(pasted.unknown)
    assert len(set(pasted.unknown)) == len(pasted.unknown) > 0
