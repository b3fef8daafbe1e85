"""The forecast: an estimate from what waits, the rate and the campaign's hours."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from batchops.models import Batch, Campaign
from batchops.services.preview.forecast import Forecast, forecast

MONDAY = dt.datetime(2027, 1, 4, 9, 0, tzinfo=dt.UTC)
OFFICE = {
    "daily_start_time": "09:00:00",
    "daily_end_time": "17:00:00",
    "active_days": ["mon", "tue", "wed", "thu", "fri"],
}


def estimate(
    waiting: int, now: dt.datetime = MONDAY, campaign: dict[str, Any] | None = None, **fields: Any
) -> Forecast | None:
    of_campaign = Campaign(
        id=1, **({"hourly_rate": 60, **OFFICE} if campaign is None else campaign)
    )
    batch = Batch(batch_id="b-1", campaign=of_campaign, status="ACTIVE", paused=False)
    for name, value in fields.items():
        setattr(batch, name, value)
    return forecast(batch, waiting, now)


def sure(found: Forecast | None) -> Forecast:
    assert found is not None
    return found


def test_only_the_hours_of_the_campaign_count() -> None:
    found = sure(estimate(60 * 8 * 5 + 60))
    assert found.done_at == dt.datetime(2027, 1, 11, 10, 0, tzinfo=dt.UTC)
    assert found.in_words == "At 60 an hour about 7 days; it never expires."
    assert "the campaign's hours 09:00 to 17:00 on Mon, Tue, Wed, Thu, Fri" in found.basis
    assert "the campaign's rate" in found.basis


def test_what_an_expiry_leaves_unreached_is_told() -> None:
    found = sure(estimate(60 * 8 * 5, expires_on=MONDAY + dt.timedelta(days=2)))
    assert found.unreached == 60 * 8 * 3
    assert found.in_words == (
        "At 60 an hour about 4 days, expires in 2 days: about 1,440 would not be reached."
    )


def test_one_that_is_done_in_time_says_so() -> None:
    found = sure(estimate(60, expires_on=MONDAY + dt.timedelta(hours=5)))
    assert found.in_words.endswith("expires in 5 hours: all would be reached.")


def test_the_rate_of_the_batch_comes_first() -> None:
    found = sure(estimate(30, call_rate=120))
    assert found.done_at == MONDAY + dt.timedelta(minutes=15)
    assert "the batch's own rate" in found.basis


def test_a_batch_on_hold_is_estimated_as_if_it_were_resumed() -> None:
    assert sure(estimate(60, paused=True)).in_words.startswith(
        "If it were resumed now: at 60 an hour"
    )


def test_unknown_hours_are_taken_as_around_the_clock_and_said() -> None:
    found = sure(estimate(60 * 48, campaign={"hourly_rate": 60}))
    assert found.done_at == MONDAY + dt.timedelta(hours=48)
    assert "around the clock" in found.basis


def test_hours_are_taken_in_the_zone_of_the_site(settings: Settings) -> None:
    settings.TIME_ZONE = "America/New_York"
    found = sure(estimate(60))
    assert found.done_at == dt.datetime(2027, 1, 4, 15, 0, tzinfo=dt.UTC)
    assert "America/New_York" in found.basis


def test_what_takes_longer_than_three_years_is_said_so() -> None:
    assert "more than three years" in sure(estimate(10**9)).in_words


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "EXPIRED"},
        {"status": "FAILED"},
        {"auto_call_rate": True},
        {"missing_since": MONDAY},
        {"deleted_at": MONDAY},
    ],
)
def test_nothing_is_said_where_nothing_can_be(fields: dict[str, Any]) -> None:
    assert estimate(100, **fields) is None


def test_nothing_is_said_without_a_rate_or_without_anything_waiting() -> None:
    assert estimate(100, campaign={"hourly_rate": None}) is None
    assert estimate(100, campaign={"hourly_rate": 0}) is None
    assert estimate(0) is None


@given(
    waiting=st.integers(1, 50_000),
    rate=st.integers(1, 3600),
    minutes=st.integers(0, 14 * 24 * 60),
    expires=st.integers(1, 60 * 24 * 60),
)
def test_reached_in_time_and_nothing_left_mean_the_same(
    waiting: int, rate: int, minutes: int, expires: int
) -> None:
    now = MONDAY + dt.timedelta(minutes=minutes)
    expiry = now + dt.timedelta(minutes=expires)
    found = sure(estimate(waiting, now, call_rate=rate, expires_on=expiry))
    assert 0 <= found.unreached <= waiting
    if found.done_at is not None and found.done_at <= expiry:
        assert found.unreached <= 1
    else:
        assert found.unreached >= 1
