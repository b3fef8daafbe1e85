"""The exceptions of a campaign to its daily hours and its daily maximum.

The vendor's `outreach_override_rules` holds rules for weekdays and for dates; what a rule leaves
out is inherited (vendor OpenAPI, OutreachOverrideRules, ScheduleOverride). They are read whole or
not at all: hours that rest on half of the rules would be wrong without anybody noticing.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

Rule: TypeAlias = dict[str, bool | int | str]
Rules: TypeAlias = dict[str, dict[str, Rule]]
"""Rules by weekday ("mon") under "days" and by date ("2026-12-24") under "dates"."""

WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MOST_DATES: Final = 1_000
"""Most rules for dates that are read, so that nobody fills the mirror with them."""
LARGEST_CAP: Final = 2**31 - 1

_DAYS: Final = dict(zip(WEEKDAYS, WEEKDAYS, strict=True)) | {
    name: name[:3]
    for name in ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
}
_TIME: Final = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIMES: Final = ("daily_start_time", "daily_end_time")
_FIELDS: Final = frozenset({"active", "max_daily_calls", *_TIMES})


def weekday_of(name: object) -> str | None:
    """The short name of a weekday, or None for what is none."""
    return _DAYS.get(name.casefold()) if isinstance(name, str) else None


def time_of_day(text: object) -> dt.time | None:
    """A time such as 09:00 or 09:00:00, or None for what is none."""
    if not isinstance(text, str) or not _TIME.fullmatch(text):
        return None
    return dt.time.fromisoformat(text)


def daily_cap(value: object) -> int | None:
    """A largest number of calls a day. Raises ValueError for what is none; null is no maximum."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= LARGEST_CAP:
        raise ValueError("not a number of calls")
    return value


def parse_rules(value: object) -> Rules:
    """Read all rules; absent ones are none. Raises ValueError for any that cannot be read."""
    fields = _object(value)
    if fields.keys() - {"days", "dates"}:
        raise ValueError("rules of an unknown kind")
    days: dict[str, Rule] = {}
    for name, rule in _object(fields.get("days")).items():
        day = weekday_of(name)
        if day is None or day in days:
            raise ValueError("not a weekday, or one named twice")
        days[day] = _rule(rule)
    dates = _object(fields.get("dates"))
    if len(dates) > MOST_DATES or not all(map(_is_date, dates)):
        raise ValueError("not dates, or too many")
    return {"days": days, "dates": {date: _rule(dates[date]) for date in sorted(dates)}}


def _rule(value: object) -> Rule:
    """What a rule sets; a null is left out, as it inherits."""
    fields = {name: setting for name, setting in _object(value).items() if setting is not None}
    if fields.keys() - _FIELDS:
        raise ValueError("a rule about something unknown")
    if not isinstance(fields.get("active", True), bool):
        raise ValueError("active is neither true nor false")
    times = [time_of_day(fields[name]) for name in _TIMES if name in fields]
    if None in times or (len(times) == len(_TIMES) and times[0] >= times[1]):  # type: ignore[operator]
        raise ValueError("not times, or an end before the start")
    if "max_daily_calls" in fields:
        fields["max_daily_calls"] = daily_cap(fields["max_daily_calls"])
    return fields


def _object(value: object) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value


def _is_date(text: str) -> bool:
    try:
        return bool(_DATE.fullmatch(text)) and bool(dt.date.fromisoformat(text))
    except ValueError:
        return False
