"""BatchPatch: what one change asks of a batch, as a value.

The one place that knows how requested values become a PUT body, a sentence for people, stored
JSON, and a comparison with the values a batch has.
"""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final, Protocol, TypeAlias, TypeVar

from batchops.syllable.instants import format_instant, parse_instant, same_instant

CALL_RATE_MINIMUM: Final = 1
"""Lowest outreach attempts per hour (vendor OpenAPI, CommunicationBatchUpdate.call_rate)."""
CALL_RATE_MAXIMUM: Final = 3600
"""Highest outreach attempts per hour (vendor OpenAPI, CommunicationBatchUpdate.call_rate)."""


class Marker(enum.Enum):
    """What to do with a field that is given no value."""

    LEAVE = "leave"
    CLEAR = "clear"


LEAVE: Final = Marker.LEAVE
CLEAR: Final = Marker.CLEAR

Value = TypeVar("Value")
Requested: TypeAlias = Value | Marker

FIELD_LABELS: Final = {
    "paused": "Paused",
    "expires_on": "Expiry",
    "call_rate": "Call rate",
    "auto_call_rate": "Automatic call rate",
}
"""What people call the fields of a batch that the vendor lets an update change."""
PATCH_FIELDS: Final = tuple(FIELD_LABELS)
"""Those fields, under the vendor's names."""
NEEDS_EXPIRY: Final = "An automatic call rate needs an expiry"
"""`auto_call_rate` "requires expires_on" (vendor OpenAPI)."""


class BatchValues(Protocol):
    """Anything that holds the four changeable values of a batch: a record or a mirror row."""

    @property
    def paused(self) -> bool | None: ...
    @property
    def expires_on(self) -> dt.datetime | None: ...
    @property
    def call_rate(self) -> int | None: ...
    @property
    def auto_call_rate(self) -> bool | None: ...


class InvalidPatch(ValueError):
    """The patch asks for something no batch can be given; `field` names what is wrong."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class Values:
    """The four changeable values of a batch at one moment."""

    paused: bool | None = None
    expires_on: dt.datetime | None = None
    call_rate: int | None = None
    auto_call_rate: bool | None = None

    @classmethod
    def of(cls, batch: BatchValues) -> Values:
        return cls(batch.paused, batch.expires_on, batch.call_rate, batch.auto_call_rate)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Values:
        """Read back what `to_json` wrote."""
        return cls(
            data.get("paused"),
            parse_instant(data["expires_on"]) if data.get("expires_on") else None,
            data.get("call_rate"),
            data.get("auto_call_rate"),
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "paused": self.paused,
            "expires_on": format_instant(self.expires_on) if self.expires_on else None,
            "call_rate": self.call_rate,
            "auto_call_rate": self.auto_call_rate,
        }


def same_value(field: str, first: Any, second: Any) -> bool:
    """Whether two values of a field mean the same; instants are compared to the second (UTC)."""
    if field == "expires_on":
        return same_instant(first, second)
    if field == "auto_call_rate":
        # Absent means off (vendor OpenAPI: default false).
        return bool(first) == bool(second)
    return bool(first == second)


@dataclass(frozen=True, slots=True)
class BatchPatch:
    """For each changeable field: leave it, set a value, or clear it.

    `expires_on` is an aware datetime; `call_rate` counts outreach attempts per hour.
    Raises `InvalidPatch` when made with a value that the vendor's API rules out.
    """

    paused: Requested[bool] = LEAVE
    expires_on: Requested[dt.datetime] = LEAVE
    call_rate: Requested[int] = LEAVE
    auto_call_rate: Requested[bool] = LEAVE

    def __post_init__(self) -> None:
        _check_switch("paused", self.paused, "Pausing")
        _check_switch("auto_call_rate", self.auto_call_rate, "An automatic call rate")
        _check_call_rate(self.call_rate)
        # In UTC, because the same wall time can mean two instants in other zones.
        object.__setattr__(self, "expires_on", _checked_expiry(self.expires_on))
        if self.auto_call_rate is True and self.expires_on is CLEAR:
            raise InvalidPatch(
                "auto_call_rate",
                f"{NEEDS_EXPIRY}: set one, or leave the expiry as it is.",
            )

    def __bool__(self) -> bool:
        return bool(self.touched)

    def requested_values(self) -> Iterator[tuple[str, Any]]:
        """Each field that is to change, with the value it should have (None: cleared)."""
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not LEAVE:
                yield field.name, None if value is CLEAR else value

    @property
    def touched(self) -> tuple[str, ...]:
        """The names of the fields that are to change."""
        return tuple(name for name, _ in self.requested_values())

    def body(self) -> dict[str, Any]:
        """The JSON body of the vendor's PUT: only what changes; clearing is an explicit null."""
        return {name: _json_value(value) for name, value in self.requested_values()}

    to_json = body

    @classmethod
    def from_json(cls, data: object) -> BatchPatch:
        """Read back what `to_json` wrote. Raises `InvalidPatch` on anything else."""
        if not isinstance(data, Mapping):
            raise InvalidPatch("", "A patch is an object of fields and values.")
        unknown = sorted(set(data) - set(PATCH_FIELDS))
        if unknown:
            raise InvalidPatch(unknown[0], f"A batch has no changeable field {unknown[0][:60]!r}.")
        requested: dict[str, Any] = {
            name: CLEAR if value is None else value for name, value in data.items()
        }
        if isinstance(requested.get("expires_on"), str):
            try:
                requested["expires_on"] = parse_instant(requested["expires_on"])
            except ValueError as error:
                raise InvalidPatch("expires_on", str(error)) from error
        return cls(**requested)

    def applied_to(self, values: BatchValues) -> Values:
        """The values a batch has once this patch is carried out."""
        return replace(Values.of(values), **dict(self.requested_values()))

    def is_satisfied_by(self, values: BatchValues) -> bool:
        """Whether the batch is already as wanted."""
        return not self.unmet_by(values)

    def unmet_by(self, values: BatchValues) -> tuple[str, ...]:
        """The fields whose value is not the wanted one."""
        return tuple(
            name
            for name, value in self.requested_values()
            if not same_value(name, value, getattr(values, name))
        )

    def conflicts(self, seen: BatchValues, now: BatchValues) -> tuple[str, ...]:
        """The patched fields that are neither as the person saw them nor as wanted."""
        return tuple(
            name
            for name in self.unmet_by(now)
            if not same_value(name, getattr(seen, name), getattr(now, name))
        )

    def unrequested(self, before: BatchValues, after: BatchValues) -> tuple[str, ...]:
        """The fields that moved although the patch leaves them alone."""
        return tuple(
            name
            for name in PATCH_FIELDS
            if name not in self.touched
            and not same_value(name, getattr(before, name), getattr(after, name))
        )

    def reverse(self, before: BatchValues) -> BatchPatch:
        """The patch that puts back what the touched fields were.

        Raises `InvalidPatch` when they were something that no update can ask for.
        """
        former = {name: getattr(before, name) for name in self.touched}
        for name in ("paused", "auto_call_rate"):
            if name in former:
                former[name] = bool(former[name])
        return BatchPatch(**{n: CLEAR if value is None else value for n, value in former.items()})

    def expands_outreach(self, values: BatchValues, now: dt.datetime) -> bool:
        """Whether carrying this out on such a batch lets outreach reach more people.

        Resuming, a later or no expiry, a higher or no call rate, and switching the automatic call
        rate on or off count; pausing, an earlier expiry and a lower call rate do not.
        """
        return (
            (self.paused is False and values.paused is not False)
            or self._extends(values.expires_on, now)
            or self._raises_rate(values.call_rate)
            or (
                isinstance(self.auto_call_rate, bool)
                and self.auto_call_rate != bool(values.auto_call_rate)
            )
        )

    def may_expand_outreach(self, now: dt.datetime) -> bool:
        """Whether this could let outreach reach more people on a batch that is not known."""
        later = self.expires_on is CLEAR or (
            isinstance(self.expires_on, dt.datetime) and self.expires_on > now
        )
        rates = {"call_rate", "auto_call_rate"} & set(self.touched)
        return self.paused is False or later or bool(rates)

    def _extends(self, current: dt.datetime | None, now: dt.datetime) -> bool:
        if self.expires_on is CLEAR:
            return current is not None
        if not isinstance(self.expires_on, dt.datetime) or current is None:
            return False
        return self.expires_on > max(current, now)

    def _raises_rate(self, current: int | None) -> bool:
        if self.call_rate is CLEAR:
            return current is not None
        return isinstance(self.call_rate, int) and (current is None or self.call_rate > current)

    def describe(self, zone: dt.tzinfo = dt.UTC) -> str:
        """A sentence part for people: "pause, expire on 1 Jan 2027 06:00 UTC"."""
        return (
            ", ".join(_phrase(name, value, zone) for name, value in self.requested_values())
            or "nothing"
        )


def describe_value(field: str, value: Any, zone: dt.tzinfo = dt.UTC) -> str:
    """One value of a batch in words."""
    if field == "expires_on":
        return describe_instant(value, zone) if value else "never"
    if field == "call_rate":
        return f"{value} an hour" if value is not None else "campaign's rate"
    if field == "auto_call_rate":
        return "on" if value else "off"
    if value is None:
        return "not stated"
    return "paused" if value else "not paused"


def describe_instant(instant: dt.datetime, zone: dt.tzinfo = dt.UTC) -> str:
    """An instant in words, in the zone given: "1 Jan 2027 06:00 UTC"."""
    try:
        local = instant.astimezone(zone)
    except OverflowError:
        # The first and last day of the calendar ("never") exist in UTC only.
        local = instant.astimezone(dt.UTC)
    clock = f"{local:%H:%M:%S}" if local.second else f"{local:%H:%M}"
    return f"{local.day} {local:%b %Y} {clock} {local:%Z}"


def _phrase(field: str, value: Any, zone: dt.tzinfo) -> str:
    if field == "paused":
        return "pause" if value else "resume"
    if field == "expires_on":
        return f"expire on {describe_instant(value, zone)}" if value else "clear the expiry"
    if field == "call_rate":
        return f"call rate {value} an hour" if value is not None else "clear the call rate"
    return "automatic call rate on" if value else "automatic call rate off"


def _check_switch(field: str, value: object, what: str) -> None:
    if value is not LEAVE and not isinstance(value, bool):
        raise InvalidPatch(field, f"{what} is switched on or off, nothing else.")


def _check_call_rate(value: object) -> None:
    if isinstance(value, Marker):
        return
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidPatch("call_rate", "A call rate is a whole number.")
    if not CALL_RATE_MINIMUM <= value <= CALL_RATE_MAXIMUM:
        raise InvalidPatch(
            "call_rate",
            f"A call rate lies between {CALL_RATE_MINIMUM} and {CALL_RATE_MAXIMUM} an hour.",
        )


def _checked_expiry(value: object) -> Requested[dt.datetime]:
    if isinstance(value, Marker):
        return value
    if not isinstance(value, dt.datetime):
        raise InvalidPatch("expires_on", "An expiry is a date and time.")
    if value.utcoffset() is None:
        raise InvalidPatch("expires_on", "An expiry needs a time zone.")
    try:
        return value.astimezone(dt.UTC)
    except OverflowError:
        raise InvalidPatch("expires_on", "An expiry lies within the calendar.") from None


def _json_value(value: Any) -> Any:
    return format_instant(value) if isinstance(value, dt.datetime) else value
