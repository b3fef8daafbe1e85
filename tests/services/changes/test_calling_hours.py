"""When a campaign calls, as far as it can be read."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from pytest_django import Settings

from batchops.models import Campaign
from batchops.services.mirror.campaign_calendar import CampaignCalendar, exceptions_in_words

TUESDAY_NOON = dt.datetime(2026, 11, 24, 12, tzinfo=dt.UTC)
EVERY_DAY = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def calendar(
    start: str = "09:00",
    end: str = "17:00",
    days: Any = EVERY_DAY,
    rules: Any = None,
    zone: str = "Europe/Berlin",
) -> CampaignCalendar:
    return CampaignCalendar.of(
        Campaign(
            daily_start_time=start,
            daily_end_time=end,
            active_days=list(days),
            outreach_override_rules=rules or {},
            time_zone=zone,
        )
    )


@pytest.fixture(autouse=True)
def tokyo(settings: Settings) -> None:
    settings.TIME_ZONE = "Asia/Tokyo"


@pytest.mark.parametrize(
    ("days", "moment", "calls"),
    [
        (EVERY_DAY, TUESDAY_NOON, True),
        (("tue",), TUESDAY_NOON, True),
        (("TUESDAY",), TUESDAY_NOON, True),
        (("mon", "wed"), TUESDAY_NOON, False),
        (EVERY_DAY, TUESDAY_NOON.replace(hour=7, minute=59), False),
        (EVERY_DAY, TUESDAY_NOON.replace(hour=8), True),
        (EVERY_DAY, TUESDAY_NOON.replace(hour=16), False),
    ],
)
def test_days_and_hours_are_those_of_the_campaigns_zone(
    days: tuple[str, ...], moment: dt.datetime, calls: bool
) -> None:
    assert calendar(days=days).contains(moment) is calls


@pytest.mark.parametrize(
    ("rules", "calls"),
    [
        ({"days": {"tue": {"active": False}}}, False),
        ({"days": {"mon": {"active": False}}}, True),
        ({"days": {"tue": {"active": False}}, "dates": {"2026-11-24": {"active": True}}}, True),
        ({"dates": {"2026-11-24": {"max_daily_calls": 0}}}, False),
        ({"dates": {"2026-11-24": {"daily_start_time": "13:00:01"}}}, False),
        ({"dates": {"2026-11-25": {"active": False}}}, True),
    ],
)
def test_exceptions_are_heeded(rules: dict[str, Any], calls: bool) -> None:
    assert calendar(rules=rules).contains(TUESDAY_NOON) is calls


def test_without_a_zone_nothing_is_said_of_an_instant() -> None:
    assert calendar(zone="").contains(TUESDAY_NOON) is None


@pytest.mark.parametrize(
    ("start", "end"),
    [("", ""), ("09:00", ""), ("nine", "17:00"), ("17:00", "09:00"), ("09:00", "09:00")],
)
def test_hours_that_cannot_be_read_are_not_guessed(start: str, end: str) -> None:
    assert calendar(start, end).contains(TUESDAY_NOON) is None


def test_exceptions_are_told_in_words() -> None:
    rules = {
        "dates": {"2026-12-24": {"daily_end_time": "12:00:00"}, "2026-12-25": {"active": False}},
        "days": {"sat": {"active": True, "daily_start_time": "10:00", "max_daily_calls": 1500}},
    }
    assert exceptions_in_words(Campaign(outreach_override_rules=rules)) == [
        "Each Sat: open, from 10:00, at most 1,500 first attempts",
        "Thu 24 Dec 2026: to 12:00",
        "Fri 25 Dec 2026: closed",
    ]
