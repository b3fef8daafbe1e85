"""When a batch would be done at its rate: an estimate, with what it rests on.

What is not known is not assumed: without the campaign's whole calendar only the hours of calling
are told, and the fewest requests that an expiry would leave.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from batchops.models import Batch, BatchCount
from batchops.models.batch import counted
from batchops.services.mirror.campaign_calendar import CampaignCalendar

HORIZON_DAYS: Final = 3 * 366
"""What takes longer is said to take "more than three years"."""
HORIZON: Final = dt.timedelta(days=HORIZON_DAYS)
LONGER: Final = "more than three years"


@dataclass(frozen=True, slots=True)
class Forecast:
    """An estimate. Instants are aware.

    `done_at` to `done_by` is when it would be done, None beyond three years or where that cannot
    be foreseen; `fewest` to `most` is how many would not be reached before the expiry. The first
    of each takes today's maximum to be untouched, the second takes it to be used up; with `doubts`
    the second is not known.
    """

    waiting: int
    rate: int
    rate_is_campaigns: bool
    calendar: CampaignCalendar
    doubts: tuple[str, ...]
    paused: bool
    begins_at: dt.datetime
    done_at: dt.datetime | None
    done_by: dt.datetime | None
    expires_on: dt.datetime | None
    fewest: int
    most: int

    @property
    def in_words(self) -> str:
        """The estimate: "At 60 an hour about 9 days, expires in 4 days: …"."""
        words = f"At {self.rate:,} an hour {self._takes}"
        if self.paused:
            words = f"If it were resumed now: at {self.rate:,} an hour {self._takes}"
        if self.expires_on is not None:
            expires = _length(self.expires_on - self.begins_at)
            return f"{words}, expires in {expires}: {self._reached}."
        words = f"{words}; it never expires."
        return f"{words} Not foreseen when it would be done: {self._why}." if self.doubts else words

    @property
    def basis(self) -> str:
        """What the estimate rests on."""
        whose = "the campaign's rate" if self.rate_is_campaigns else "the batch's own rate"
        words = f"An estimate. It rests on {self.waiting:,} requests waiting"
        if self.calendar.is_known:
            words += f", {whose}, and {self.calendar.in_words}; retries are not counted."
        else:
            words += f" and {whose}; retries are not counted."
        if self.doubts and self.fewest:
            words += f" Not foreseen how many more: {self._why}."
        return words

    @property
    def is_at_best(self) -> bool:
        """Whether it may well take longer, since others take from the same rate or maximum."""
        return bool(self.doubts)

    @property
    def _takes(self) -> str:
        if not self.calendar.is_known:
            needed = _time_for(self.waiting, self.rate)
            return f"{LONGER if needed > HORIZON else f'about {_length(needed)}'} of calling"
        ends = (self.done_at,) if self.is_at_best else (self.done_at, self.done_by)
        lengths = [_length(end - self.begins_at) if end else LONGER for end in ends]
        words = " to ".join(dict.fromkeys(lengths))
        words = words if words == LONGER else f"about {words}"
        return f"at best {words}" if self.is_at_best else words

    @property
    def _reached(self) -> str:
        if self.doubts and not self.fewest:
            return f"not foreseen whether all would be reached, since {self._why}"
        if not self.most:
            return "all would be reached"
        if self.doubts:
            return f"about {self.fewest:,} or more would not be reached"
        numbers = " to ".join(dict.fromkeys((f"{self.fewest:,}", f"{self.most:,}")))
        return f"about {numbers} would not be reached"

    @property
    def _why(self) -> str:
        return ", and ".join(self.doubts)


def forecast(batch: Batch, waiting: int, now: dt.datetime) -> Forecast | None:
    """When the requests that wait would be done; None where nothing can be said.

    Nothing can be said of a batch that has ended, whose call rate is automatic (the vendor chooses
    it) or not known, or without requests waiting.
    """
    rate = batch.call_rate or batch.campaign.hourly_rate
    if batch.is_gone or batch.has_ended or batch.auto_call_rate or waiting <= 0:
        return None
    if rate is None or rate <= 0:
        return None
    calendar = CampaignCalendar.of(batch.campaign)
    expiry = batch.expires_on if batch.expires_on and batch.expires_on > now else None
    best = _Course(calendar, rate, now, today_is_used_up=False)
    worst = _Course(calendar, rate, now, today_is_used_up=True)
    return Forecast(
        waiting=waiting,
        rate=rate,
        rate_is_campaigns=not batch.call_rate,
        calendar=calendar,
        doubts=(*calendar.problems, *_shared(batch, calendar)),
        paused=batch.paused is True,
        begins_at=now,
        done_at=best.done_at(waiting) if calendar.is_known else None,
        done_by=worst.done_at(waiting) if calendar.is_known else None,
        expires_on=expiry,
        fewest=best.unreached(waiting, expiry),
        most=worst.unreached(waiting, expiry),
    )


def _shared(batch: Batch, calendar: CampaignCalendar) -> list[str]:
    """What other batches of the campaign may take; how the vendor splits it is not known."""
    if batch.call_rate and not calendar.has_caps:
        return []
    live = BatchCount.objects.filter(campaign=batch.campaign_id).live_and_not_paused()
    own = Batch.objects.filter(pk=batch.pk).live_and_not_paused()
    others = live.total() - own.count()
    if others <= 0:
        return []
    what = "rate" if not batch.call_rate else "daily maximum"
    if not batch.call_rate and calendar.has_caps:
        what = "rate and daily maximum"
    return [f"{counted(others)} of the campaign beside it may take from its {what}"]


@dataclass(frozen=True, slots=True)
class _Course:
    """How requests are done from `now` on, under one of two suppositions about today."""

    calendar: CampaignCalendar
    rate: int
    now: dt.datetime
    today_is_used_up: bool

    def done_at(self, waiting: int) -> dt.datetime | None:
        needed = _time_for(waiting, self.rate)
        for start, end in self._openings():
            if end - start >= needed:
                return start + needed
            needed -= end - start
        return None

    def unreached(self, waiting: int, expiry: dt.datetime | None) -> int:
        if expiry is None:
            return 0
        open_for = dt.timedelta()
        for start, end in self._openings():
            if start >= expiry:
                break
            open_for += min(end, expiry) - start
        return max(0, waiting - int(open_for.total_seconds() * self.rate / 3600))

    def _openings(self) -> Iterator[tuple[dt.datetime, dt.datetime]]:
        """The spans of time (UTC) in which requests are done: those of each day until its hours
        end, or its maximum is reached. Of a calendar that is not known, all the time."""
        now, zone = self.now.astimezone(dt.UTC), self.calendar.zone
        if not self.calendar.is_known or zone is None:
            yield now, now + HORIZON
            return
        today = now.astimezone(zone).date()
        for day in (today + dt.timedelta(days=number) for number in range(HORIZON_DAYS)):
            opening = self.calendar.on(day)
            if opening is None:
                continue
            opens = dt.datetime.combine(day, opening.start, zone).astimezone(dt.UTC)
            end = dt.datetime.combine(day, opening.end, zone).astimezone(dt.UTC)
            start = max(opens, now)
            if opening.cap is not None:
                used_up = self.today_is_used_up and opens < now
                cap = 0 if used_up else opening.cap
                end = min(end, start + _time_for(cap, self.rate))
            if end > start:
                yield start, end


def _time_for(requests: int, rate: int) -> dt.timedelta:
    """How long so many requests take; of what is beyond the horizon only that it is."""
    return dt.timedelta(hours=min(requests / rate, 48 * HORIZON_DAYS))


def _length(span: dt.timedelta) -> str:
    hours = span.total_seconds() / 3600
    if hours < 1.5:
        return f"{max(1, round(hours * 60))} minutes"
    if hours < 48:
        return f"{round(hours)} hours"
    return f"{round(hours / 24):,} days"
