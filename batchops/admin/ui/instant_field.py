"""A date and time of a form, which carries the time zone that it was shown in."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from zoneinfo import ZoneInfo

from django import forms
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from batchops import wall_times
from batchops.admin.ui import pills, times
from batchops.admin.ui.times import reader_zone

FORMATS: Final = (
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%dT%H:%M:%S",
)
UNKNOWN_ZONE: Final = "This form names a time zone that does not exist. Reload the page."


@dataclass(frozen=True, slots=True)
class Typed:
    """What stands in the field: a time, the zone it is meant in, which of two it is."""

    text: str
    zone: str
    offset: str = ""

    @classmethod
    def of(cls, instant: dt.datetime) -> Typed:
        """An instant, as the reader's clock shows it."""
        zone = reader_zone()
        local = times.local_time(instant)
        return cls(local.strftime(FORMATS[0]), zone.key, str(wall_times.offset_of(instant, zone)))

    @property
    def wall(self) -> dt.datetime | None:
        """The time, where it is one."""
        for known in FORMATS:
            try:
                return dt.datetime.strptime(self.text.strip(), known)  # noqa: DTZ007 - a wall time
            except ValueError:
                continue
        return None

    @property
    def choices(self) -> list[tuple[str, str]]:
        """The two that may be meant where the clocks show this time twice, in words."""
        zone, wall = wall_times.zone_named(self.zone), self.wall
        try:
            found = wall_times.instants_of(wall, zone) if zone and wall else ()
        except wall_times.NoSuchTime:
            return []
        if zone is None or len(found) < 2:
            return []
        return [(str(wall_times.offset_of(one, zone)), _words(one, zone)) for one in found]


@dataclass(frozen=True, slots=True)
class Preset:
    """A time for one click: its words, the text of the field, and which of two it is."""

    words: str
    value: str
    offset: str

    @classmethod
    def of(cls, words: str, instant: dt.datetime) -> Preset:
        typed = Typed.of(instant)
        return cls(words, typed.text, typed.offset)


class InstantInput(forms.DateTimeInput):
    """A date and a time of 24 hours, the zone it is meant in, and which of two times is meant.

    Browsers show their own input for it in the way of their language: with AM and PM for some.
    """

    input_type = "text"

    def value_from_datadict(self, data: Mapping[str, Any], files: Any, name: str) -> Typed:
        zone = data.get(zone_name(name)) or reader_zone().key
        return Typed(data.get(name) or "", zone, data.get(f"{name}_offset") or "")

    def value_omitted_from_data(self, data: Mapping[str, Any], files: Any, name: str) -> bool:
        return name not in data

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        typed = value if isinstance(value, Typed) else Typed("", reader_zone().key)
        own = {
            **(attrs or {}),
            "data-instant": "",
            "data-zone": typed.zone,
            "placeholder": "YYYY-MM-DD HH:MM",
            "autocomplete": "off",
            "size": 17,
        }
        return format_html(
            '{}<button type="button" class="day-button" data-day="{}" aria-label="Choose a day" '
            'hidden>{}</button><input type="hidden" name="{}" value="{}">{}',
            super().render(name, typed.text, own, renderer),
            own.get("id", ""),
            pills.icon("calendar"),
            zone_name(name),
            typed.zone,
            _choice(name, typed),
        )


class InstantField(forms.Field):
    """An instant (UTC), typed as a date and time in the zone that the form shows and carries."""

    widget = InstantInput
    default_error_messages = {
        "required": "Enter a date and a time.",
        "invalid": "Enter a date and a time, such as 2027-01-31 08:00.",
        "offset": "Choose one of the two times.",
    }

    def prepare_value(self, value: Any) -> Any:
        return Typed.of(value) if isinstance(value, dt.datetime) else value

    def to_python(self, value: Any) -> dt.datetime | None:
        """Raises ValidationError, with words about what is wrong with the time or the zone."""
        if not isinstance(value, Typed):
            return None
        zone = wall_times.zone_named(value.zone)
        if zone is None:
            raise forms.ValidationError(UNKNOWN_ZONE, code="zone")
        if not value.text.strip():
            return None
        wall = value.wall
        if wall is None:
            raise forms.ValidationError(self.error_messages["invalid"], code="invalid")
        try:
            return wall_times.instant_of(wall, zone, _offset(value.offset))
        except ValueError as error:
            raise forms.ValidationError(str(error), code="time") from None


def zone_name(name: str) -> str:
    """The name of the hidden field with the zone of a field."""
    return f"{name}_zone"


def _offset(text: str) -> int | None:
    is_number = text.removeprefix("-").isdecimal() and text.isascii() and len(text) < 8
    return int(text) if is_number else None


def _words(instant: dt.datetime, zone: ZoneInfo) -> str:
    local = instant.astimezone(zone)
    return f"{local:%H:%M} {local:%Z} ({instant:%H:%M} UTC)"


def _choice(name: str, typed: Typed) -> SafeString:
    """The choice between two times; hidden while there is nothing to choose."""
    choices = typed.choices
    options = format_html_join(
        "",
        '<option value="{}"{}>{}</option>',
        (
            (value, SafeString(" selected") if value == typed.offset else "", words)
            for value, words in [("", "Which of the two?"), *choices]
        ),
    )
    return format_html(
        '<select name="{}_offset" data-offset aria-label="Which of the two times"{}>{}</select>',
        name,
        "" if choices else SafeString(" hidden"),
        options,
    )
