"""Wall times, as people read them off a clock in a zone, and the instants that they mean."""

from __future__ import annotations

import datetime as dt
import functools
from zoneinfo import ZoneInfo, available_timezones

from batchops.syllable.instants import BEYOND_CALENDAR


class NoSuchTime(ValueError):
    """A time that the clocks skip, or that lies beyond the calendar in UTC."""


class TwoSuchTimes(ValueError):
    """A time that the clocks show twice; `instants` holds both (UTC), the earlier first."""

    def __init__(self, message: str, instants: tuple[dt.datetime, dt.datetime]) -> None:
        super().__init__(message)
        self.instants = instants


def zone_named(name: str) -> ZoneInfo | None:
    """The zone of the IANA list with this name, or None."""
    return ZoneInfo(name) if name in zone_names() else None


def instants_of(wall: dt.datetime, zone: ZoneInfo) -> tuple[dt.datetime, ...]:
    """The instants (UTC) at which clocks in a zone show a time: one, none where they skip it, two.

    Raises NoSuchTime beyond the calendar.
    """
    try:
        both = [wall.replace(tzinfo=zone, fold=fold).astimezone(dt.UTC) for fold in (0, 1)]
    except OverflowError:
        raise NoSuchTime(f"{_words(wall)} in {zone.key} {BEYOND_CALENDAR}") from None
    real = {instant for instant in both if _shown(instant, zone) == wall}
    return tuple(sorted(real))


def instant_of(wall: dt.datetime, zone: ZoneInfo, offset: int | None = None) -> dt.datetime:
    """The instant (UTC) of a time in a zone.

    `offset` (seconds east of UTC) says which of two is meant. Raises NoSuchTime or TwoSuchTimes.
    """
    found = instants_of(wall, zone)
    if not found:
        raise NoSuchTime(
            f"{wall:%H:%M} does not exist on {wall.day} {wall:%b %Y} in {zone.key}: the clocks go "
            "forward then. Give an earlier or a later time."
        )
    if len(found) == 1:
        return found[0]
    for instant in found:
        if offset_of(instant, zone) == offset:
            return instant
    raise TwoSuchTimes(
        f"{wall:%H:%M} comes twice on {wall.day} {wall:%b %Y} in {zone.key}, since the clocks go "
        "back then. Choose which is meant.",
        (found[0], found[-1]),
    )


def nearest(wall: dt.datetime, zone: ZoneInfo, *, last: bool = False) -> dt.datetime:
    """An instant (UTC) for a time that nobody can be asked about.

    The first or the last of two, and the next after one that is skipped.
    """
    found = instants_of(wall, zone)
    if found:
        return found[-1 if last else 0]
    return wall.replace(tzinfo=zone, fold=0).astimezone(dt.UTC)


def offset_of(instant: dt.datetime, zone: ZoneInfo) -> int:
    """Seconds east of UTC of a zone's clocks at an instant."""
    offset = instant.astimezone(zone).utcoffset()
    return int(offset.total_seconds()) if offset else 0


def _shown(instant: dt.datetime, zone: ZoneInfo) -> dt.datetime:
    return instant.astimezone(zone).replace(tzinfo=None, fold=0)


def _words(wall: dt.datetime) -> str:
    return f"{wall.day} {wall:%b} {wall.year} {wall:%H:%M}"


@functools.cache
def zone_names() -> frozenset[str]:
    """The names of the IANA list, as this machine has it."""
    return frozenset(available_timezones())
