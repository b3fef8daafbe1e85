"""What reviewers ask of the trail: filters, search, pages, sentences."""

from __future__ import annotations

import datetime as dt
import uuid

import pytest
import time_machine
from hypothesis import given
from hypothesis import strategies as st

from batchops import audit
from batchops.models import Action, AuditEntry, Batch, Campaign, Change
from batchops.services.errors import InvalidInput
from batchops.services.trail import search
from batchops.services.trail.search import entries, page, people
from batchops.services.trail.sentences import differences, sentence
from batchops.services.trail.trail_filter import TrailFilter
from tests.audit import trail

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_trail")]


def numbers(trail_filter: TrailFilter) -> list[int]:
    """The sequences that a filter finds, the same by pages and as a whole."""
    found, before = [], None
    while True:
        shown = page(trail_filter, before=before, size=3)
        found += [entry.sequence for entry in shown.entries]
        before = shown.before
        if before is None:
            break
    assert found == list(entries(trail_filter).values_list("sequence", flat=True))
    return found


def record(*facts: audit.Fact) -> None:
    audit.record_now(*facts)


def a_change(reason: str, reference: str = "") -> uuid.UUID:
    change = Change.objects.create(
        reason=reason,
        reference=reference,
        source=Change.Source.ACTION,
        requested_by_name="olivia",
        created_at=trail.MOMENT,
    )
    return change.pk


# Filters -------------------------------------------------------------------------------------


def test_each_filter_finds_what_it_names() -> None:
    change = uuid.uuid4()
    amir = audit.Actor("amir")
    record(
        trail.fact(0),
        audit.Fact(Action.CHANGE_APPROVED, amir, change_id=change),
        trail.fact(1, batch_id="X", campaign_id=4),
        audit.Fact(Action.BATCH_CHANGED_OUTSIDE, audit.Actor("console"), outcome="outside"),
        trail.fact(2, outcome="refused"),
        audit.Fact(Action.ACCESS_DENIED, amir, outcome="denied"),
    )
    assert numbers(TrailFilter()) == [6, 5, 4, 3, 2, 1]
    assert numbers(TrailFilter(person="amir")) == [6, 2]
    assert numbers(TrailFilter(group="batch")) == [5, 4, 3, 1]
    assert numbers(TrailFilter(group="change")) == [2]
    assert numbers(TrailFilter(group="no such")) == []
    assert numbers(TrailFilter(action="access.denied")) == [6]
    assert numbers(TrailFilter(action="of.a.newer.version")) == []
    assert numbers(TrailFilter(batch_id="X")) == [3]
    assert numbers(TrailFilter(campaign_id=4)) == [3]
    assert numbers(TrailFilter(change_id=change)) == [2]
    assert numbers(TrailFilter(outcome="refused")) == [5]
    assert numbers(TrailFilter(origin="outside")) == [4]
    assert numbers(TrailFilter(origin="inside")) == [6, 5, 3, 2, 1]
    assert numbers(TrailFilter(failed=True)) == [6, 5]
    assert numbers(TrailFilter(failed=True, group="batch")) == [5]
    assert numbers(TrailFilter(failed=True, person="amir", group="access")) == [6]
    assert people() == ["amir", "console", "olivia"]


def test_a_period_holds_its_first_instant_and_not_its_end() -> None:
    days = [dt.datetime(2026, 3, day, tzinfo=dt.UTC) for day in range(1, 6)]
    for day in days:
        with time_machine.travel(day, tick=False):
            trail.fill(1)
    assert numbers(TrailFilter(since=days[1], until=days[3])) == [3, 2]
    assert numbers(TrailFilter(since=days[4])) == [5]
    assert numbers(TrailFilter(until=days[0])) == []
    assert numbers(TrailFilter(since=days[4] + dt.timedelta(days=9))) == []


def test_entries_of_hosts_whose_clocks_differ_a_little_are_found() -> None:
    for second in (0, 40, 20, 60):
        with time_machine.travel(trail.MOMENT + dt.timedelta(seconds=second), tick=False):
            trail.fill(1)
    since = trail.MOMENT + dt.timedelta(seconds=30)
    assert numbers(TrailFilter(since=since)) == [4, 2]
    assert numbers(TrailFilter(until=since)) == [3, 1]


def test_a_search_finds_batches_changes_reasons_and_references() -> None:
    campaign = Campaign.objects.create(id=1, synced_at=trail.MOMENT, observed_at=trail.MOMENT)
    for batch_id in ("20260324.1", "20260324.12", "20260401.1"):
        Batch.objects.create(
            batch_id=batch_id,
            campaign=campaign,
            synced_at=trail.MOMENT,
            observed_at=trail.MOMENT,
        )
    wrong, other = a_change("Wrong list", "T-1"), a_change("too fast", "T-22")
    record(
        trail.fact(0, batch_id="20260324.1", change_id=wrong),
        trail.fact(0, batch_id="20260324.12", change_id=other),
        trail.fact(0, batch_id="20260401.1"),
        audit.Fact(Action.CHANGE_FINISHED, trail.OLIVIA, change_id=wrong),
    )
    assert numbers(TrailFilter(search="20260401.1")) == [3]
    assert numbers(TrailFilter(search="20260324.1")) == [2, 1]
    assert numbers(TrailFilter(search="wrong LIST")) == [4, 1]
    assert numbers(TrailFilter(search="T-22")) == [2]
    assert numbers(TrailFilter(search=str(wrong))) == [4, 1]
    assert numbers(TrailFilter(search="wrong", batch_id="20260324.1")) == [1]
    assert numbers(TrailFilter(search="nothing of the kind")) == []
    assert numbers(TrailFilter(search="%")) == []


def test_a_search_that_matches_too_much_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "MOST_MATCHES", 2)
    for number in range(3):
        record(trail.fact(0, change_id=a_change(f"wrong list {number}")))
    assert page(TrailFilter(search="wrong")).capped
    assert not page(TrailFilter(search="list 1")).capped


def test_pages_lead_to_older_and_newer_entries_and_back() -> None:
    trail.fill(8)
    first = page(TrailFilter(), size=3)
    assert [entry.sequence for entry in first.entries] == [8, 7, 6]
    assert (first.before, first.after) == (6, None)
    second = page(TrailFilter(), before=first.before, size=3)
    assert [entry.sequence for entry in second.entries] == [5, 4, 3]
    last = page(TrailFilter(), before=second.before, size=3)
    assert [entry.sequence for entry in last.entries] == [2, 1]
    assert last.before is None
    back = page(TrailFilter(), after=last.after, size=3)
    assert back.entries == second.entries


# Words and bad input -------------------------------------------------------------------------


def test_a_filter_says_in_words_what_is_chosen() -> None:
    assert TrailFilter().describe() == "everything"
    chosen = TrailFilter(person="olivia", since=trail.MOMENT, failed=True, search="50 % off")
    assert chosen.describe() == (
        "person: olivia; from: 2026-03-24T06:00:00Z; only what failed: yes; search: 50 % off"
    )


def test_a_period_upside_down_is_refused() -> None:
    with pytest.raises(InvalidInput, match="swap the two dates") as caught:
        TrailFilter(since=trail.MOMENT, until=trail.MOMENT)
    assert caught.value.field == "until"


# Sentences -----------------------------------------------------------------------------------


def test_an_entry_reads_as_a_sentence() -> None:
    trail.fill(1, batch_id="20260324.9")
    assert sentence(AuditEntry.objects.get()) == "olivia paused 20260324.9 · wrong list · applied"


@pytest.mark.parametrize(
    ("fact", "read"),
    [
        (
            audit.Fact(
                Action.BATCH_REFUSED,
                trail.OLIVIA,
                outcome="refused",
                batch_id="20260324.9",
                http_status=409,
                detail={"requested": {"paused": True}},
            ),
            "olivia asked to pause: 20260324.9 · refused by the vendor · HTTP 409",
        ),
        (
            audit.Fact(Action.BATCH_CHANGED_OUTSIDE, audit.Actor("console"), batch_id="9.1"),
            "console changed, outside batchops, 9.1",
        ),
        (
            audit.Fact(Action.ACCOUNT_CREATED, audit.Actor("ada"), detail={"account": "olga"}),
            "ada created the account olga",
        ),
        (audit.Fact("planet.exploded", audit.Actor("ada")), "ada: planet.exploded"),
        (
            audit.Fact("batch.evaporated", audit.Actor("ada"), batch_id="9.1", outcome="gone"),
            "ada: batch.evaporated 9.1 · gone",
        ),
        (
            audit.Fact(Action.SYNC_FAILED, audit.Actor("")),
            "Somebody could not sync with the vendor",
        ),
    ],
)
def test_sentences_of_many_kinds(fact: audit.Fact, read: str) -> None:
    record(fact)
    assert sentence(AuditEntry.objects.get()) == read


@pytest.mark.parametrize("action", Action.values)
def test_every_action_has_a_sentence_of_its_own(action: str) -> None:
    record(audit.Fact(action, trail.OLIVIA, batch_id="9.1"))
    assert not sentence(AuditEntry.objects.get()).startswith("olivia: ") or action in (
        "batch.applied",
        "batch.not_applied",
        "batch.refused",
        "batch.failed",
        "batch.unchanged",
        "batch.conflict",
        "batch.skipped",
        "batch.stopped",
        "batch.postponed",
    )


@given(
    text=st.text(max_size=300),
    value=st.none() | st.integers() | st.text() | st.lists(st.integers()),
)
def test_no_entry_breaks_its_sentence(text: str, value: object) -> None:
    entry = AuditEntry(
        sequence=1,
        action=text,
        actor_name=text,
        reason=text,
        outcome=text,
        before=value,
        after=value,
        detail=value,
    )
    line = sentence(entry)
    assert "\n" not in line
    assert "\u202e" not in line
    assert differences(entry) == []


def test_only_what_differs_is_shown_in_words() -> None:
    trail.fill(
        1,
        before={"paused": False, "expires_on": None, "call_rate": 5, "status": "ACTIVE"},
        after={"paused": True, "expires_on": "2026-04-01T06:00:00Z", "call_rate": 5, "new": [1]},
    )
    found = {d.field: (d.before, d.after) for d in differences(AuditEntry.objects.get())}
    assert found == {
        "paused": ("not paused", "paused"),
        "expires_on": ("never", "1 Apr 2026 06:00 UTC"),
        "status": ("ACTIVE", "\u2013"),
        "new": ("\u2013", "1"),
    }
