"""Filters by time: in the last days, in the next ones, or between two days."""

from __future__ import annotations

import datetime as dt
from typing import Any, ClassVar, Final

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from batchops import wall_times
from batchops.admin.batches.filters import Asked, BatchFilter, Choices
from batchops.admin.ui.parameters import RefusedParameter, require_choice, shown
from batchops.admin.ui.times import reader_zone
from batchops.models import Batch

Span = tuple[dt.timedelta | None, dt.timedelta | None]
"""From and until, counted from now; None: open."""
HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)
NOW: Final = dt.timedelta()
PAST: Final[dict[str, tuple[str, Span]]] = {
    "24h": ("in the last 24 hours", (-24 * HOUR, None)),
    "7d": ("in the last 7 days", (-7 * DAY, None)),
    "30d": ("in the last 30 days", (-30 * DAY, None)),
    "before_30d": ("more than 30 days ago", (None, -30 * DAY)),
}


class PeriodFilter(BatchFilter):
    """A span of time by its name, two days in the reader's zone, or both."""

    is_period = True
    field: ClassVar[str]
    SPANS: ClassVar[dict[str, tuple[str, Span]]] = PAST
    further_parameters: ClassVar[tuple[str, ...]]

    def __init_subclass__(cls) -> None:
        cls.further_parameters = (f"{cls.parameter_name}_from", f"{cls.parameter_name}_to")

    def __init__(self, request: HttpRequest, params: dict[str, list[str]], *more: Any) -> None:
        self.zone = reader_zone()
        self.first, self.last = (_day(params, name) for name in self.further_parameters)
        if self.first and self.last and self.first > self.last:
            raise RefusedParameter(
                self.further_parameters[1], "This period ends before it begins: swap the two days."
            )
        super().__init__(request, params, *more)

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        require_choice(str(self.parameter_name), self.value(), self.SPANS)
        return [(value, words) for value, (words, _) in self.SPANS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Batch]) -> QuerySet[Batch]:
        found = super().queryset(request, queryset)
        if self.first:
            found = found.filter(**{f"{self.field}__gte": self._midnight(self.first)})
        if self.last:
            found = found.filter(**{f"{self.field}__lt": self._midnight(self.last + DAY)})
        return found

    def narrow(self, batches: Asked, value: str) -> Asked:
        _, (start, end) = self.SPANS[value]
        now, limits = timezone.now(), {}
        if start is not None:
            limits[f"{self.field}__gte"] = now + start
        if end is not None:
            limits[f"{self.field}__lt"] = now + end
        return batches.filter(**limits)

    def _midnight(self, day: dt.date) -> dt.datetime:
        return wall_times.nearest(dt.datetime.combine(day, dt.time()), self.zone)

    @property
    def chosen(self) -> str:
        """The period in words; days are named with their zone, in which they begin and end."""
        named = super().chosen
        if not (self.first or self.last):
            return named
        days = " ".join(
            f"{word} {day.day} {day:%b %Y}"
            for word, day in (("from", self.first), ("to", self.last))
            if day
        )
        return ", ".join(part for part in (named, f"{days} ({self.zone.key})") if part)

    @property
    def parameters(self) -> dict[str, str]:
        days = (day.isoformat() if day else "" for day in (self.first, self.last))
        return {**super().parameters, **dict(zip(self.further_parameters, days, strict=True))}

    @property
    def is_in_force(self) -> bool:
        return bool(self.value() or self.first or self.last)

    @property
    def days(self) -> list[tuple[str, str, str]]:
        """The two days as a form asks for them: label, name, value."""
        names = self.further_parameters
        values = self.parameters
        return [("from", names[0], values[names[0]]), ("to", names[1], values[names[1]])]


class ExpiresFilter(PeriodFilter):
    """When a batch expires."""

    title = "expires"
    parameter_name = "expires"
    field = "expires_on"
    SPANS: ClassVar[dict[str, tuple[str, Span]]] = {
        "24h": ("in the next 24 hours", (NOW, 24 * HOUR)),
        "7d": ("in the next 7 days", (NOW, 7 * DAY)),
        "30d": ("in the next 30 days", (NOW, 30 * DAY)),
        "past": ("in the past", (None, NOW)),
    }


class CreatedFilter(PeriodFilter):
    """When the vendor made a batch."""

    title = "created"
    parameter_name = "created"
    field = "created_at"


class ChangedFilter(PeriodFilter):
    """When the vendor last changed a batch: with the status “failed”, what failed last week."""

    title = "last changed"
    parameter_name = "changed"
    field = "last_updated_at"


PERIODS: Final = (ExpiresFilter, CreatedFilter, ChangedFilter)


def _day(params: dict[str, list[str]], name: str) -> dt.date | None:
    """The day that a parameter names. Raises RefusedParameter."""
    text = params.pop(name, [""])[-1]
    if not text:
        return None
    try:
        day = dt.date.fromisoformat(text)
    except ValueError:
        day = dt.date.min
    # Nearer to the ends of the calendar, a day has no midnight in every zone.
    if not 1900 <= day.year <= 9000:
        raise RefusedParameter(name, f"“{shown(text)}” is no day. Write it as 2027-01-31.")
    return day
