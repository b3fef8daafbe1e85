"""The chart of the reviewer's report, laid out on the server: no script, no style of its own."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from batchops.services.trail.reports import DayTally

WIDTH: Final = 960
HEIGHT: Final = 180
BASE: Final = 150
"""Where the bars stand, in pixels from the top; the days' labels are below."""
LEFT: Final = 48
"""Room for the scale, in pixels."""
LABELS: Final = 8


@dataclass(frozen=True, slots=True)
class Bar:
    """One day: the bar of what went well with that of the trouble on top."""

    day: dt.date
    x: str
    width: str
    well_y: str
    well_height: str
    trouble_y: str
    trouble_height: str
    entries: int
    trouble: int


@dataclass(frozen=True, slots=True)
class Label:
    """The date under some of the bars."""

    x: str
    day: dt.date


@dataclass(frozen=True, slots=True)
class Chart:
    """Entries by day, in an SVG of `WIDTH` by `HEIGHT` pixels."""

    bars: Sequence[Bar]
    labels: Sequence[Label]
    highest: int
    width: int = WIDTH
    height: int = HEIGHT
    base: int = BASE
    left: int = LEFT


def chart(days: Sequence[DayTally]) -> Chart:
    """Lay out a bar for each day."""
    highest = max((day.tally.entries for day in days), default=0)
    step = (WIDTH - LEFT) / max(len(days), 1)
    every = max(1, -(-len(days) // LABELS))
    return Chart(
        [_bar(day, LEFT + index * step, step, highest) for index, day in enumerate(days)],
        [
            Label(f"{LEFT + (index + 0.5) * step:.1f}", day.day)
            for index, day in enumerate(days)
            if index % every == 0
        ],
        highest,
    )


def _bar(day: DayTally, x: float, step: float, highest: int) -> Bar:
    scale = (BASE - 10) / max(highest, 1)
    whole = day.tally.entries * scale
    bad = day.tally.trouble * scale
    width = min(step * 0.8, 40)
    return Bar(
        day.day,
        f"{x + (step - width) / 2:.2f}",
        f"{width:.2f}",
        f"{BASE - whole + bad:.2f}",
        f"{whole - bad:.2f}",
        f"{BASE - whole:.2f}",
        f"{bad:.2f}",
        day.tally.entries,
        day.tally.trouble,
    )
