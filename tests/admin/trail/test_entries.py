"""The list of the trail, the page of one entry, and the page of a person."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from batchops.models import Action, AuditEntry, AuditHead, Campaign, Change
from batchops.services.proof import anchoring
from batchops.services.trail import search
from tests.admin.trail.trail import VALUES, address, write

pytestmark = pytest.mark.django_db

CHANGE = uuid.UUID("1b4e28ba-2fa1-41d2-883f-0016d3cca427")
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    '=HYPERLINK("http://192.0.2.1","x")',
    "\u202egnp.exe \u05d0\u05d1\u05d2",
    "{{ 7|add:7 }}{% now 'Y' %}",
    "z" * 5_000,
]


@pytest.fixture
def reader(client: Client, auditor: User) -> Client:
    client.force_login(auditor)
    # Signing in is an entry too; these tests look at their own.
    return client


def shown(reader: Client, **query: object) -> list[int]:
    """The sequences that the list shows, without those of signing in."""
    page = reader.get(address(**query)).context["page"]
    return [entry.pk for entry in page.entries if not entry.action.startswith("account.")]


def test_each_row_says_in_a_sentence_what_happened_and_what_differs(reader: Client) -> None:
    write()
    page = reader.get(address()).content.decode()
    assert "olivia paused 20260324.9 · wrong list · applied" in page
    assert "not paused" in page
    assert "Call rate" not in page
    assert "HTTP 200" in page


def test_times_are_the_readers_with_utc_on_hover(reader: Client) -> None:
    write(at=dt.datetime(2026, 3, 24, 23, 30, tzinfo=dt.UTC))
    reader.cookies["time_zone"] = "Europe/Berlin"
    page = reader.get(address()).content.decode()
    assert 'title="2026-03-24 23:30:00 UTC">25 Mar 2026 00:30 CET<' in page


def test_each_filter_leaves_only_what_it_names(reader: Client) -> None:
    Campaign.objects.create(id=8, synced_at=timezone.now(), observed_at=timezone.now())
    plain = write()
    cases: list[tuple[dict[str, str], AuditEntry]] = [
        ({"person": "oscar"}, write(name="oscar")),
        ({"group": "sync"}, write(Action.SYNC_FAILED, outcome="failed")),
        ({"action": Action.CHANGE_STOPPED}, write(Action.CHANGE_STOPPED)),
        ({"batch_id": "a/b?c#d%2F"}, write(batch_id="a/b?c#d%2F")),
        ({"campaign_id": "8"}, write(campaign_id=8)),
        ({"change_id": str(CHANGE)}, write(change_id=CHANGE)),
        ({"outcome": "refused"}, write(Action.BATCH_REFUSED, outcome="refused")),
        ({"origin": "outside"}, write(Action.BATCH_CHANGED_OUTSIDE, outcome="outside")),
    ]
    for query, expected in cases:
        assert shown(reader, **query) == [expected.pk]
    failed = {
        entry.pk for query, entry in cases if query in ({"group": "sync"}, {"outcome": "refused"})
    }
    assert set(shown(reader, failed="on")) == failed
    inside = shown(reader, origin="inside")
    assert plain.pk in inside
    assert cases[-1][1].pk not in inside


def test_days_are_whole_days_of_the_readers_zone(reader: Client) -> None:
    reader.cookies["time_zone"] = "Europe/Berlin"
    midnight = dt.datetime(2026, 3, 23, 23, tzinfo=dt.UTC)
    before = write(at=midnight - dt.timedelta(seconds=1))
    first = write(at=midnight)
    last = write(at=midnight + dt.timedelta(hours=23, minutes=59))
    after = write(at=midnight + dt.timedelta(hours=24))
    assert shown(reader, since="2026-03-24", until="2026-03-24") == [last.pk, first.pk]
    assert before.pk not in shown(reader, since="2026-03-24")
    assert after.pk not in shown(reader, until="2026-03-24")


def test_a_search_finds_reasons_references_and_batches(reader: Client, operator: User) -> None:
    change = Change.objects.create(
        reason="Clinic is closed",
        reference="OPS-99",
        source=Change.Source.FORM,
        requested_by=operator,
        requested_by_name="olivia",
        created_at=timezone.now(),
    )
    entry = write(change_id=change.pk, reason=change.reason, reference=change.reference)
    write(batch_id="other")
    assert shown(reader, search="clinic is") == [entry.pk]
    assert shown(reader, search="OPS-99") == [entry.pk]
    assert shown(reader, search=str(change.pk)) == [entry.pk]
    assert shown(reader, search="nothing like it") == []


@pytest.mark.parametrize(
    ("query", "field", "message"),
    [
        ({"since": "2026-03-24", "until": "2026-03-20"}, "until", "before the first day"),
        ({"since": "24/03/2026"}, "since", "YYYY-MM-DD"),
        ({"until": "9999-12-31"}, "until", "between 2 and 9998"),
        ({"group": "weather"}, "group", "weather is not known here"),
        ({"action": "future.thing"}, "action", "future.thing is not known here"),
        ({"outcome": "teleported"}, "outcome", "teleported is not known here"),
        ({"campaign_id": "12; DROP"}, "campaign_id", "is not known here"),
        ({"change_id": "1b4e"}, "change_id", "whole id"),
        ({"origin": "moon"}, "origin", "moon is not known here"),
        ({"before": "x"}, "before", "whole number"),
        ({"after": "-4"}, "after", "greater than or equal to 1"),
        ({"search": "x" * 256}, "search", "at most 255"),
        ({"person": "a\x00b"}, "person", "Null characters"),
        ({"colour": "red"}, "__all__", "There is no filter named “colour”"),
    ],
)
def test_a_filter_that_cannot_be_used_says_why_and_shows_nothing(
    reader: Client, query: dict[str, str], field: str, message: str
) -> None:
    write()
    response = reader.get(address(**query))
    assert response.status_code == 200
    assert message in str(response.context["filter"].errors[field])
    assert "20260324.9" not in response.content.decode()


def test_pages_lead_to_older_entries_and_back_and_keep_the_filter(reader: Client) -> None:
    entries = [write(reference=str(number)).pk for number in range(search.PAGE_SIZE + 10)]
    first = reader.get(address(person="olivia"))
    assert [entry.pk for entry in first.context["page"].entries] == entries[:-51:-1]
    older = first.context["page"].before
    assert f"?person=olivia&amp;before={older}" in first.content.decode()
    second = reader.get(address(person="olivia", before=older))
    assert [entry.pk for entry in second.context["page"].entries] == entries[9::-1]
    newer = second.context["page"].after
    assert f"?person=olivia&amp;after={newer}" in second.content.decode()
    assert shown(reader, person="olivia", after=newer) == entries[:-51:-1]


def test_the_number_of_queries_does_not_grow_with_the_entries(reader: Client) -> None:
    def count() -> int:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert reader.get(address()).status_code == 200
        return len(queries)

    write(change_id=CHANGE)
    few = count()
    for number in range(45):
        write(batch_id=str(number), change_id=CHANGE)
    assert count() <= few
    assert few <= 25


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_shown_as_text(reader: Client, text: str) -> None:
    short = text[:90]
    entry = write(
        name=text,
        batch_id=text[:255],
        campaign_name=text,
        reason=text,
        reference=short,
        before={"status": text, text[:200]: "x"},
        after={"status": "ACTIVE", text[:200]: text},
        detail={"message": text, "why": text, text[:200]: [text]},
    )
    for where in (
        address(),
        address("change", entry.pk),
        address("person", name=entry.actor_name),
        address("report"),
    ):
        response = reader.get(where)
        page = response.content.decode()
        assert response.status_code == 200
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert "{{ 7|add:7 }}" in page or "add:7" not in text
        assert len(page) < 120_000


def test_an_entry_of_a_newer_version_stays_readable(reader: Client) -> None:
    entry = write(
        "future.thing",
        outcome="teleported",
        before=[1, 2],
        after="moon",
        detail={"shape": {"of": ["things", None, 1]}},
    )
    for where in (address(), address("change", entry.pk), address("person", name="olivia")):
        page = reader.get(where).content.decode()
        assert "future.thing" in page
        assert "teleported" in page


def test_an_entry_shows_all_that_it_holds_and_its_place_in_the_chain(reader: Client) -> None:
    write()
    entry = write(change_id=CHANGE)
    write()
    page = reader.get(address("change", entry.pk)).content.decode()
    for text in (
        *("olivia", "192.0.2.7", "batch.applied", "HTTP 200", "20260324.9", "Spring reminders"),
        *("wrong list", "OPS-17", str(CHANGE), entry.hash, entry.previous_hash),
        *("Its hash matches its content.", "It follows the entry before.", "builds on it."),
        *("None is recorded.", "None was signed since this entry.", "Not yet"),
    ):
        assert text in page
    assert f"of {AuditHead.objects.get().sequence}" in page


def test_an_entry_says_by_which_signed_head_it_is_covered(reader: Client) -> None:
    entry = write()
    anchoring.anchor_head()
    anchor = AuditEntry.objects.get(action=Action.AUDIT_ANCHORED)
    page = reader.get(address("change", entry.pk))
    assert page.context["anchored"] == anchor
    assert "it is covered" in page.content.decode()


@pytest.mark.parametrize("sequence", ["999999", "0", "-1", "abc", "9" * 30, "1_0", "\u0661"])
def test_an_entry_that_does_not_exist_is_not_found(reader: Client, sequence: str) -> None:
    write()
    assert reader.get(address("change", sequence)).status_code == 404


def test_a_person_is_shown_with_what_they_did_and_nothing_of_others(
    reader: Client, operator: User
) -> None:
    mine, _other = write(), write(name="oscar", reason="not hers")
    response = reader.get(address("person", name="olivia"))
    assert [entry.pk for entry in response.context["page"].entries] == [mine.pk]
    page = response.content.decode()
    assert "Operator" in page
    assert "not hers" not in page


def test_a_person_nobody_knows_has_an_empty_page(reader: Client) -> None:
    page = reader.get(address("person", name="nobody & <none>")).content.decode()
    assert "The trail has no entry of this person." in page
    assert "<none>" not in page


def test_a_person_without_a_name_is_not_found(reader: Client) -> None:
    assert reader.get(address("person")).status_code == 404


@pytest.mark.parametrize("moved", [{"expires_on": "2026-12-01T10:00:00Z"}, {"call_rate": 120}])
def test_only_the_fields_that_differ_are_listed(reader: Client, moved: dict[str, Any]) -> None:
    write(before=VALUES, after={**VALUES, **moved})
    page = reader.get(address()).content.decode()
    assert page.count("difference-label") == 1


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"auto_call_rate": None}, {"auto_call_rate": False}),
        ({"expires_on": "2026-12-01T10:00:00Z"}, {"expires_on": "2026-12-01T11:00:00+01:00"}),
    ],
)
def test_two_ways_to_write_one_value_are_no_difference(
    reader: Client, before: dict[str, Any], after: dict[str, Any]
) -> None:
    write(before=before, after=after)
    assert "difference-label" not in reader.get(address()).content.decode()
