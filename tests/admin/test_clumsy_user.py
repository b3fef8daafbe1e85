"""What people mistype, paste, forge or send twice never breaks a page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from batchops.models import Change
from batchops.syllable.patch import BatchPatch
from tests.services.changes import world

pytestmark = pytest.mark.django_db

WORDS: Final = ("\0", "%", "\N{RIGHT-TO-LEFT OVERRIDE}<x>'%", "(a+)+$", "9" * 5_000)
NUMBERS: Final = ("-1", "9" * 30, "9" * 5_000, "NaN", "1e400", "\0")
MOMENTS: Final = ("0001-01-01", "9999-12-31", "9" * 30, "\0")
CHOICES: Final = ("\0", "9" * 30)
"""What gets as far as a query where such is asked for, and may be more than a database takes."""
HARD_FOR_A_DATABASE: Final = tuple(dict.fromkeys(WORDS + NUMBERS + MOMENTS))
HARD_FOR_A_PERSON: Final = (
    *("abc", "2026-02-30T25:61", "\N{ARABIC-INDIC DIGIT THREE}", "1_0", "[]", "a " * 999),
    *("2b1f6f0c-7a55-4c8e-9a39-000000000000", " \u2028 "),
)
RUBBISH: Final = (*HARD_FOR_A_DATABASE, *HARD_FOR_A_PERSON)
QUESTIONS: Final[dict[str, dict[tuple[str, ...], Sequence[str]]]] = {
    "batch": {
        ("q", "label", "pasted"): WORDS,
        ("p", "o", "campaign"): NUMBERS,
        ("show", "status", "mode", "paused_by", "all", "batch_id", "e", "_facets"): CHOICES,
    },
    "campaign": {("q",): WORDS, ("p", "o"): NUMBERS, ("mode", "id"): CHOICES},
    "change": {
        ("q", "person"): WORDS,
        ("p", "o"): NUMBERS,
        ("what", "state__exact", "source__exact", "created", "reason"): CHOICES,
    },
    "syncrun": {("p", "o"): NUMBERS, ("q", "state__exact", "kind__exact", "error"): CHOICES},
    "auditentry": {
        ("search", "person", "batch_id"): WORDS,
        ("campaign_id", "p", "before", "after", "change_id"): NUMBERS,
        ("since", "until"): MOMENTS,
        ("group", "action", "outcome", "origin", "failed", "not_reviewed"): CHOICES,
    },
}
"""What every list may be asked, with what is hard to answer."""
PAGES: Final = {
    "batch": ("change/", "history/", "counts/"),
    "campaign": ("change/", "history/"),
    "change": ("", "change/", "history/", "preview/", "state/"),
    "syncrun": ("change/", "history/"),
    "auditentry": ("change/", "history/", "delete/"),
}
"""The pages of each thing, below its key."""
KEYS: Final = (
    *("%00", "-1", "--7", "9" * 19, "9" * 30, "9" * 4_400, "x", "_5F", "%FF", "add"),
    "00000000-0000-0000-0000-000000000007",
)
FINE: Final = (200, 302, 400, 403, 404)
ENDS_OF_TIME: Final = (
    "9999-12-31T23:59:59",
    "9999-12-31T23:59",
    "0001-01-01T00:00",
    "0001-01-01T00:00:01",
)
ZONES: Final = ("Pacific/Kiritimati", "America/Los_Angeles", "UTC")


@pytest.fixture
def client(client: Client, administrator: User) -> Client:
    client.force_login(administrator)
    return client


@pytest.fixture
def ran(administrator: User) -> Change:
    """A pause that was carried out, over two batches."""
    world.batches(2)
    return world.ended(administrator)


def test_every_list_stands_every_query(client: Client, ran: Change) -> None:
    for model, questions in QUESTIONS.items():
        for names, values in questions.items():
            all_stand(client, reverse(f"admin:batchops_{model}_changelist"), names, values)


@pytest.mark.once  # No value of these that is taken is more than any database takes.
def test_every_list_stands_what_is_hard_for_a_person(client: Client, ran: Change) -> None:
    for model, questions in QUESTIONS.items():
        address = reverse(f"admin:batchops_{model}_changelist")
        for names in questions:
            # Two of those that are read alike are as good as all.
            all_stand(client, address, names[:2], HARD_FOR_A_PERSON)


def all_stand(client: Client, address: str, names: Sequence[str], values: Sequence[str]) -> None:
    for name in names:
        for value in values:
            status = client.get(address, {name: value}).status_code
            assert status in FINE, (address, name, value)


def test_the_pages_of_a_change_stand_every_query(client: Client, ran: Change) -> None:
    for name in ("change", "state"):
        address = reverse(f"admin:batchops_change_{name}", args=[ran.pk])
        all_stand(client, address, ("outcome", "q", "p"), RUBBISH)


def test_an_address_with_any_key_is_found_or_not(client: Client, ran: Change) -> None:
    for model, pages in PAGES.items():
        for key in KEYS:
            for page in pages:
                address = f"/batchops/{model}/{key}/{page}"
                assert client.get(address, follow=True).status_code in FINE, address


def posts(ran: Change, draft: Change) -> Iterator[str]:
    """Every address that takes what a form sends."""
    for name in ("paste", "changelist"):
        yield reverse(f"admin:batchops_batch_{name}")
    yield reverse("admin:batchops_batch_change", args=["b-0"])
    yield reverse("admin:batchops_change_emergency")
    yield reverse("admin:batchops_change_emergency", args=[10**25])
    yield reverse("admin:batchops_syncrun_now")
    for name in ("review", "draw", "sign_off", "export"):
        yield reverse(f"admin:batchops_auditentry_{name}")
    for change in (ran, draft):
        yield reverse("admin:batchops_change_preview", args=[change.pk])
        for action in ("stop", "continue", "approve", "reject", "move-end", "cancel-end", "no"):
            yield reverse("admin:batchops_change_do", args=[change.pk, action])


FIELDS: Final = (
    *("action", "_selected_action", "select_across", "index", "apply", "expiry", "expires_on"),
    *("rate", "call_rate", "paused", "auto_call_rate", "reason", "reference", "starts_at"),
    *("resume_at", "typed_count", "comment", "batch_ids", "kind", "next", "entry", "scope"),
    *("sample", "size", "since", "until", "campaign", "byte_order_mark"),
)


def test_every_form_stands_every_body(client: Client, administrator: User, ran: Change) -> None:
    for value in HARD_FOR_A_DATABASE:
        draft = world.draft(administrator, BatchPatch(paused=False))
        all_take(client, posts(ran, draft), dict.fromkeys(FIELDS, value))


@pytest.mark.once  # No value of these that is taken is more than any database takes.
def test_every_form_stands_what_is_hard_for_a_person(
    client: Client, administrator: User, ran: Change
) -> None:
    for body in ({}, *(dict.fromkeys(FIELDS, value) for value in HARD_FOR_A_PERSON)):
        draft = world.draft(administrator, BatchPatch(paused=False))
        all_take(client, posts(ran, draft), body)


def all_take(client: Client, addresses: Iterable[str], body: dict[str, str]) -> None:
    for address in addresses:
        assert client.post(address, body).status_code in FINE, (address, body)
    for action in ("pause", "set_expiry", "set_call_rate", "refresh"):
        address = reverse("admin:batchops_batch_changelist")
        assert client.post(address, body | {"action": action}).status_code in FINE, (action, body)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("moment", ENDS_OF_TIME)
def test_every_date_field_stands_the_ends_of_the_calendar(
    client: Client, administrator: User, ran: Change, zone: str, moment: str
) -> None:
    client.cookies["time_zone"] = zone
    draft = world.draft(administrator)
    ends: list[tuple[str, dict[str, Any]]] = [
        (reverse("admin:batchops_batch_change", args=["b-0"]), {"expiry": "at"}),
        (reverse("admin:batchops_change_do", args=[ran.pk, "move-end"]), {}),
        (reverse("admin:batchops_change_preview", args=[draft.pk]), {"reason": "wrong list"}),
        (
            reverse("admin:batchops_batch_changelist"),
            {"action": "set_expiry", "apply": "1", "expiry": "at", "_selected_action": "b-0"},
        ),
    ]
    for address, more in ends:
        given = dict.fromkeys(("expires_on", "starts_at", "resume_at"), moment)
        if "expiry" in more:
            given = {"expires_on": moment}
        response = client.post(address, given | more)
        assert response.status_code in (200, 302), address
        if "/preview/" in response.get("Location", ""):
            review = response["Location"]
            assert client.get(review).status_code == 200
            assert client.post(review, {"reason": "never"}).status_code in (200, 302)


NO_NUMBERS: Final = ("1_0", "3.0", "\N{ARABIC-INDIC DIGIT THREE}", "\uff13", "3e0", "0x3", "+3")
"""What Python, or Django, would read as a number."""


@pytest.mark.once  # Refused before any query.
@pytest.mark.parametrize("number", NO_NUMBERS)
def test_only_digits_are_a_number(client: Client, ran: Change, number: str) -> None:
    world.campaign(3)
    world.campaign(10)
    fields: list[tuple[str, dict[str, Any]]] = [
        (reverse("admin:batchops_batch_change", args=["b-0"]), {"rate": "set"}),
        (
            reverse("admin:batchops_batch_changelist"),
            {"action": "set_call_rate", "apply": "1", "_selected_action": "b-0", "index": "0"},
        ),
    ]
    for address, more in fields:
        page = client.post(address, {**more, "call_rate": number})
        assert "Enter a whole number." in page.content.decode()
    page = client.post(
        reverse("admin:batchops_change_emergency"), {"campaign": number}, follow=True
    )
    assert f"There is no campaign {number}." in page.content.decode()
    assert Change.objects.count() == 1


@pytest.mark.once  # Refused before any query.
@pytest.mark.parametrize("name", ["reason", "batch_ids"])
def test_a_field_of_megabytes_is_refused_with_words(
    client: Client, administrator: User, ran: Change, name: str
) -> None:
    draft = world.draft(administrator, BatchPatch(paused=False))
    for address in posts(ran, draft):
        response = client.post(address, {name: "x" * 10 * 2**20})
        assert response.status_code in (*FINE, 413), address
        if response.status_code == 413:
            assert "Send less than 8 MB at a time." in response.content.decode()
    assert Change.objects.count() == 2


@pytest.mark.once  # Refused before any query.
@pytest.mark.parametrize("model", QUESTIONS)
def test_bytes_that_are_no_text_are_no_fault(client: Client, ran: Change, model: str) -> None:
    address = reverse(f"admin:batchops_{model}_changelist")
    for query in ("q=%ED%A0%80", "%ED%A0%80=1", "q=%FF%FE", "show=%C0%80", "p=%ED%A0%80"):
        assert client.get(f"{address}?{query}").status_code in FINE, query
