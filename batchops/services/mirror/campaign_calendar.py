"""When a campaign calls, as far as the vendor tells.

All its days, dates and times are in the zone of the agent that it dials from. The vendor's
campaign does not tell that zone; where no administrator has set it, it is unknown.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from zoneinfo import ZoneInfo

from batchops.models import Campaign
from batchops.syllable.override_rules import WEEKDAYS, time_of_day, weekday_of
from batchops.wall_times import zone_named

DAY_NAMES: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@dataclass(frozen=True, slots=True)
class Opening:
    """The hours of one day; `cap` is the most first attempts on it (None: no maximum)."""

    start: dt.time
    end: dt.time
    cap: int | None


@dataclass(frozen=True, slots=True)
class CampaignCalendar:
    """The days and hours on which a campaign may reach people.

    `problems` says in words what of it is not known; only without any may it be asked for a day.
    Days, hours and cap are what the campaign itself says, `exceptions` the vendor's rules.
    """

    days: frozenset[int]
    start: dt.time | None
    end: dt.time | None
    cap: int | None
    exceptions: Mapping[str, Mapping[str, Mapping[str, Any]]]
    zone: ZoneInfo | None
    problems: tuple[str, ...]

    @classmethod
    def of(cls, campaign: Campaign) -> CampaignCalendar:
        """The calendar of a campaign, with what of it is not known."""
        found = [weekday_of(name) for name in campaign.active_days]
        start, end = map(time_of_day, (campaign.daily_start_time, campaign.daily_end_time))
        calendar = cls(
            days=frozenset(WEEKDAYS.index(day) for day in found if day),
            start=start,
            end=end,
            cap=campaign.max_daily_calls,
            exceptions=campaign.outreach_override_rules or {},
            zone=zone_named(campaign.time_zone),
            problems=(),
        )
        problems = []
        if calendar.zone is None:
            problems.append("the campaign's time zone is not known")
        if start is None or end is None or start >= end:
            problems.append("the campaign's hours are not known")
        elif not calendar.holds_together():
            problems.append("an exception of the campaign ends before it begins")
        if not found or None in found:
            problems.append("the campaign's days are not known")
        problems += _unread(campaign)
        return replace(calendar, problems=tuple(problems))

    @property
    def is_known(self) -> bool:
        return not self.problems

    @property
    def has_caps(self) -> bool:
        """Whether any day has a maximum."""
        rules = [rule for kind in self.exceptions.values() for rule in kind.values()]
        return self.cap is not None or any(rule.get("max_daily_calls") for rule in rules)

    def on(self, day: dt.date) -> Opening | None:
        """The hours of a day: a rule for the date beats one for the weekday beats the campaign,
        field by field. None on a day without calls."""
        return self._resolved(day.weekday(), self.exceptions.get("dates", {}).get(str(day), {}))

    def contains(self, moment: dt.datetime) -> bool | None:
        """Whether an aware instant lies within the hours; None where that is not known."""
        if not self.is_known:
            return None
        local = moment.astimezone(self.zone)
        opening = self.on(local.date())
        return opening is not None and opening.start <= local.time() < opening.end

    def holds_together(self) -> bool:
        """Whether each day, with its exceptions, begins before it ends."""
        dates = self.exceptions.get("dates", {})
        resolved = [self._resolved(weekday, {}) for weekday in range(len(WEEKDAYS))]
        resolved += [self.on(dt.date.fromisoformat(day)) for day in dates]
        return all(opening.start < opening.end for opening in resolved if opening)

    def _resolved(self, weekday: int, rule: Mapping[str, Any]) -> Opening | None:
        own = {
            "active": weekday in self.days,
            "daily_start_time": self.start,
            "daily_end_time": self.end,
            "max_daily_calls": self.cap,
        }
        of_weekday = self.exceptions.get("days", {}).get(WEEKDAYS[weekday], {})
        found = {**own, **of_weekday, **rule}
        start, end = (
            time if isinstance(time, dt.time) else time_of_day(time)
            for time in (found["daily_start_time"], found["daily_end_time"])
        )
        if not found["active"] or found["max_daily_calls"] == 0 or start is None or end is None:
            return None
        return Opening(start, end, found["max_daily_calls"])

    @property
    def in_words(self) -> str:
        """Hours, days, zone, maximum and exceptions of a calendar that is known."""
        if self.start is None or self.end is None:
            return "hours that are not known"
        days = ", ".join(DAY_NAMES[day] for day in sorted(self.days))
        words = f"the campaign's hours {self.start:%H:%M} to {self.end:%H:%M} on {days}"
        words += f" in {self.zone.key}" if self.zone else ", time zone unknown"
        if self.cap is not None:
            words += f", at most {self.cap:,} first attempts a day"
        return f"{words}, with its exceptions" if any(self.exceptions.values()) else words


def exceptions_in_words(campaign: Campaign) -> list[str]:
    """What the vendor's rules say, one a line, weekdays first."""
    rules = campaign.outreach_override_rules or {}
    days = [(day, rules["days"][day]) for day in WEEKDAYS if day in rules.get("days", {})]
    named = [(f"Each {DAY_NAMES[WEEKDAYS.index(day)]}", rule) for day, rule in days]
    named += [
        (f"{dt.date.fromisoformat(day):%a %d %b %Y}", rule)
        for day, rule in rules.get("dates", {}).items()
    ]
    return [f"{when}: {_rule_in_words(rule)}" for when, rule in named]


def _rule_in_words(rule: Mapping[str, Any]) -> str:
    if rule.get("active") is False or rule.get("max_daily_calls") == 0:
        return "closed"
    words = ["open"] if rule.get("active") else []
    if "daily_start_time" in rule:
        words.append(f"from {rule['daily_start_time'][:5]}")
    if "daily_end_time" in rule:
        words.append(f"to {rule['daily_end_time'][:5]}")
    if "max_daily_calls" in rule:
        words.append(f"at most {rule['max_daily_calls']:,} first attempts")
    return ", ".join(words) or "as usual"


def _unread(campaign: Campaign) -> list[str]:
    problems = []
    if "max_daily_calls" in campaign.unreadable_fields:
        problems.append("the campaign's daily maximum cannot be read")
    if "outreach_override_rules" in campaign.unreadable_fields:
        problems.append("the campaign's exceptions cannot be read")
    elif campaign.outreach_override_rules is None:
        problems.append("the campaign's daily maximum and exceptions have not been read yet")
    return problems
