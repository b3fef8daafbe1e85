"""Instants and spans in words, in the reader's zone."""

from __future__ import annotations

import datetime as dt
from typing import Final
from zoneinfo import ZoneInfo

from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

UTC: Final = ZoneInfo("UTC")
NOTHING: Final = "\N{EN DASH}"
"""What stands where there is no value."""


def reader_zone() -> ZoneInfo:
    """The zone in which the page is shown.

    Django's name of it is no name of the IANA list where the clocks never change: "-05".
    """
    zone = timezone.get_current_timezone()
    return zone if isinstance(zone, ZoneInfo) else UTC


def local_time(moment: dt.datetime) -> dt.datetime:
    """An instant in the reader's zone; in UTC at the ends of the calendar."""
    try:
        return timezone.localtime(moment)
    except OverflowError:
        return moment.astimezone(dt.UTC)


def in_words(moment: dt.datetime) -> str:
    """An instant in the reader's zone and in UTC: "1 Jan 2027 07:00 CET (06:00 UTC)"."""
    local, utc = local_time(moment), moment.astimezone(dt.UTC)
    words = f"{local.day} {local:%b %Y %H:%M}"
    if not local.utcoffset():
        return f"{words} UTC"
    day = "" if local.date() == utc.date() else f"{utc.day} {utc:%b} "
    return f"{words} {zone_word(local)} ({day}{utc:%H:%M} UTC)"


def zone_word(local: dt.datetime) -> str:
    """What people call the zone of an instant then: "CET", or "UTC-03" where it has no name."""
    name = f"{local:%Z}"
    return f"UTC{name}" if name[:1] in "+-" else name


def promised(moment: dt.datetime) -> str:
    """An instant with its zone's name and in UTC, for what a person is about to confirm."""
    words, zone = in_words(moment), reader_zone().key
    return words if zone == UTC.key else f"{words}, in {zone}"


def utc_words(moment: dt.datetime) -> str:
    """An instant in UTC: "1 Jan 2027 06:00 UTC"."""
    utc = moment.astimezone(dt.UTC)
    return f"{utc.day} {utc:%b %Y %H:%M} UTC"


def instant(moment: dt.datetime | None) -> str | SafeString:
    """An instant in the reader's zone, which is named, with UTC on hover."""
    if moment is None:
        return NOTHING
    utc, local = moment.astimezone(dt.UTC), local_time(moment)
    return format_html(
        '<time datetime="{}" title="{} UTC">{}</time>',
        utc.isoformat(),
        f"{utc:%Y-%m-%d %H:%M:%S}",
        f"{local.day} {local:%b %Y %H:%M} {zone_word(local)}",
    )


def moment(moment: dt.datetime | None) -> str | SafeString:
    """An instant in few words: "14:30" today, "Mon 08:00" within days, else the date."""
    if moment is None:
        return NOTHING
    now, local = timezone.localtime(), local_time(moment)
    distance = abs(local.date() - now.date()).days
    if distance == 0:
        words = f"{local:%H:%M}"
    elif distance < 7:
        words = f"{local:%a %H:%M}"
    elif local.year == now.year:
        words = f"{local.day} {local:%b %H:%M}"
    else:
        words = f"{local.day} {local:%b %Y}"
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        moment.astimezone(dt.UTC).isoformat(),
        in_words(moment),
        words,
    )


def span(length: dt.timedelta | None) -> str:
    """A length of time in one unit: "40 s", "12 min", "5 h", "3 days"."""
    if length is None:
        return NOTHING
    seconds = max(0, int(length.total_seconds()))
    if seconds < 100:
        return f"{seconds} s"
    if seconds < 100 * 60:
        return f"{seconds // 60} min"
    if seconds < 48 * 3600:
        return f"{seconds // 3600} h"
    return f"{seconds // 86_400:,} days"
