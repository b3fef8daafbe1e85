"""Bars whose parts are told apart by pattern and number, not by colour alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from batchops.models import SUCCESS_STATES, TROUBLE_STATES, UNSETTLED_STATES, KnownStatus

Style = tuple[str, str]
"""Tone and pattern of a part."""

BATCH_STYLES: Final[dict[str, Style]] = {
    KnownStatus.ACTIVE: ("good", "plain"),
    KnownStatus.PENDING: ("info", "dots"),
    KnownStatus.PAUSED: ("pause", "bars"),
    KnownStatus.FAILED: ("bad", "cross"),
    KnownStatus.EXPIRED: ("quiet", "slope"),
    KnownStatus.CANCELED: ("quiet", "plain"),
}
REQUEST_STYLES: Final[dict[str, Style]] = {
    "COMPLETED": ("good", "plain"),
    "CONNECTED": ("good", "dots"),
    "INITIATED": ("info", "bars"),
    "PENDING": ("info", "dots"),
    "FAILED": ("bad", "cross"),
    "INVALID": ("bad", "slope"),
    "DUPLICATE": ("quiet", "plain"),
    "SKIPPED": ("quiet", "slope"),
    "CANCELED": ("quiet", "back"),
}
"""Request statuses (vendor OpenAPI, RequestStatus), in the order in which they are shown."""
OTHER: Final[Style] = ("warn", "grid")


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a bar; `start` and `width` are percents of the whole width."""

    words: str
    number: int
    start: float
    width: float
    share: str
    tone: str
    pattern: str


def parts(numbers: Mapping[str, int], scale: int, styles: Mapping[str, Style]) -> list[Part]:
    """The parts of a bar in which `scale` is the whole width, in the order of the styles."""
    whole = sum(numbers.values())
    order = [name for name in styles if numbers.get(name)]
    order += sorted(name for name, number in numbers.items() if number and name not in styles)
    found, start = [], 0.0
    for name in order:
        number = numbers[name]
        width = 100 * number / scale if scale else 0.0
        tone, pattern = styles.get(name, OTHER)
        found.append(
            Part(
                words=words(name),
                number=number,
                start=round(start, 3),
                width=round(width, 3),
                share=f"{100 * number / whole:.1f}",
                tone=tone,
                pattern=pattern,
            )
        )
        start += width
    return found


def words(name: str) -> str:
    """A status of the vendor in the writing of people; one that is not known stays as it is."""
    if not name:
        return "Other"
    return name.capitalize() if name in BATCH_STYLES or name in REQUEST_STYLES else name


def progress_of(counts: Mapping[str, Any], total: int) -> dict[str, Any]:
    """The parts of a bar 100 wide, from the numbers of items by state."""
    well = sum(int(counts.get(state, 0)) for state in SUCCESS_STATES)
    trouble = sum(int(counts.get(state, 0)) for state in TROUBLE_STATES)
    waiting = sum(int(counts.get(state, 0)) for state in UNSETTLED_STATES) if counts else total
    settled = max(0, total - waiting)
    rest = max(0, settled - well - trouble)
    scale = 100 / total if total else 0
    return {
        "total": total,
        "settled": settled,
        "trouble": trouble,
        "percent": int(settled * scale),
        "well_width": round(well * scale, 2),
        "trouble_width": round(trouble * scale, 2),
        "trouble_start": round(well * scale, 2),
        "rest_width": round(rest * scale, 2),
        "rest_start": round((well + trouble) * scale, 2),
    }
