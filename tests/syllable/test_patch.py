"""What one change asks of a batch: as a PUT body, in words, stored, and held against a batch."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from batchops.syllable.patch import (
    CLEAR,
    LEAVE,
    PATCH_FIELDS,
    BatchPatch,
    InvalidPatch,
    Values,
    describe_instant,
    describe_value,
)

NOW = dt.datetime(2026, 6, 1, 12, tzinfo=dt.UTC)
LATER = NOW + dt.timedelta(days=1)
MUCH_LATER = NOW + dt.timedelta(days=7)
EARLIER = NOW - dt.timedelta(days=1)

ZONES = st.sampled_from(
    [
        dt.UTC,
        ZoneInfo("Europe/Berlin"),
        ZoneInfo("America/New_York"),
        dt.timezone(dt.timedelta(hours=14)),
    ]
)
FIRST, LAST = (NOW.replace(year=year, tzinfo=None) for year in (1900, 9000))
INSTANTS = st.datetimes(FIRST, LAST, timezones=ZONES)
SWITCHES: st.SearchStrategy[Any] = st.sampled_from([LEAVE, True, False])
EXPIRIES = st.sampled_from([LEAVE, CLEAR]) | INSTANTS
RATES = st.sampled_from([LEAVE, CLEAR]) | st.integers(1, 3600)
VALUES = st.builds(
    Values,
    st.none() | st.booleans(),
    st.none() | st.datetimes(FIRST, LAST, timezones=st.just(dt.UTC)),
    st.none() | st.integers(1, 3600),
    st.none() | st.booleans(),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@st.composite
def patches(draw: st.DrawFn) -> BatchPatch:
    expires_on, auto_call_rate = draw(EXPIRIES), draw(SWITCHES)
    assume(not (auto_call_rate is True and expires_on is CLEAR))
    return BatchPatch(draw(SWITCHES), expires_on, draw(RATES), auto_call_rate)


@given(patches())
def test_the_body_omits_what_is_left_and_is_null_only_to_clear(patch: BatchPatch) -> None:
    body = json.loads(json.dumps(patch.body()))
    for field in PATCH_FIELDS:
        wish = getattr(patch, field)
        assert (field in body) == (wish is not LEAVE)
        assert (field in body and body[field] is None) == (wish is CLEAR)
    assert bool(body) == bool(patch) == bool(patch.touched)


@given(patches())
def test_a_patch_survives_being_stored(patch: BatchPatch) -> None:
    stored = json.loads(json.dumps(patch.to_json()))
    assert BatchPatch.from_json(stored) == patch
    assert hash(BatchPatch.from_json(stored)) == hash(patch)


@given(VALUES)
def test_values_survive_being_stored(values: Values) -> None:
    assert Values.from_json(json.loads(json.dumps(values.to_json()))) == values


@given(JSON | st.dictionaries(st.sampled_from(PATCH_FIELDS) | st.text(), JSON))
def test_any_json_is_a_patch_or_invalid(data: Any) -> None:
    try:
        patch = BatchPatch.from_json(data)
    except InvalidPatch as error:
        assert str(error)
        return
    assert set(patch.touched) == set(data)


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"paused": None}, "paused"),
        ({"paused": 1}, "paused"),
        ({"paused": "true"}, "paused"),
        ({"paused": "leave"}, "paused"),
        ({"auto_call_rate": None}, "auto_call_rate"),
        ({"auto_call_rate": 0}, "auto_call_rate"),
        ({"expires_on": "tomorrow"}, "expires_on"),
        ({"expires_on": 1_790_000_000}, "expires_on"),
        ({"expires_on": True}, "expires_on"),
        ({"expires_on": ["2027-01-01T00:00:00Z"]}, "expires_on"),
        ({"call_rate": True}, "call_rate"),
        ({"call_rate": 2.0}, "call_rate"),
        ({"call_rate": "25"}, "call_rate"),
        ({"call_rate": 0}, "call_rate"),
        ({"call_rate": 3601}, "call_rate"),
        ({"auto_call_rate": True, "expires_on": None}, "auto_call_rate"),
        ({"status": "PAUSED"}, "status"),
        ([], ""),
        (None, ""),
        ("paused", ""),
    ],
)
def test_an_invalid_patch_names_its_field(data: Any, field: str) -> None:
    with pytest.raises(InvalidPatch) as error:
        BatchPatch.from_json(data)
    assert error.value.field == field


def test_an_expiry_without_a_zone_is_invalid() -> None:
    with pytest.raises(InvalidPatch, match="time zone"):
        BatchPatch(expires_on=dt.datetime(2027, 1, 1))  # noqa: DTZ001


def test_an_expiry_beyond_the_calendar_is_invalid() -> None:
    west = dt.timezone(dt.timedelta(hours=-1))
    with pytest.raises(InvalidPatch, match="calendar"):
        BatchPatch(expires_on=dt.datetime.max.replace(tzinfo=west))


@pytest.mark.parametrize("rate", [1, 3600])
def test_the_bounds_of_a_rate_are_valid(rate: int) -> None:
    assert BatchPatch(call_rate=rate).body() == {"call_rate": rate}


def test_an_hour_that_happens_twice_is_the_instant_it_was_given_as() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    second_half_past_two = dt.datetime(2026, 10, 25, 2, 30, tzinfo=berlin, fold=1)
    patch = BatchPatch(expires_on=second_half_past_two)
    assert patch.body() == {"expires_on": "2026-10-25T01:30:00Z"}
    assert BatchPatch.from_json(patch.to_json()) == patch


@given(patches(), VALUES)
def test_a_batch_that_was_patched_is_as_wanted(patch: BatchPatch, before: Values) -> None:
    after = patch.applied_to(before)
    assert patch.is_satisfied_by(after)
    assert patch.unmet_by(after) == ()
    assert patch.unrequested(before, after) == ()
    assert patch.conflicts(before, after) == ()


@given(patches(), VALUES)
def test_nothing_conflicts_with_what_the_person_saw(patch: BatchPatch, seen: Values) -> None:
    assert patch.conflicts(seen, seen) == ()
    assert patch.unrequested(seen, seen) == ()


@given(patches(), VALUES, VALUES)
def test_what_is_met_or_unmet_or_conflicting_was_asked_for(
    patch: BatchPatch, seen: Values, now: Values
) -> None:
    assert set(patch.conflicts(seen, now)) <= set(patch.unmet_by(now)) <= set(patch.touched)
    assert not set(patch.unrequested(seen, now)) & set(patch.touched)


@given(patches(), VALUES)
def test_a_patch_can_be_reversed(patch: BatchPatch, before: Values) -> None:
    assume(not (before.auto_call_rate and before.expires_on is None))
    reverse = patch.reverse(before)
    assert reverse.touched == patch.touched
    restored = reverse.applied_to(patch.applied_to(before))
    assert patch.unrequested(before, restored) == ()
    for field in set(patch.touched) - {"paused", "auto_call_rate"}:
        assert getattr(restored, field) == getattr(before, field)
    for field in set(patch.touched) & {"paused", "auto_call_rate"}:
        assert bool(getattr(restored, field)) == bool(getattr(before, field))


def test_what_no_update_can_ask_for_cannot_be_put_back() -> None:
    with pytest.raises(InvalidPatch):
        BatchPatch(call_rate=5).reverse(Values(call_rate=0))


def test_a_field_that_someone_else_changed_conflicts() -> None:
    patch = BatchPatch(expires_on=LATER, paused=True)
    seen = Values(paused=False, expires_on=NOW)
    assert patch.conflicts(seen, Values(paused=False, expires_on=MUCH_LATER)) == ("expires_on",)
    assert patch.conflicts(seen, Values(paused=False, expires_on=LATER)) == ()
    assert patch.conflicts(seen, Values(paused=True, expires_on=NOW)) == ()
    assert patch.conflicts(seen, Values(paused=False, expires_on=NOW, call_rate=7)) == ()


def test_a_field_that_moved_by_itself_is_told() -> None:
    before = Values(paused=False, expires_on=NOW, call_rate=5)
    after = Values(paused=True, expires_on=None, call_rate=5)
    assert BatchPatch(paused=True).unrequested(before, after) == ("expires_on",)


def test_instants_are_met_to_the_second() -> None:
    patch = BatchPatch(expires_on=LATER + dt.timedelta(microseconds=400))
    assert patch.is_satisfied_by(Values(expires_on=LATER))
    assert not patch.is_satisfied_by(Values(expires_on=LATER + dt.timedelta(seconds=2)))
    assert not patch.is_satisfied_by(Values())


def test_automatic_call_rate_that_is_not_stated_is_off() -> None:
    assert BatchPatch(auto_call_rate=False).is_satisfied_by(Values(auto_call_rate=None))
    assert not BatchPatch(auto_call_rate=True).is_satisfied_by(Values(auto_call_rate=None))


def test_a_pause_that_is_not_stated_is_not_taken_for_granted() -> None:
    assert not BatchPatch(paused=False).is_satisfied_by(Values(paused=None))
    assert not BatchPatch(paused=True).is_satisfied_by(Values(paused=None))


@pytest.mark.parametrize(
    ("patch", "values", "expands_outreach"),
    [
        (BatchPatch(paused=True), Values(paused=False), False),
        (BatchPatch(paused=False), Values(paused=True), True),
        (BatchPatch(paused=False), Values(paused=None), True),
        (BatchPatch(paused=False), Values(paused=False), False),
        (BatchPatch(expires_on=MUCH_LATER), Values(expires_on=LATER), True),
        (BatchPatch(expires_on=LATER), Values(expires_on=MUCH_LATER), False),
        (BatchPatch(expires_on=LATER), Values(expires_on=EARLIER), True),
        (BatchPatch(expires_on=NOW), Values(expires_on=EARLIER), False),
        (BatchPatch(expires_on=LATER), Values(expires_on=None), False),
        (BatchPatch(expires_on=CLEAR), Values(expires_on=LATER), True),
        (BatchPatch(expires_on=CLEAR), Values(expires_on=None), False),
        (BatchPatch(call_rate=10), Values(call_rate=5), True),
        (BatchPatch(call_rate=5), Values(call_rate=10), False),
        (BatchPatch(call_rate=5), Values(call_rate=None), True),
        (BatchPatch(call_rate=CLEAR), Values(call_rate=5), True),
        (BatchPatch(call_rate=CLEAR), Values(call_rate=None), False),
        (BatchPatch(auto_call_rate=True), Values(auto_call_rate=None), True),
        (BatchPatch(auto_call_rate=False), Values(auto_call_rate=True), True),
        (BatchPatch(auto_call_rate=False), Values(auto_call_rate=None), False),
        (BatchPatch(), Values(), False),
    ],
)
def test_what_reaches_more_people_is_known(
    patch: BatchPatch, values: Values, expands_outreach: bool
) -> None:
    assert patch.expands_outreach(values, NOW) is expands_outreach


@given(patches(), VALUES)
def test_a_patch_that_reaches_more_people_on_some_batch_may_do_so_on_an_unknown_one(
    patch: BatchPatch, values: Values
) -> None:
    assert patch.may_expand_outreach(NOW) or not patch.expands_outreach(values, NOW)
    assert not BatchPatch(paused=True).may_expand_outreach(NOW)


def test_a_patch_speaks() -> None:
    patch = BatchPatch(paused=True, expires_on=dt.datetime(2027, 1, 1, 6, tzinfo=dt.UTC))
    assert patch.describe() == "pause, expire on 1 Jan 2027 06:00 UTC"
    assert patch.describe(ZoneInfo("Europe/Berlin")) == "pause, expire on 1 Jan 2027 07:00 CET"
    assert BatchPatch(paused=False, expires_on=CLEAR).describe() == "resume, clear the expiry"
    assert BatchPatch(call_rate=25, auto_call_rate=True).describe() == (
        "call rate 25 an hour, automatic call rate on"
    )
    assert BatchPatch(call_rate=CLEAR, auto_call_rate=False).describe() == (
        "clear the call rate, automatic call rate off"
    )
    assert BatchPatch().describe() == "nothing"


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("paused", True, "paused"),
        ("paused", False, "not paused"),
        ("paused", None, "not stated"),
        ("expires_on", None, "never"),
        ("expires_on", NOW, "1 Jun 2026 12:00 UTC"),
        ("call_rate", 25, "25 an hour"),
        ("call_rate", None, "campaign's rate"),
        ("auto_call_rate", True, "on"),
        ("auto_call_rate", False, "off"),
        ("auto_call_rate", None, "off"),
    ],
)
def test_each_value_speaks(field: str, value: Any, words: str) -> None:
    assert describe_value(field, value) == words


def test_seconds_are_told_only_where_there_are_some() -> None:
    assert describe_instant(NOW.replace(second=5)) == "1 Jun 2026 12:00:05 UTC"


def test_the_ends_of_the_calendar_can_be_told_in_any_zone() -> None:
    never = dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC)
    assert describe_instant(never, ZoneInfo("Asia/Tokyo")) == "31 Dec 9999 23:59:59 UTC"
