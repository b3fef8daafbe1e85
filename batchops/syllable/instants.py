"""Instants as the vendor writes them, read and written in one way."""

from __future__ import annotations

import datetime as dt
from typing import Final

BEYOND_CALENDAR: Final = (
    "lies beyond the calendar: in UTC, it goes from the year 1 to 31 Dec 9999 23:59:59."
)
"""The end of a sentence about an instant that exists in its own zone alone."""


def parse_instant(text: str) -> dt.datetime:
    """Read an ISO 8601 instant; without a zone it is UTC. Raises ValueError with the text shown.

    The vendor's documents do not say which zone or precision it uses, so any is accepted.
    """
    try:
        instant = dt.datetime.fromisoformat(text)
        return (instant if instant.tzinfo else instant.replace(tzinfo=dt.UTC)).astimezone(dt.UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{text[:60]!r} is not an ISO 8601 date and time.") from error


def format_instant(instant: dt.datetime) -> str:
    """Write an aware instant in UTC, to the microsecond only where it has one, ending in Z."""
    utc = instant.astimezone(dt.UTC)
    precision = "microseconds" if utc.microsecond else "seconds"
    return utc.isoformat(timespec=precision).replace("+00:00", "Z")


def same_instant(first: dt.datetime | None, second: dt.datetime | None) -> bool:
    """Whether two instants are the same second, or both absent."""
    if first is None or second is None:
        return first is second
    return abs((first - second).total_seconds()) < 1
