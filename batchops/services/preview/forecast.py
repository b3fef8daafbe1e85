"""When a batch would be done at its rate: an estimate, with what it rests on."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

from django.conf import settings

from batchops.models import Batch
from batchops.services.mirror.campaign_calendar import CallingHours

HORIZON_DAYS: Final = 3 * 366
"""What takes longer is said to take "more than three years"."""
DAY_NAMES: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@dataclass(frozen=True, slots=True)
class Forecast:
    """An estimate. Instants are aware; `done_at` is None beyond three years."""

    waiting: int
    rate: int
    rate_is_campaigns: bool
    hours: CallingHours | None
    paused: bool
    begins_at: dt.datetime
    done_at: dt.datetime | None
    expires_on: dt.datetime | None
    unreached: int

    @property
    def in_words(self) -> str:
        """The estimate: "At 60 an hour about 9 days, expires in 4 days: …"."""
        takes = "more than three years"
        if self.done_at is not None:
            takes = f"about {_length(self.done_at - self.begins_at)}"
        words = f"At {self.rate:,} an hour {takes}"
        if self.paused:
            words = f"If it were resumed now: at {self.rate:,} an hour {takes}"
        if self.expires_on is None:
            return f"{words}; it never expires."
        words += f", expires in {_length(self.expires_on - self.begins_at)}"
        if self.unreached:
            return f"{words}: about {self.unreached:,} would not be reached."
        return f"{words}: all would be reached."

    @property
    def basis(self) -> str:
        """What the estimate rests on."""
        whose = "the campaign's rate" if self.rate_is_campaigns else "the batch's own rate"
        return (
            f"An estimate. It rests on {self.waiting:,} requests waiting, {whose}, "
            f"and {self._hours_in_words}; retries are not counted."
        )

    @property
    def _hours_in_words(self) -> str:
        if self.hours is None:
            return "calling around the clock, since the campaign's hours are not known"
        days = ", ".join(DAY_NAMES[day] for day in sorted(self.hours.days))
        return (
            f"the campaign's hours {self.hours.start:%H:%M} to {self.hours.end:%H:%M} on {days}, "
            f"taken to be in {settings.TIME_ZONE}"
        )


def forecast(batch: Batch, waiting: int, now: dt.datetime) -> Forecast | None:
    """When the requests that wait would be done; None where nothing can be said.

    Nothing can be said of a batch that has ended, whose call rate is automatic (the vendor chooses
    it) or not known, or without requests waiting.
    """
    rate = batch.call_rate or batch.campaign.hourly_rate
    if batch.is_gone or batch.has_ended or batch.auto_call_rate or waiting <= 0 or not rate:
        return None
    hours = CallingHours.of(batch.campaign)
    expiry = batch.expires_on if batch.expires_on and batch.expires_on > now else None
    return Forecast(
        waiting=waiting,
        rate=rate,
        rate_is_campaigns=not batch.call_rate,
        hours=hours,
        paused=batch.paused is True,
        begins_at=now,
        done_at=_done_at(now, dt.timedelta(hours=waiting / rate), hours),
        expires_on=expiry,
        unreached=_unreached(now, expiry, waiting, rate, hours),
    )


def _done_at(
    now: dt.datetime, needed: dt.timedelta, hours: CallingHours | None
) -> dt.datetime | None:
    for start, end in _openings(now, hours):
        if end - start >= needed:
            return start + needed
        needed -= end - start
    return None


def _unreached(
    now: dt.datetime,
    expiry: dt.datetime | None,
    waiting: int,
    rate: int,
    hours: CallingHours | None,
) -> int:
    if expiry is None:
        return 0
    open_for = dt.timedelta()
    for start, end in _openings(now, hours):
        if start >= expiry:
            break
        open_for += min(end, expiry) - start
    return max(0, waiting - int(open_for.total_seconds() * rate / 3600))


def _openings(
    now: dt.datetime, hours: CallingHours | None
) -> Iterator[tuple[dt.datetime, dt.datetime]]:
    """The spans of time (UTC) from now on in which a campaign may reach people."""
    now = now.astimezone(dt.UTC)
    if hours is None:
        yield now, now + dt.timedelta(days=HORIZON_DAYS)
        return
    zone = ZoneInfo(settings.TIME_ZONE)
    today = now.astimezone(zone).date()
    for day in (today + dt.timedelta(days=number) for number in range(HORIZON_DAYS)):
        if day.weekday() not in hours.days:
            continue
        start = dt.datetime.combine(day, hours.start, zone).astimezone(dt.UTC)
        end = dt.datetime.combine(day, hours.end, zone).astimezone(dt.UTC)
        if end > now:
            yield max(start, now), end


def _length(span: dt.timedelta) -> str:
    hours = span.total_seconds() / 3600
    if hours < 1.5:
        return f"{max(1, round(hours * 60))} minutes"
    if hours < 48:
        return f"{round(hours)} hours"
    return f"{round(hours / 24):,} days"
