"""What reviewers fill in: the filter of the trail, reviews, samples, sign-offs, exports."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any, Final, cast
from zoneinfo import ZoneInfo

from django import forms
from django.http import QueryDict

from batchops import wall_times
from batchops.admin.ui.pills import ENTRY_OUTCOMES
from batchops.admin.ui.times import reader_zone
from batchops.admin.ui.whole_number_field import WholeNumberField
from batchops.models import Action, Campaign
from batchops.services.trail.reports import LONGEST_SPAN
from batchops.services.trail.sign_offs import COMMENT_LIMIT, LARGEST_SAMPLE
from batchops.services.trail.trail_filter import (
    ACTION_GROUPS,
    FILTER_NAMES,
    SEARCH_LIMIT,
    Origin,
    TrailFilter,
)
from batchops.services.trail_files.exports import ExportFormat

UNKNOWN_ZONE: Final = "The time zone of this form does not exist. Send it again to use your own."
UNKNOWN_CHOICE: Final = "%(value)s is not known here. Choose one of the list."
NOT_A_DATE: Final = "Give a day as YYYY-MM-DD."
UPSIDE_DOWN: Final = "The last day is before the first day."


class DayInput(forms.DateInput):
    """The browser's own calendar."""

    input_type = "date"

    def __init__(self) -> None:
        super().__init__(format="%Y-%m-%d")


def day_field(label: str, **more: Any) -> forms.DateField:
    """A day of the reader's calendar."""
    return forms.DateField(
        label=label,
        widget=DayInput(),
        input_formats=["%Y-%m-%d"],
        error_messages={"invalid": NOT_A_DATE},
        **more,
    )


def day_start(day: dt.date, zone: ZoneInfo) -> dt.datetime:
    """When a day begins in a zone (UTC), also where midnight is skipped or comes twice."""
    return wall_times.nearest(dt.datetime.combine(day, dt.time()), zone)


class ZoneInput(forms.HiddenInput):
    """The zone in which a form was shown; the reader's, where the form does not carry any."""

    def value_from_datadict(self, data: Mapping[str, Any], files: Any, name: str) -> Any:
        return data.get(name) or reader_zone().key

    def format_value(self, value: Any) -> str:
        return (wall_times.zone_named(str(value)) or reader_zone()).key


class DaysForm(forms.Form):
    """A span of days in the zone that the form carries, both included."""

    since = day_field("From", required=False)
    until = day_field("To", required=False)
    zone = forms.CharField(
        required=False, strip=False, widget=ZoneInput, initial=lambda: reader_zone().key
    )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        since, until = cleaned.get("since"), cleaned.get("until")
        if since and until and until < since:
            self.add_error("until", UPSIDE_DOWN)
        return cleaned

    def clean_zone(self) -> ZoneInfo:
        zone = wall_times.zone_named(self.cleaned_data["zone"])
        if zone is None:
            # A hidden field has no place of its own for words.
            self.add_error(None, UNKNOWN_ZONE)
            return reader_zone()
        return zone

    def clean_since(self) -> dt.date | None:
        return _within_the_calendar(self.cleaned_data["since"])

    def clean_until(self) -> dt.date | None:
        return _within_the_calendar(self.cleaned_data["until"])

    @property
    def start(self) -> dt.datetime | None:
        """When the span begins, where it has a first day."""
        since = self.cleaned_data.get("since")
        return day_start(since, self.cleaned_data["zone"]) if since else None

    @property
    def end(self) -> dt.datetime | None:
        """When the span is over (not part of it), where it has a last day."""
        until = self.cleaned_data.get("until")
        if not until:
            return None
        return day_start(until + dt.timedelta(days=1), self.cleaned_data["zone"])

    @property
    def zone_shown(self) -> str:
        """The name of the zone in which the days begin and end."""
        return ZoneInput().format_value(self["zone"].value())


class TrailFilterForm(DaysForm):
    """Which entries are shown. It lives in the address, so that it can be shared."""

    search = forms.CharField(required=False, max_length=SEARCH_LIMIT)
    person = forms.CharField(required=False, max_length=255, strip=False)
    group = forms.ChoiceField(label="Kind", required=False)
    action = forms.ChoiceField(required=False)
    outcome = forms.ChoiceField(required=False)
    campaign_id = forms.ChoiceField(label="Campaign", required=False)
    batch_id = forms.CharField(label="Batch", required=False, max_length=255, strip=False)
    change_id = forms.UUIDField(
        label="Change",
        required=False,
        error_messages={"invalid": "Give the whole id of a change."},
    )
    origin = forms.ChoiceField(label="Made", required=False)
    failed = forms.BooleanField(label="Failed only", required=False)
    not_reviewed = forms.BooleanField(label="Not reviewed", required=False)
    before = WholeNumberField(required=False, min_value=1, max_value=2**63 - 1)
    after = WholeNumberField(required=False, min_value=1, max_value=2**63 - 1)

    def __init__(self, data: QueryDict) -> None:
        super().__init__(data, auto_id="filter-%s")
        self._offer("group", ACTION_GROUPS.items())
        self._offer("action", Action.choices)
        self._offer("outcome", ((key, word) for key, (word, _look) in ENTRY_OUTCOMES.items()))
        self._offer("campaign_id", _campaigns())
        self._offer("origin", Origin.choices, anything="anywhere")
        self.fields["search"].widget.attrs["placeholder"] = "Batch id, reason, reference"
        self.fields["person"].widget.attrs["list"] = "trail-people"

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        unknown = sorted(set(self.data) - set(self.fields))
        if unknown:
            self.add_error(None, f"There is no filter named “{unknown[0][:60]}”.")
        for name, values in cast(QueryDict, self.data).lists():
            if len(values) > 1:
                self.add_error(None, f"“{name[:60]}” is given {len(values):,} times.")
        return cleaned

    @property
    def trail_filter(self) -> TrailFilter:
        """The filter of a valid form."""
        values = {name: self.cleaned_data[name] for name in FILTER_NAMES}
        campaign = values["campaign_id"]
        values |= {
            "campaign_id": int(campaign) if campaign else None,
            "since": self.start,
            "until": self.end,
        }
        return TrailFilter(**values)

    @property
    def query(self) -> str:
        """The filter as it stands in the address, without the page."""
        kept = QueryDict(mutable=True)
        kept.update({name: self.data[name] for name in FILTER_NAMES if self.data.get(name)})
        if {"since", "until"} & kept.keys():
            kept["zone"] = self.zone_shown
        return kept.urlencode()

    @property
    def is_filtering(self) -> bool:
        return any(self.data.get(name) for name in FILTER_NAMES)

    @property
    def first_inputs(self) -> list[forms.BoundField]:
        return [self[name] for name in FIRST_INPUTS]

    @property
    def more_inputs(self) -> list[forms.BoundField]:
        return [self[name] for name in MORE_INPUTS]

    @property
    def uses_more(self) -> bool:
        """Whether one of the inputs that are folded away says something."""
        return any(self.data.get(name) for name in MORE_INPUTS)

    @property
    def switches(self) -> list[forms.BoundField]:
        return [self["failed"], self["not_reviewed"]]

    def _offer(self, name: str, choices: Iterable[tuple[str, str]], anything: str = "any") -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)  # noqa: S101
        field.choices = [("", anything), *choices]
        field.error_messages["invalid_choice"] = UNKNOWN_CHOICE


FIRST_INPUTS: Final = ("search", "person", "since", "until", "group", "outcome")
MORE_INPUTS: Final = ("action", "campaign_id", "batch_id", "change_id", "origin")


class ReportForm(DaysForm):
    """The days of a report: a year at most."""

    def __init__(self, data: QueryDict) -> None:
        super().__init__(data, auto_id="report-%s")
        for name in ("since", "until"):
            self.fields[name].required = True

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        if self.start and self.end and self.end - self.start > LONGEST_SPAN:
            self.add_error("until", "A report covers a year at most.")
        return cleaned


class ReviewForm(forms.Form):
    """The comment of a review."""

    comment = forms.CharField(
        max_length=COMMENT_LIMIT,
        widget=forms.Textarea({"rows": 2}),
        help_text="What you checked. It becomes part of the trail.",
    )


class SampleForm(DaysForm):
    """How many entries chance picks, and of which days."""

    size = WholeNumberField(
        label="Number of entries", min_value=1, max_value=LARGEST_SAMPLE, initial=20
    )
    not_reviewed = forms.BooleanField(
        label="Only entries not yet reviewed", required=False, initial=True
    )

    field_order = ("size", "since", "until", "not_reviewed", "zone")

    @property
    def trail_filter(self) -> TrailFilter:
        """Which entries chance picks from, of a valid form."""
        return TrailFilter(
            since=self.start, until=self.end, not_reviewed=self.cleaned_data["not_reviewed"]
        )


class SignOffForm(DaysForm):
    """The days that a reviewer signs off, with what they have to say."""

    comment = forms.CharField(max_length=COMMENT_LIMIT, widget=forms.Textarea({"rows": 3}))

    field_order = ("since", "until", "comment")

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        for name in ("since", "until"):
            self.fields[name].required = True


class ExportForm(forms.Form):
    """In which form the trail leaves batchops."""

    kind = forms.ChoiceField(label="Format", choices=ExportFormat.choices)
    byte_order_mark = forms.BooleanField(
        label="CSV for Excel (byte order mark)", required=False, initial=True
    )


def _campaigns() -> list[tuple[str, str]]:
    return [(str(row.pk), str(row)[:80]) for row in Campaign.objects.only("id", "campaign_name")]


def _within_the_calendar(day: dt.date | None) -> dt.date | None:
    """A day that exists in every zone. Raises ValidationError for the first and last year."""
    if day is not None and not dt.MINYEAR < day.year < dt.MAXYEAR:
        raise forms.ValidationError("Give a year between 2 and 9998.")
    return day
