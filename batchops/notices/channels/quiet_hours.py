"""Hours of the night, or of whichever day a person chose, in which only what is urgent is sent."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from batchops.notices.models import Channel


def after(channel: Channel, at: dt.datetime) -> dt.datetime:
    """An instant, or the end of the quiet hours that it lies in; they may pass midnight."""
    begin, end = channel.quiet_from, channel.quiet_until
    if begin is None or end is None or begin == end:
        return at
    local = at.astimezone(zone_of(channel.zone))
    now = local.time()
    if not (begin <= now < end if begin < end else now >= begin or now < end):
        return at
    day = local.date() if now < end else local.date() + dt.timedelta(days=1)
    return dt.datetime.combine(day, end, tzinfo=local.tzinfo)


def zone_of(name: str) -> ZoneInfo:
    """A zone by its name; UTC for one that is not known here."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")
