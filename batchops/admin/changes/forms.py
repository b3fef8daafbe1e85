"""What people type about a change; whether it is possible, the services decide."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from django import forms
from django.utils import timezone

from batchops import wall_times
from batchops.admin.ui.instant_field import InstantField, Preset
from batchops.admin.ui.times import reader_zone
from batchops.admin.ui.whole_number_field import WholeNumberField
from batchops.models import Change
from batchops.services.changes.terms import REASON_LIMIT
from batchops.services.preview.summary import EMERGENCY_REASONS, Preview, recent_reasons
from batchops.syllable.patch import BatchPatch

MORNING: Final = dt.time(8)
MONDAY: Final = 7
"""Days from a Monday to the next."""


class ConfirmForm(forms.Form):
    """Why, and where wanted when, and for how long; and what the page showed."""

    seen = forms.CharField(required=False, widget=forms.HiddenInput)
    reason = forms.CharField(
        max_length=REASON_LIMIT,
        label="Why",
        widget=forms.TextInput(
            attrs={"list": "reasons", "autofocus": True, "autocomplete": "off", "size": 60}
        ),
        error_messages={"required": "Give a reason: it becomes part of the audit trail."},
    )
    reference = forms.CharField(
        max_length=100, required=False, label="Reference", help_text="A ticket, for example."
    )
    starts_at = InstantField(required=False, label="Run at", help_text="Empty: right away.")
    resume_at = InstantField(
        required=False,
        label="Pause until",
        help_text=(
            "Empty: with no end. Exactly the batches paused now, and still as this left them, "
            "are then resumed."
        ),
    )
    protected = forms.BooleanField(
        required=False,
        label="Protected",
        help_text="Legal or compliance: only you, or another with approval, may lift it.",
    )
    typed_count = WholeNumberField(
        min_value=0,
        label="Number of batches that will be changed",
        widget=forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "off", "size": 12}),
        error_messages={
            "required": "Type the number of batches to confirm.",
            "invalid": "Type the number of batches in digits.",
        },
    )

    def __init__(self, preview: Preview, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        change = preview.change
        self.reasons = reasons_for(change)
        if not preview.typed:
            del self.fields["typed_count"]
        if change.patch != BatchPatch(paused=True):
            del self.fields["resume_at"], self.fields["protected"]
        if change.priority == Change.Priority.EMERGENCY or change.expires_now:
            del self.fields["starts_at"]
        self.ends = presets() if "resume_at" in self.fields else []


class DecisionForm(forms.Form):
    """What an approver says, and what the page showed them."""

    seen = forms.CharField(required=False)
    comment = forms.CharField(required=False, max_length=REASON_LIMIT)


class EndForm(forms.Form):
    """When a pause ends."""

    resume_at = InstantField(label="Pause until")
    reason = forms.CharField(label="Why", required=False, max_length=REASON_LIMIT)


class CancelEndForm(forms.Form):
    """Why a pause is to last."""

    reason = forms.CharField(required=False, max_length=REASON_LIMIT)


def initial_for(change: Change, opening: dt.datetime | None) -> dict[str, Any]:
    """What a draft is confirmed with when the person types nothing."""
    initial: dict[str, Any] = {"reason": change.reason, "reference": change.reference}
    initial["seen"] = change.fingerprint
    if change.priority == Change.Priority.EMERGENCY:
        initial["reason"] = EMERGENCY_REASONS[0]
    if change.source == Change.Source.RETRY and change.follows:
        initial["resume_at"] = _if_ahead(change.follows.resume_at)
    if opening is not None:
        initial["starts_at"] = opening
    return initial


def reasons_for(change: Change) -> list[str]:
    """Reasons for one click: those of an emergency, or the person's own of late."""
    if change.priority == Change.Priority.EMERGENCY:
        return list(EMERGENCY_REASONS)
    user = change.requested_by
    return recent_reasons(user, expanding=change.expands_outreach) if user else []


def presets() -> list[Preset]:
    """Ends of a pause for one click; durations are counted in UTC, days in the reader's zone."""
    now, zone = timezone.now(), reader_zone()
    today = timezone.localdate()
    days = [("Tomorrow 08:00", 1)]
    if today.weekday() != MONDAY - 1:
        days.append(("Monday 08:00", 7 - today.weekday()))
    mornings = [
        (words, dt.datetime.combine(today + dt.timedelta(days=ahead), MORNING))
        for words, ahead in days
    ]
    return [
        Preset.of("In 2 hours", now + dt.timedelta(hours=2)),
        *(Preset.of(words, wall_times.nearest(wall, zone)) for words, wall in mornings),
    ]


def _if_ahead(moment: dt.datetime | None) -> dt.datetime | None:
    return moment if moment and moment > timezone.now() else None
