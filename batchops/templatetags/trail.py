"""How the audit trail is written on pages: sentences, differences, outcomes."""

from __future__ import annotations

from typing import Any, Final

from django import template
from django.utils import timezone
from django.utils.safestring import SafeString

from batchops.admin import pills
from batchops.admin.pills import Look
from batchops.models import Action, AuditEntry, ChangeItem
from batchops.services import audit_differences
from batchops.services.audit_differences import Difference

register = template.Library()

OUTCOMES: Final = {
    "ok": ("Done", Look("check", "good")),
    "outside": ("Outside", Look("drift", "warn")),
    "not_confirmed": ("Not confirmed", Look("question", "warn")),
    "with failures": ("With failures", Look("warning", "warn")),
    "halted": ("Halted", Look("warning", "bad")),
    "unasked": ("Moved unasked", Look("warning", "bad")),
    "denied": ("Denied", Look("ban", "bad")),
    **{state.value: (str(state.label), pills.OUTCOME_LOOKS[state]) for state in ChangeItem.State},
}
"""The word and the look of each known outcome; others are shown as they are."""


@register.filter
def sentence(entry: AuditEntry) -> str:
    """An entry as one sentence, with instants in the reader's zone."""
    about = f" {entry.batch_id}" if entry.batch_id else ""
    return f"{entry.actor_name}: {Action.label_of(entry.action)}{about}"


@register.filter
def differences(entry: AuditEntry) -> list[Difference]:
    """What differs between an entry's before and after, in the reader's zone."""
    return audit_differences.differences(entry, timezone.get_current_timezone())


@register.filter
def note(entry: AuditEntry) -> str:
    """The vendor's or the person's words that an entry carries beside its reason."""
    detail: Any = entry.detail
    if not isinstance(detail, dict):
        return ""
    words = (detail.get(key) for key in ("message", "why", "comment"))
    return next((text for text in words if isinstance(text, str) and text), "")


@register.filter
def entry_outcome(outcome: str) -> str | SafeString:
    """An outcome as icon and word; nothing when an entry has none."""
    if not outcome:
        return ""
    return pills.pill(*OUTCOMES.get(outcome, (outcome, pills.UNKNOWN)))
