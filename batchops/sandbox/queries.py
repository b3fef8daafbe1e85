"""Reading the vendor's list parameters; what is wrong with them comes back as a 422."""

from __future__ import annotations

import datetime as dt
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from batchops.sandbox.faults import FaultKind, Faults, LargeLimit, TotalCount
from batchops.sandbox.records import Wire, read_instant
from batchops.sandbox.rules import Invalid, detail
from batchops.sandbox.world import Selection

BATCH_PROPERTIES: Final = ("batch_id", "campaign_id", "status", "expires_on", "last_updated_at")
"""`BatchProperties` of the vendor's OpenAPI: what can be ordered by and searched."""
CAMPAIGN_PROPERTIES: Final = (
    "id",
    "campaign_name",
    "campaign_variables",
    "daily_start_time",
    "daily_end_time",
    "source",
    "mode",
    "caller_id",
    "updated_at",
    "label",
    "labels",
    "voicemail_detection",
)
"""`CampaignProperties` of the vendor's OpenAPI."""
DEFAULT_LIMIT: Final = 25
ENDLESS: Final = 10**9

Item = TypeVar("Item")


class Parameters(Protocol):
    """Query parameters, each of which may be given several times."""

    def getall(self, key: str, default: list[str], /) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class PageRequest:
    """One page (0-based) of at most `limit` items of a selection; `page_size` is what it claims."""

    selection: Selection
    page: int
    limit: int
    page_size: int

    def items_of(
        self,
        found: Sequence[Item],
        faults: Faults,
        fault: FaultKind | None,
        name_of: Callable[[Item], object],
    ) -> tuple[Sequence[Item], int]:
        """The items of the page, and how many there are to be on all pages."""
        listed = found
        if fault is FaultKind.EMPTY_LIST:
            listed = []
        elif fault is FaultKind.PARTIAL_LIST:
            listed = [one for one in found if _fixed_fraction(name_of(one)) >= faults.left_out]
        first = 0 if fault is FaultKind.REPEATED_PAGE else self.page * self.limit
        total = len(found) if faults.total_count is TotalCount.WHOLE else len(listed)
        return listed[first : first + self.limit], total

    def envelope(self, items: list[Wire], total: int, reported: TotalCount) -> Wire:
        """The vendor's `ListResponse`."""
        page: Wire = {"items": items, "page": self.page, "page_size": self.page_size}
        if reported is TotalCount.HIDDEN:
            return page
        if reported is TotalCount.ENDLESS:
            total = ENDLESS
        elif reported is TotalCount.SHORT:
            total = min(total, self.limit)
        pages = -(-total // self.limit) if self.limit else 0
        return page | {"total_pages": pages, "total_count": total}


def _fixed_fraction(name: object) -> float:
    """A number from 0 to 1, always the same for an item."""
    return zlib.crc32(str(name).encode()) / 2**32


def read_page_request(
    parameters: Parameters, properties: tuple[str, ...], max_limit: int, faults: Faults
) -> PageRequest:
    """Read the parameters of a list. Raises `Invalid` with everything that is wrong.

    `fields` is checked and otherwise ignored: whole items are sent, as the reply's schema has
    them. A parameter that is given empty counts as not given.
    """
    reader = _Reader(parameters, properties)
    selection = Selection(
        order_by=reader.property("order_by"),
        descending=reader.direction(),
        searches=reader.searches(),
        start=reader.instant("start_datetime"),
        end=reader.instant("end_datetime"),
        deleted_hidden=faults.deleted_hidden,
        undated_last=faults.undated_last,
    )
    reader.properties("fields")
    page = reader.number("page", 0, None)
    largest = faults.max_limit or max_limit
    refused_above = largest if faults.large_limit is LargeLimit.REFUSE else None
    asked = reader.number("limit", DEFAULT_LIMIT, refused_above)
    if reader.details:
        raise Invalid(reader.details)
    limit = min(asked, largest)
    silently = faults.large_limit is LargeLimit.CUT_SILENTLY
    return PageRequest(selection, page, limit, asked if silently else limit)


class _Reader:
    """Collects what is wrong, so that one reply names all of it."""

    def __init__(self, parameters: Parameters, properties: tuple[str, ...]) -> None:
        self._parameters = parameters
        self._properties = properties
        self.details: list[Wire] = []

    def number(self, name: str, default: int, maximum: int | None) -> int:
        text = self._last(name)
        if text is None:
            return default
        try:
            number = int(text)
        except ValueError:
            message = "Input should be a valid integer, unable to parse string as an integer"
            return self._wrong(name, message, "int_parsing", default)
        if number < 0:
            message = "Input should be greater than or equal to 0"
            return self._wrong(name, message, "greater_than_equal", default)
        if maximum is not None and number > maximum:
            message = f"Input should be less than or equal to {maximum}"
            return self._wrong(name, message, "less_than_equal", default)
        return number

    def property(self, name: str) -> str | None:
        value = self._last(name)
        return value if value is None or self._is_property(name, value) else None

    def properties(self, name: str) -> list[str]:
        values = self._parameters.getall(name, [])
        return [value for value in values if self._is_property(name, value)]

    def direction(self) -> bool:
        value = self._last("order_by_direction")
        if value not in (None, "asc", "desc"):
            self._wrong("order_by_direction", "Input should be 'asc' or 'desc'", "enum", 0)
        return value == "desc"

    def searches(self) -> tuple[tuple[str, str], ...]:
        fields = self.properties("search_fields")
        values = self._parameters.getall("search_field_values", [])
        if len(fields) != len(values):
            message = "search_fields and search_field_values should have the same length"
            self._wrong("search_field_values", message, "value_error", 0)
        return tuple(zip(fields, values, strict=False))

    def instant(self, name: str) -> dt.datetime | None:
        text = self._last(name)
        try:
            return read_instant(text) if text else None
        except ValueError:
            self._wrong(name, "Input should be a valid datetime", "datetime_parsing", 0)
            return None

    def _last(self, name: str) -> str | None:
        values = self._parameters.getall(name, [])
        return values[-1] or None if values else None

    def _is_property(self, name: str, value: str) -> bool:
        if value in self._properties:
            return True
        names = ", ".join(f"'{known}'" for known in self._properties)
        self._wrong(name, f"Input should be {names}", "enum", 0)
        return False

    def _wrong(self, name: str, message: str, kind: str, instead: int) -> int:
        self.details.append(detail("query", name, message, kind))
        return instead
