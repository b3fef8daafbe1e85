"""A believable world: one organisation's campaigns and batches of the last two months.

The same seed gives the same world, moved along with the clock.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterator
from itertools import cycle, islice
from typing import Final

from batchops.sandbox.records import CONSOLE_USER, Batch, Campaign, Wire
from batchops.sandbox.vendor import KEY_OWNER
from batchops.sandbox.world import World

DEFAULT_BATCHES: Final = 600
DEFAULT_CAMPAIGNS: Final = 12
UNKNOWN_CAMPAIGN_ID: Final = 9_001
"""Of a campaign that is in no list: its batches are still there."""
ODD_IDS: Final = ("spring/retry #2", "nachzügler 50%")
HISTORY: Final = dt.timedelta(days=60)
STILL_RUNNING: Final = dt.timedelta(days=9)
"""Batches made within this time before now are mostly under way."""
WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri")
OFFICE_HOURS: Final = ("09:00:00", "17:30:00")
PEOPLE: Final = (
    CONSOLE_USER,
    "marcus.oyelaran@harborline.example",
    "priya.raman@harborline.example",
    "tomasz.zielinski@harborline.example",
    KEY_OWNER,
)
_CAMPAIGNS: Final = (
    ("Appointment reminders: Cardiology", "voice", ("reminders", "cardiology"), 240),
    ("Appointment reminders: Primary care", "sms", ("reminders", "primary-care"), 900),
    ("Annual wellness visits", "voice", ("outreach", "wellness"), 120),
    ("Prescription refills", "sms", ("pharmacy",), 600),
    ("Late payments: first notice", "voice", ("billing",), 180),
    ("Late payments: final notice", "voice", ("billing", "escalation"), 60),
    ("Flu vaccination 65+", "voice", ("outreach", "seasonal"), 300),
    ("Post-discharge follow-up", "voice", ("care-management",), 45),
    ("Patient satisfaction survey", "email", ("survey",), 3600),
    ("Portal activation", "email", ("onboarding",), 1800),
    ("Mammography screening recall", "sms", ("outreach", "screening"), 400),
    ("Insurance card update", "sms", ("registration",), 500),
    ("New patient welcome", "email", ("onboarding",), 1200),
    ("No-show rebooking", "voice", ("reminders", "rebooking"), 90),
    ("Diabetes education classes", "voice", ("outreach", "diabetes"), 75),
    ("Clinic closure notices", "sms", ("urgent",), 1500),
)
_REGIONS: Final = ("North", "South", "East", "West", "Harbor", "Valley")
_ERRORS: Final = (
    "Invalid file format",
    "Missing required fields: reference_id",
    "Row 214: target is empty",
    "File contains no rows",
    "Duplicate column name 'language'",
)
_DELETE_REASONS: Final = ("User request", "Wrong file uploaded", "Duplicate of an earlier batch")
_RUNNING: Final = (("running", "paused", "waiting", "failed", "canceled"), (52, 22, 14, 8, 4))
_PAST: Final = (("expired", "open-ended", "paused", "failed", "canceled"), (66, 14, 6, 8, 6))
"""What becomes of a recent and of an old batch, with weights."""


def make_world(
    batches: int = DEFAULT_BATCHES, campaigns: int = DEFAULT_CAMPAIGNS, seed: int = 1
) -> World:
    """A world of so many batches in so many campaigns, as it may look right now."""
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    draw = random.Random(seed)  # noqa: S311
    all_campaigns = [_campaign(draw, number, now) for number in range(1, campaigns + 1)]
    all_batches = list(_batches(draw, batches, all_campaigns, now))
    return World(all_campaigns, all_batches)


def _campaign(draw: random.Random, number: int, now: dt.datetime) -> Campaign:
    name, mode, labels, hourly_rate = _CAMPAIGNS[(number - 1) % len(_CAMPAIGNS)]
    rounds = (number - 1) // len(_CAMPAIGNS)
    region = f" ({_REGIONS[(rounds - 1) % len(_REGIONS)]} {rounds})" if rounds else ""
    start, end = OFFICE_HOURS if mode == "voice" else ("08:00:00", "20:00:00")
    created = now - HISTORY - dt.timedelta(days=draw.randint(10, 400))
    return Campaign(
        id=100 + number,
        campaign_name=name + region,
        description=f"{name}, sent by {mode} to patients of Harborline Health.",
        mode=mode,
        labels=labels,
        daily_start_time=start,
        daily_end_time=end,
        hourly_rate=hourly_rate,
        max_daily_calls=hourly_rate * 8 if draw.random() < 0.5 else None,
        retry_count=draw.randint(0, 3),
        active_days=WEEKDAYS if mode == "voice" else (*WEEKDAYS, "sat"),
        outreach_override_rules=_exceptions(now, hourly_rate) if number % 3 == 0 else None,
        created_at=created,
        updated_at=created + dt.timedelta(days=draw.randint(0, 9)),
        last_updated_by=draw.choice(PEOPLE[:-1]),
    )


def _exceptions(now: dt.datetime, hourly_rate: int) -> Wire:
    """Short Fridays, and a closed day next week."""
    return {
        "days": {"fri": {"daily_end_time": "14:00:00", "max_daily_calls": hourly_rate * 3}},
        "dates": {f"{now + dt.timedelta(days=7):%Y-%m-%d}": {"max_daily_calls": 0}},
    }


def _batches(
    draw: random.Random, count: int, campaigns: list[Campaign], now: dt.datetime
) -> Iterator[Batch]:
    """Batches in the order of their creation, as many of them recent as old."""
    ages = [_age(draw) for _ in range(count)]
    odd_places = set(islice(range(count - 1, -1, -7), len(ODD_IDS))) if count > 20 else set()
    odd_ids = cycle(ODD_IDS)
    day, of_day = "", 0
    for place, age in enumerate(sorted(ages, reverse=True)):
        created = now - age
        of_day = of_day + 1 if day == f"{created:%Y%m%d}" else 1
        day = f"{created:%Y%m%d}"
        batch_id = next(odd_ids) if place in odd_places else f"{day}.{of_day}"
        yield _batch(draw, batch_id, created, _campaign_of(draw, campaigns), now)


def _age(draw: random.Random) -> dt.timedelta:
    longest = STILL_RUNNING if draw.random() < 0.5 else HISTORY
    return dt.timedelta(seconds=draw.randint(600, int(longest.total_seconds())))


def _campaign_of(draw: random.Random, campaigns: list[Campaign]) -> Campaign | None:
    return None if not campaigns or draw.random() < 0.008 else draw.choice(campaigns)


def _batch(
    draw: random.Random,
    batch_id: str,
    created: dt.datetime,
    campaign: Campaign | None,
    now: dt.datetime,
) -> Batch:
    recent = now - created < STILL_RUNNING
    state = draw.choices(*(_RUNNING if recent else _PAST))[0]
    expires_on = _expiry(draw, state, created, now)
    dispatched = state not in {"waiting", "failed"}
    automatic = state == "running" and expires_on is not None and draw.random() < 0.06
    rate = campaign.hourly_rate if campaign else 60
    deleted_at = _between(draw, created, now) if state == "canceled" else None
    return Batch(
        batch_id=batch_id,
        campaign_id=campaign.id if campaign else UNKNOWN_CAMPAIGN_ID,
        created_at=created,
        last_updated_at=deleted_at or _between(draw, created, now),
        last_updated_by=draw.choice(PEOPLE),
        status={"failed": "FAILED", "canceled": "CANCELED"}.get(state, "ACTIVE"),
        paused=state == "paused" or (state == "waiting" and draw.random() < 0.2),
        expires_on=expires_on,
        call_rate=max(1, rate // draw.randint(2, 6)) if draw.random() < 0.3 else None,
        auto_call_rate=automatic,
        auto_call_rate_baseline=round(rate * draw.uniform(0.3, 0.9), 1) if automatic else None,
        upload_filename=_filename(draw, campaign, created),
        dispatch_id=f"{draw.getrandbits(128):032x}" if dispatched else None,
        deleted_at=deleted_at,
        deleted_reason=draw.choice(_DELETE_REASONS) if deleted_at else None,
        error_message=draw.choice(_ERRORS) if state == "failed" else None,
        contacts=draw.choice((40, 120, 250, 600, 1_500, 4_000)) + draw.randint(0, 39),
        reached=_reached(draw, state),
    )


def _expiry(
    draw: random.Random, state: str, created: dt.datetime, now: dt.datetime
) -> dt.datetime | None:
    """On the hour; past for expired ones, else within a day, a week, a month, or never."""
    if state == "open-ended" or (state != "expired" and draw.random() < 0.25):
        return None
    if state == "expired":
        return _on_the_hour(_between(draw, created, now - dt.timedelta(hours=1)))
    shortest, longest = draw.choices(((2, 24), (25, 168), (169, 720)), (2, 4, 4))[0]
    return _on_the_hour(now + dt.timedelta(hours=draw.randint(shortest, longest)))


def _on_the_hour(instant: dt.datetime) -> dt.datetime:
    return instant.replace(minute=0, second=0, microsecond=0)


def _between(draw: random.Random, start: dt.datetime, end: dt.datetime) -> dt.datetime:
    seconds = max(0, int((end - start).total_seconds()))
    milliseconds = draw.randint(0, 999)
    return start + dt.timedelta(seconds=draw.randint(0, seconds), milliseconds=milliseconds)


def _filename(draw: random.Random, campaign: Campaign | None, created: dt.datetime) -> str | None:
    if draw.random() < 0.1:
        return None
    name = campaign.campaign_name if campaign else "IMPORT"
    words = "".join(sign if sign.isascii() and sign.isalnum() else " " for sign in name).split()
    return f"{'_'.join(words).upper()}_{created:%Y%m%d}.csv"


def _reached(draw: random.Random, state: str) -> float:
    if state in {"waiting", "failed"}:
        return 0.0
    if state in {"expired", "open-ended"}:
        return draw.uniform(0.7, 1.0)
    return draw.uniform(0.05, 0.9)
