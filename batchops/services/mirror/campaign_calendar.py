"""When a campaign calls, as far as the vendor tells."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

from django.conf import settings

from batchops.models import Campaign

WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True)
class CallingHours:
    """The days (Monday is 0) and hours on which a campaign may reach people.

    The vendor does not say in which zone; `TIME_ZONE` is assumed, and people are told so.
    """

    days: frozenset[int]
    start: dt.time
    end: dt.time

    @classmethod
    def of(cls, campaign: Campaign) -> CallingHours | None:
        """The hours of a campaign; None where the vendor told none that can be read."""
        try:
            start = dt.time.fromisoformat(campaign.daily_start_time).replace(tzinfo=None)
            end = dt.time.fromisoformat(campaign.daily_end_time).replace(tzinfo=None)
        except ValueError:
            return None
        days = frozenset(
            WEEKDAYS.index(day)
            for name in campaign.active_days
            if (day := str(name).lower()[:3]) in WEEKDAYS
        )
        return cls(days or frozenset(range(7)), start, end) if start < end else None

    def contains(self, moment: dt.datetime) -> bool:
        """Whether an aware instant lies within the hours."""
        local = moment.astimezone(ZoneInfo(settings.TIME_ZONE))
        return local.weekday() in self.days and self.start <= local.time() < self.end
