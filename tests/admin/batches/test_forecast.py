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
KNOWN = {"time_zone": "UTC", "outreach_override_rules": {}}
TODAY_CLOSED = {"days": {}, "dates": {"2027-01-04": {"max_daily_calls": 0}}}

pytestmark = pytest.mark.django_db


def estimate(
    waiting: int, now: dt.datetime = MONDAY, campaign: dict[str, Any] | None = None, **fields: Any
) -> Forecast | None:
    of_campaign = Campaign(id=1, **{"hourly_rate": 60, **OFFICE, **KNOWN, **(campaign or {})})
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
    assert (found.fewest, found.most) == (60 * 8 * 3,) * 2
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


@pytest.mark.parametrize(
    ("unknown", "why"),
    [
        ({"time_zone": ""}, "the campaign's time zone is not known"),
        ({"time_zone": "Mars/Olympus"}, "the campaign's time zone is not known"),
        ({"daily_end_time": ""}, "the campaign's hours are not known"),
        ({"active_days": []}, "the campaign's days are not known"),
        ({"active_days": ["mon", "someday"]}, "the campaign's days are not known"),
        ({"outreach_override_rules": None}, "exceptions have not been read yet"),
        (
            {"outreach_override_rules": None, "unreadable_fields": ["outreach_override_rules"]},
            "the campaign's exceptions cannot be read",
        ),
        ({"unreadable_fields": ["max_daily_calls"]}, "the campaign's daily maximum cannot be read"),
        (
            {"outreach_override_rules": {"days": {"fri": {"daily_start_time": "18:00"}}}},
            "an exception of the campaign ends before it begins",
        ),
    ],
)
def test_what_is_not_known_is_not_foreseen(unknown: dict[str, Any], why: str) -> None:
    """Only what holds for any calendar is told: the hours of calling, and the fewest left over."""
    expiry = MONDAY + dt.timedelta(days=1)
    found = sure(estimate(120, campaign=unknown, expires_on=expiry))
    assert (found.done_at, found.done_by) == (None, None)
    assert found.in_words.startswith(
        "At 60 an hour about 2 hours of calling, expires in 24 hours: not foreseen whether all"
    )
    assert why in found.in_words
    many = sure(estimate(60 * 30, campaign=unknown, expires_on=expiry))
    assert many.in_words.endswith("about 360 or more would not be reached.")
    assert why in many.basis
    endless = sure(estimate(120, campaign=unknown))
    assert "it never expires. Not foreseen when it would be done: " in endless.in_words
    assert why in endless.in_words


def test_hours_are_taken_in_the_zone_of_the_campaign(settings: Settings) -> None:
    settings.TIME_ZONE = "Asia/Tokyo"
    found = sure(estimate(60, campaign={"time_zone": "America/New_York"}))
    assert found.done_at == dt.datetime(2027, 1, 4, 15, 0, tzinfo=dt.UTC)
    assert "America/New_York" in found.basis


def test_a_day_on_which_the_clock_changes_has_its_true_length() -> None:
    """28 March 2027 in Berlin has no hour from 2 to 3."""
    night = {"time_zone": "Europe/Berlin", "daily_start_time": "00:00", "daily_end_time": "04:00"}
    midnight = dt.datetime(2027, 3, 27, 23, 0, tzinfo=dt.UTC)
    found = sure(estimate(60 * 3, midnight, night | {"active_days": ["sun", "mon"]}))
    assert found.done_at == midnight + dt.timedelta(hours=3)


def test_a_daily_maximum_spreads_the_requests_over_days() -> None:
    """150 at 60 an hour, 60 a day: an hour a day; today's 60 may be used up already."""
    found = sure(estimate(150, MONDAY + dt.timedelta(hours=1), {"max_daily_calls": 60}))
    assert found.done_at == dt.datetime(2027, 1, 6, 9, 30, tzinfo=dt.UTC)
    assert found.done_by == dt.datetime(2027, 1, 7, 9, 30, tzinfo=dt.UTC)
    assert found.in_words == "At 60 an hour about 48 hours to 3 days; it never expires."
    assert "at most 60 first attempts a day" in found.basis


def test_a_maximum_that_may_be_used_up_gives_a_range_of_what_is_left() -> None:
    ten, expiry = MONDAY + dt.timedelta(hours=1), MONDAY + dt.timedelta(hours=30)
    capped = {"max_daily_calls": 60}
    found = sure(estimate(150, ten, capped, expires_on=expiry))
    assert found.in_words.endswith("about 30 to 90 would not be reached.")
    found = sure(estimate(100, ten, capped, expires_on=expiry))
    assert found.in_words.endswith("about 0 to 40 would not be reached.")


def test_a_date_beats_a_weekday_beats_the_campaign_field_by_field() -> None:
    rules = {
        "days": {
            "mon": {"daily_start_time": "12:00", "max_daily_calls": 60},
            "sat": {"active": True},
        },
        "dates": {
            "2027-01-04": {"max_daily_calls": 120},
            "2027-01-05": {"max_daily_calls": 0},
            "2027-01-06": {"active": False},
            "2027-01-07": {"daily_end_time": "10:00:00"},
            "2027-01-08": {"active": False},
        },
    }
    now = MONDAY - dt.timedelta(hours=1)
    ends = {
        120: dt.datetime(2027, 1, 4, 14, 0, tzinfo=dt.UTC),
        121: dt.datetime(2027, 1, 7, 9, 1, tzinfo=dt.UTC),
        180: dt.datetime(2027, 1, 7, 10, 0, tzinfo=dt.UTC),
        240: dt.datetime(2027, 1, 9, 10, 0, tzinfo=dt.UTC),
        660: dt.datetime(2027, 1, 9, 17, 0, tzinfo=dt.UTC),
        720: dt.datetime(2027, 1, 11, 13, 0, tzinfo=dt.UTC),
        721: dt.datetime(2027, 1, 12, 9, 1, tzinfo=dt.UTC),
    }
    for waiting, end in ends.items():
        found = sure(estimate(waiting, now, {"outreach_override_rules": rules}))
        assert (found.done_at, found.done_by) == (end, end), waiting


def test_a_day_that_is_closed_reaches_nobody() -> None:
    found = sure(
        estimate(
            60,
            campaign={"outreach_override_rules": TODAY_CLOSED},
            expires_on=MONDAY + dt.timedelta(hours=8),
        )
    )
    assert found.in_words.endswith("about 60 would not be reached.")


@pytest.mark.parametrize(
    ("campaign", "own_rate", "takes"),
    [
        ({}, None, "1 batch of the campaign beside it may take from its rate"),
        ({"max_daily_calls": 99}, 60, "beside it may take from its daily maximum"),
        ({"max_daily_calls": 99}, None, "beside it may take from its rate and daily maximum"),
        ({}, 60, None),
    ],
)
def test_batches_beside_it_make_it_the_best_that_can_be(
    campaign: dict[str, Any], own_rate: int | None, takes: str | None
) -> None:
    kept = Campaign.objects.create(id=1, synced_at=MONDAY, observed_at=MONDAY)
    for batch_id, paused in (("b-1", False), ("beside", False), ("paused", True)):
        Batch.objects.create(
            batch_id=batch_id, campaign=kept, paused=paused, status="ACTIVE",
            synced_at=MONDAY, observed_at=MONDAY,
        )  # fmt: skip
    expiry = MONDAY + dt.timedelta(hours=5)
    found = sure(estimate(60, campaign=campaign, call_rate=own_rate, expires_on=expiry))
    if takes is None:
        assert found.in_words.endswith("all would be reached.")
        return
    assert found.in_words.startswith("At 60 an hour at best about 60 minutes, expires in 5 hours: ")
    assert "not foreseen whether all would be reached, since 1 batch of" in found.in_words
    assert takes in found.in_words


def test_what_takes_longer_than_three_years_is_said_so() -> None:
    assert "more than three years" in sure(estimate(10**9)).in_words
    assert "more than three years" in sure(estimate(2**63)).in_words
    unknown = sure(estimate(2**63, campaign={"time_zone": ""}))
    assert "At 60 an hour more than three years of calling" in unknown.in_words
    assert sure(estimate(1, campaign={"max_daily_calls": 2**31 - 1})).done_at is not None


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
    assert 0 <= found.fewest <= found.most <= waiting
    if found.done_at is not None and found.done_at <= expiry:
        assert found.fewest <= 1
    else:
        assert found.fewest >= 1
