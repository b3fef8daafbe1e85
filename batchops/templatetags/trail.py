"""How the audit trail is written on pages: sentences, differences, outcomes."""

from __future__ import annotations

from typing import Any, Final

from django import template
from django.utils import timezone

from batchops.models import Action, AuditEntry
from batchops.services import audit_differences
from batchops.services.audit_differences import Difference

register = template.Library()

OUTCOMES: Final = {
    "ok": ("good", "✓", "Done"),
    "applied": ("good", "✓", "Applied"),
    "unchanged": ("quiet", "=", "Already so"),
    "skipped": ("quiet", "»", "Skipped"),
    "stopped": ("quiet", "■", "Stopped"),
    "outside": ("notice", "↯", "Outside"),
    "conflict": ("notice", "⇄", "Changed meanwhile"),
    "not_confirmed": ("notice", "?", "Not confirmed"),
    "with failures": ("notice", "!", "With failures"),
    "halted": ("notice", "‖", "Halted"),
    "unasked": ("bad", "!", "Moved unasked"),
    "not_applied": ("bad", "✕", "Not applied"),
    "refused": ("bad", "✕", "Refused"),
    "failed": ("bad", "✕", "Failed"),
    "denied": ("bad", "⊘", "Denied"),
}
"""Tone, icon and word of each known outcome; others are shown as they are."""


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


@register.inclusion_tag("batchops/outcome.html")
def outcome_pill(outcome: str) -> dict[str, str]:
    """An outcome as icon and word; nothing when an entry has none."""
    tone, icon, word = OUTCOMES.get(outcome, ("quiet", "•", outcome))
    return {"tone": tone, "icon": icon, "word": word}
