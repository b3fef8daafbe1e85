"""When a campaign calls, as far as it can be read."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from pytest_django import Settings

from batchops.models import Campaign
from batchops.services.mirror.campaign_calendar import CallingHours

TUESDAY_NOON = dt.datetime(2026, 11, 24, 12, tzinfo=dt.UTC)


def hours(start: str = "09:00", end: str = "17:00", days: Any = ()) -> CallingHours | None:
    return CallingHours.of(
        Campaign(daily_start_time=start, daily_end_time=end, active_days=list(days))
    )


@pytest.fixture(autouse=True)
def berlin(settings: Settings) -> None:
    settings.TIME_ZONE = "Europe/Berlin"


@pytest.mark.parametrize(
    ("days", "moment", "calls"),
    [
        ((), TUESDAY_NOON, True),
        (("tue",), TUESDAY_NOON, True),
        (("TUESDAY",), TUESDAY_NOON, True),
        (("mon", "wed"), TUESDAY_NOON, False),
        ((), TUESDAY_NOON.replace(hour=7, minute=59), False),
        ((), TUESDAY_NOON.replace(hour=8), True),
        ((), TUESDAY_NOON.replace(hour=16), False),
    ],
)
def test_days_and_hours_are_those_of_the_operators_zone(
    days: tuple[str, ...], moment: dt.datetime, calls: bool
) -> None:
    found = hours(days=days)
    assert found is not None
    assert found.contains(moment) is calls


@pytest.mark.parametrize(
    ("start", "end"),
    [("", ""), ("09:00", ""), ("nine", "17:00"), ("17:00", "09:00"), ("09:00", "09:00")],
)
def test_hours_that_cannot_be_read_are_not_guessed(start: str, end: str) -> None:
    assert hours(start, end) is None
