"""Instants as the vendor may write them."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchops.syllable.instants import format_instant, parse_instant, same_instant

NOON = dt.datetime(2027, 1, 1, 12, tzinfo=dt.UTC)
INSTANTS = st.datetimes(timezones=st.just(dt.UTC))


@pytest.mark.parametrize(
    "text",
    [
        "2027-01-01T12:00:00Z",
        "2027-01-01T12:00:00+00:00",
        "2027-01-01T12:00:00",
        "2027-01-01 12:00:00",
        "2027-01-01T12:00:00.000Z",
        "2027-01-01T14:00:00+02:00",
        "2026-12-31T23:30:00-12:30",
    ],
)
def test_one_instant_has_many_spellings(text: str) -> None:
    assert parse_instant(text) == NOON
    assert parse_instant(text).tzinfo is dt.UTC


@pytest.mark.parametrize(
    "text",
    ["", "soon", "2027-13-01T00:00:00Z", "2027-01-01T25:00:00Z", "0001-01-01T00:00:00+14:00"],
)
def test_what_is_no_instant_is_shown_in_the_error(text: str) -> None:
    with pytest.raises(ValueError, match="is not an ISO 8601 date and time"):
        parse_instant(text)


@given(st.text())
def test_any_text_is_an_instant_or_a_value_error(text: str) -> None:
    try:
        assert parse_instant(text).tzinfo is dt.UTC
    except ValueError as error:
        assert len(str(error)) < 800


@given(INSTANTS)
def test_an_instant_survives_being_written_and_read(instant: dt.datetime) -> None:
    text = format_instant(instant)
    assert text.endswith("Z")
    assert parse_instant(text) == instant


def test_an_instant_is_written_in_utc_without_empty_fractions() -> None:
    local = dt.datetime(2027, 1, 1, 14, tzinfo=dt.timezone(dt.timedelta(hours=2)))
    assert format_instant(local) == "2027-01-01T12:00:00Z"
    assert format_instant(NOON.replace(microsecond=5)) == "2027-01-01T12:00:00.000005Z"


def test_instants_are_compared_to_the_second() -> None:
    assert same_instant(NOON, NOON + dt.timedelta(microseconds=999_999))
    assert not same_instant(NOON, NOON + dt.timedelta(seconds=1))
    assert same_instant(None, None)
    assert not same_instant(NOON, None)
    assert not same_instant(None, NOON)
