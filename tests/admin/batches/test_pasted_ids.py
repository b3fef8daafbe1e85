"""Pasted lists of batch ids: nothing is dropped in silence, and what was found can be acted on."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from hypothesis import given, settings
from hypothesis import strategies as st

from batchops.models import Change, PastedIds
from batchops.services.changes import pasted_ids
from batchops.services.errors import InvalidInput
from tests.services.changes import world

pytestmark = pytest.mark.django_db

LIST = reverse("admin:batchops_batch_changelist")
PASTE = reverse("admin:batchops_batch_paste")


@pytest.fixture
def client(client: Client, operator: User) -> Client:
    client.force_login(operator)
    return client


def test_unknown_and_repeated_ids_are_named_and_counted(client: Client, operator: User) -> None:
    world.batches(3)
    response = client.post(PASTE, {"batch_ids": "b-0\n\nb-1\r\nb-0\nghost-7\nb-2\nb-1\n"})
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
    pasted = pasted_ids.keep("spring, part 2\na b\nx, a b", operator)
    assert pasted.found == ["a b", "spring, part 2"]
    assert pasted.unknown == ["x, a b"]
    assert pasted.look_alikes == {"x, a b": ["a b"]}


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
    assert change.selection == (
        "All that match (show: Everything, including deleted; pasted list: 56 found, 1 unknown)"
    )


def test_a_list_belongs_to_the_person_who_pasted_it(client: Client, approver: User) -> None:
    world.batch()
    address = client.post(PASTE, {"batch_ids": "b-1"})["Location"]
    client.force_login(approver)
    page = client.get(address)
    assert list(page.context["cl"].result_list) == []
    assert b"no longer there" in page.content


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Give at least one batch id."),
        ("  \n\n ", "Give at least one batch id."),
        ("x\n" * 100_001, "These are 100,001 ids. Give at most 100,000 at a time."),
        ("batch_id,name\nb-1", "Line 2 has 1 cells, and the heading 2."),
        ("batch_id;Batch ID\nb-1;b-1", "must name exactly one column batch_id"),
        ("name,batch_id\nx,", "Line 2 has no batch id."),
        ('{"batch_id": "b-1"}\nb-2', "Line 2 cannot be read: it is not JSON."),
        ('{"batch_id": 20261116.10}', "as a number 20261116.10 loses its zero"),
        ('{"batch_id": "a", "batch_id": "b"}', "batch_id is given more than once"),
    ],
)
def test_a_bad_list_is_refused_at_its_field(client: Client, text: str, message: str) -> None:
    page = client.post(PASTE, {"batch_ids": text})
    assert message in str(page.context["form"].errors["batch_ids"])
    assert not PastedIds.objects.exists()


def test_a_hundred_thousand_ids_are_taken(operator: User) -> None:
    world.batches(20)
    lines = [f"b-{number % 50_000}" for number in range(100_000)]
    pasted = pasted_ids.keep("\n".join(lines), operator)
    assert pasted.found_count == 20
    assert len(pasted.unknown) == 50_000 - 20
    assert pasted.surplus == 50_000
    assert pasted_ids.batches_of(pasted).count() == 20


def test_a_look_alike_is_a_question_and_never_an_answer(client: Client, operator: User) -> None:
    world.batch("X")
    world.batch("caf\u00e9")
    given = ['"X"', " X", "x", "X\u2028", "cafe\u0301", "X,Y"]
    address = client.post(PASTE, {"batch_ids": "\n".join(given)})["Location"]
    page = client.get(address)
    assert list(page.context["cl"].result_list) == []
    pasted = PastedIds.objects.get()
    assert pasted.unknown == given
    assert pasted.look_alikes == {
        **{name: ["X"] for name in given[:4]},
        "X,Y": ["X"],
        "cafe\u0301": ["caf\u00e9"],
    }
    assert "&#x27;cafe\\u0301&#x27;" in page.content.decode()
    assert "&#x27;caf\\xe9&#x27;" in page.content.decode()
    answered = client.post(PASTE, {"answers": str(pasted.pk), "also": ["X", "elsewhere"]})
    found = client.get(answered["Location"]).context["cl"].result_list
    assert {batch.pk for batch in found} == {"X"}
    assert PastedIds.objects.latest("pk").unknown == ["cafe\u0301"]


def test_only_the_latest_lists_of_a_person_are_kept(client: Client, operator: User) -> None:
    world.batch()
    for _ in range(pasted_ids.KEPT_LISTS + 3):
        last = client.post(PASTE, {"batch_ids": "b-1"})["Location"]
    assert PastedIds.objects.filter(user=operator).count() == pasted_ids.KEPT_LISTS
    assert client.get(last).context["cl"].result_count == 1


@settings(max_examples=60)
@given(text=st.text(max_size=80))
def test_whatever_is_pasted_adds_up(operator: User, text: str) -> None:
    try:
        pasted = pasted_ids.keep(text, operator)
    except InvalidInput as error:
        assert error.field == "batch_ids"
        return
    assert pasted.found_count == 0
    assert set(pasted.duplicates) <= set(pasted.unknown)
    assert len(set(pasted.unknown)) == len(pasted.unknown) > 0
