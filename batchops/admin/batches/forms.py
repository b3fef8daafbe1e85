"""What people type about batches: an expiry, a rate, a list of ids; and how it becomes a patch."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any, Final, cast
from zoneinfo import ZoneInfo

from django import forms
from django.db import models
from django.utils import timezone

from batchops import wall_times
from batchops.admin.ui.instant_field import InstantField, Preset, zone_name
from batchops.admin.ui.times import reader_zone
from batchops.admin.ui.whole_number_field import WholeNumberField
from batchops.models import Batch
from batchops.services.changes.eligibility import LACKS_EXPIRY
from batchops.syllable.patch import (
    CALL_RATE_MAXIMUM,
    CALL_RATE_MINIMUM,
    CLEAR,
    LEAVE,
    BatchPatch,
    InvalidPatch,
    Requested,
)

RATE_LIMITS: Final = f"Between {CALL_RATE_MINIMUM} and {CALL_RATE_MAXIMUM:,} an hour."


class Expiry(models.TextChoices):
    """What to do with an expiry."""

    LEAVE = "leave", "Leave as it is"
    AT = "at", "At a date and time"
    DAY = "day", "In 24 hours"
    TODAY = "today", "At the end of today"
    WEEK = "week", "In 7 days"
    NOW = "now", "Expire now"
    CLEAR = "clear", "Never: clear the expiry"


PRESETS: Final = (Expiry.DAY, Expiry.TODAY, Expiry.WEEK)
"""The choices that a script turns into buttons beside the date."""


def preset(choice: str, now: dt.datetime, zone: ZoneInfo) -> dt.datetime:
    """The instant (UTC) of a preset. Raises KeyError for what is none.

    Durations are counted in UTC: 24 hours are 24 hours also when the clocks change.
    """
    minute = now.astimezone(dt.UTC).replace(second=0, microsecond=0)
    end_of_today = dt.datetime.combine(now.astimezone(zone).date(), dt.time(23, 59))
    return {
        Expiry.DAY.value: minute + dt.timedelta(hours=24),
        Expiry.TODAY.value: wall_times.nearest(end_of_today, zone, last=True),
        Expiry.WEEK.value: minute + dt.timedelta(days=7),
    }[choice]


class PatchForm(forms.Form):
    """A form whose values become a patch; what is wrong is said at the field it is about."""

    title = ""

    def patch(self) -> BatchPatch | None:
        """The patch, or None when a value is wrong; the form then has its error."""
        if not self.is_valid():
            return None
        try:
            return BatchPatch(**self.requested_values())
        except InvalidPatch as error:
            self.add_error(error.field if error.field in self.fields else None, str(error))
            return None

    def requested_values(self) -> dict[str, Any]:
        """Each field of the patch that is to change, with its requested value."""
        return {}

    @property
    def zone(self) -> str:
        """The time zone of an instant that the form asks for; empty where there is none."""
        return ""

    @property
    def expire_now(self) -> bool:
        """Whether an expiry that is not in the future is what the person wants."""
        return self.cleaned_data.get("expiry") == Expiry.NOW

    def _check_pair(self, choice: str, needing: str, value: str, missing: str) -> None:
        """Refuse a choice without the value it needs, and a value that its choice would ignore."""
        chosen, given = self.cleaned_data.get(choice), self.cleaned_data.get(value)
        if value in self.errors or choice in self.errors:
            return
        if chosen == needing and given is None:
            self.add_error(value, missing)
        elif chosen != needing and given is not None:
            label = dict(getattr(self.fields[choice], "choices", ())).get(chosen, chosen)
            self.add_error(value, f"This would be ignored, since “{label}” is chosen.")

    def set_choices(self, name: str, choices: Sequence[tuple[str, str]]) -> None:
        """Let a person choose among these alone."""
        cast(forms.ChoiceField, self.fields[name]).choices = choices


class ExpiryMixin(PatchForm):
    """An expiry: a date and time in the reader's zone, a preset, or now."""

    expiry = forms.ChoiceField(label="Expiry", required=False, widget=forms.RadioSelect)
    expires_on = InstantField(required=False, label="Date and time")

    def __init__(self, *args: Any, choices: Sequence[Expiry], **more: Any) -> None:
        super().__init__(*args, **more)
        self.set_choices("expiry", [(choice.value, str(choice.label)) for choice in choices])
        self.fields["expiry"].initial = choices[0].value

    @property
    def warnings(self) -> dict[str, str]:
        """What a person should know of a choice before they make it."""
        return {}

    @property
    def presets(self) -> list[Preset]:
        """The presets for the script's buttons."""
        now, zone = timezone.now(), reader_zone()
        return [Preset.of(str(choice.label), preset(choice, now, zone)) for choice in PRESETS]

    @property
    def zone(self) -> str:
        """The zone that the form carries, where it asks for an expiry."""
        given = self._carried_zone
        return given.key if given and self.requested_expiry() is not LEAVE else ""

    @property
    def _carried_zone(self) -> ZoneInfo | None:
        return wall_times.zone_named(str(self.data.get(zone_name("expires_on"), "")))

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        self._check_pair("expiry", Expiry.AT, "expires_on", "Enter a date and a time.")
        return cleaned

    def requested_expiry(self) -> Requested[dt.datetime]:
        """What the choice asks of the expiry."""
        choice = self.cleaned_data.get("expiry") or Expiry.LEAVE
        if choice == Expiry.AT:
            moment: dt.datetime = self.cleaned_data["expires_on"]
            return moment
        if choice == Expiry.NOW:
            return timezone.now().replace(microsecond=0)
        if choice == Expiry.CLEAR:
            return CLEAR
        if choice == Expiry.LEAVE:
            return LEAVE
        return preset(choice, timezone.now(), self._carried_zone or reader_zone())


class SetExpiryForm(ExpiryMixin):
    """An expiry for the batches that are selected."""

    title = "Set expiry"

    def __init__(self, *args: Any, **more: Any) -> None:
        choices = (Expiry.AT, *PRESETS, Expiry.NOW)
        super().__init__(*args, choices=choices, **more)
        self.fields["expiry"].required = True

    def requested_values(self) -> dict[str, Any]:
        return {"expires_on": self.requested_expiry()}


def rate_field(**more: Any) -> WholeNumberField:
    """A number of outreach attempts an hour."""
    return WholeNumberField(
        min_value=CALL_RATE_MINIMUM,
        max_value=CALL_RATE_MAXIMUM,
        label="Outreach attempts an hour",
        error_messages={
            "required": "Enter a whole number.",
            "invalid": "Enter a whole number.",
            "min_value": RATE_LIMITS,
            "max_value": RATE_LIMITS,
        },
        **more,
    )


class SetRateForm(PatchForm):
    """A call rate for the batches that are selected."""

    title = "Set call rate"

    call_rate = rate_field()

    def requested_values(self) -> dict[str, Any]:
        return {"call_rate": self.cleaned_data["call_rate"]}


PAUSE: Final = (("leave", "Leave as it is"), ("pause", "Pause"), ("resume", "Resume"))
RATE: Final = (
    ("leave", "Leave as it is"),
    ("set", "Set to"),
    ("clear", "Clear: the campaign's rate"),
)
AUTO_CALL_RATE: Final = (("leave", "Leave as it is"), ("on", "Switch on"), ("off", "Switch off"))
CLEARED_EXPIRY_WARNING: Final = (
    "The call rate of this batch is automatic, which needs an expiry: the vendor may refuse this, "
    "or end the automatic call rate. Switch it off as well."
)


def _choice(label: str, choices: tuple[tuple[str, str], ...]) -> forms.ChoiceField:
    return forms.ChoiceField(
        label=label, choices=choices, initial="leave", required=False, widget=forms.RadioSelect
    )


class BatchForm(ExpiryMixin):
    """What a person may ask of one batch; everything is left as it is unless they say so."""

    paused = _choice("Pause or resume", PAUSE)
    rate = _choice("Call rate", RATE)
    call_rate = rate_field(required=False)
    auto_call_rate = _choice("Automatic call rate", AUTO_CALL_RATE)

    field_order = ("paused", "expiry", "expires_on", "rate", "call_rate", "auto_call_rate")

    def __init__(self, batch: Batch, *args: Any, may_expand: bool, **more: Any) -> None:
        choices = [Expiry.LEAVE, Expiry.AT, *PRESETS, Expiry.NOW]
        if may_expand:
            choices.append(Expiry.CLEAR)
        super().__init__(*args, choices=choices, **more)
        self.batch = batch
        if not may_expand:
            del self.fields["auto_call_rate"]
            self.set_choices("paused", PAUSE[:2])
            self.set_choices("rate", RATE[:2])

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        self._check_pair("rate", "set", "call_rate", "Enter a whole number.")
        if cleaned.get("auto_call_rate") == "on" and not self._will_expire(cleaned):
            self.add_error("auto_call_rate", f"{LACKS_EXPIRY} Set an expiry as well.")
        return cleaned

    def requested_values(self) -> dict[str, Any]:
        chosen = self.cleaned_data
        rates: dict[str, Any] = {"set": chosen.get("call_rate"), "clear": CLEAR}
        return {
            "paused": {"pause": True, "resume": False}.get(chosen.get("paused", ""), LEAVE),
            "expires_on": self.requested_expiry(),
            "call_rate": rates.get(chosen.get("rate", ""), LEAVE),
            "auto_call_rate": {"on": True, "off": False}.get(
                chosen.get("auto_call_rate", ""), LEAVE
            ),
        }

    @property
    def warnings(self) -> dict[str, str]:
        return {Expiry.CLEAR.value: CLEARED_EXPIRY_WARNING} if self.batch.auto_call_rate else {}

    def _will_expire(self, cleaned: dict[str, Any]) -> bool:
        choice = cleaned.get("expiry") or Expiry.LEAVE
        return self.batch.expires_on is not None if choice == Expiry.LEAVE else True


class PasteForm(forms.Form):
    """A pasted list of batch ids."""

    batch_ids = forms.CharField(
        label="Batch ids",
        strip=False,
        widget=forms.Textarea(attrs={"rows": 12, "spellcheck": "false", "autocomplete": "off"}),
        required=False,
    )
    answers = forms.CharField(required=False, strip=False)
    """The list whose questions are answered, instead of a new one."""
