"""Wall times and the instants they mean: skipped, repeated, at the ends of the calendar."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchops.wall_times import (
    NoSuchTime,
    TwoSuchTimes,
    instant_of,
    instants_of,
    nearest,
    offset_of,
    zone_named,
)

BERLIN = ZoneInfo("Europe/Berlin")


def wall(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


zones = st.sampled_from(
    [
        ZoneInfo(name)
        for name in (
            *("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"),
            *("America/Havana", "Africa/Casablanca", "Pacific/Apia", "Pacific/Kiritimati"),
        )
    ]
)
walls = st.datetimes(wall("1990-01-01"), wall("2060-01-01")).map(
    lambda one: one.replace(microsecond=0)
)


def utc(*parts: int) -> dt.datetime:
    return dt.datetime(*parts, tzinfo=dt.UTC)  # type: ignore[misc,arg-type]


@given(instant=walls.map(lambda one: one.replace(tzinfo=dt.UTC)), zone=zones)
def test_every_instant_can_be_expressed(instant: dt.datetime, zone: ZoneInfo) -> None:
    shown = instant.astimezone(zone).replace(tzinfo=None, fold=0)
    assert instant in instants_of(shown, zone)
    assert instant_of(shown, zone, offset_of(instant, zone)) == instant


@given(shown=walls, zone=zones)
def test_a_time_means_what_the_clocks_show_or_is_refused(
    shown: dt.datetime, zone: ZoneInfo
) -> None:
    found = instants_of(shown, zone)
    for instant in found:
        assert instant.astimezone(zone).replace(tzinfo=None, fold=0) == shown
    if len(found) == 1:
        assert instant_of(shown, zone) == instant_of(shown, zone, 12_345) == found[0]
    else:
        with pytest.raises(TwoSuchTimes if found else NoSuchTime):
            instant_of(shown, zone)
    assert nearest(shown, zone) in found or not found


def test_the_hour_that_comes_twice_is_asked_about() -> None:
    shown = wall("2026-10-25T02:30")
    with pytest.raises(TwoSuchTimes, match="02:30 comes twice on 25 Oct 2026 in Europe/Berlin"):
        instant_of(shown, BERLIN)
    assert instant_of(shown, BERLIN, 7200) == utc(2026, 10, 25, 0, 30)
    assert instant_of(shown, BERLIN, 3600) == utc(2026, 10, 25, 1, 30)
    assert nearest(shown, BERLIN) == utc(2026, 10, 25, 0, 30)
    assert nearest(shown, BERLIN, last=True) == utc(2026, 10, 25, 1, 30)


def test_the_hour_that_is_skipped_is_refused_in_words() -> None:
    shown = wall("2026-03-29T02:30")
    with pytest.raises(NoSuchTime, match="02:30 does not exist on 29 Mar 2026 in Europe/Berlin"):
        instant_of(shown, BERLIN, 3600)
    assert nearest(shown, BERLIN) == utc(2026, 3, 29, 1, 30)


@pytest.mark.parametrize(
    ("shown", "zone"),
    [
        ("9999-12-31T23:30", "America/Los_Angeles"),
        ("0001-01-01T00:30", "Asia/Tokyo"),
    ],
)
def test_beyond_the_calendar_is_said(shown: str, zone: str) -> None:
    with pytest.raises(NoSuchTime, match=r"lies beyond the calendar"):
        instant_of(wall(shown), ZoneInfo(zone))


@pytest.mark.parametrize(
    "name", ["", "Mars/Olympus", "../../etc/passwd", "posixrules", "x" * 3000, "europe/berlin "]
)
def test_only_zones_of_the_list_are_zones(name: str) -> None:
    assert zone_named(name) is None
