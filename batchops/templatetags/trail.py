"""How the audit trail is written on pages: sentences, differences, outcomes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final
from uuid import UUID

from django import template
from django.utils import timezone
from django.utils.safestring import SafeString

from batchops.admin.ui import pills
from batchops.models import ActorKind, AuditEntry, Change
from batchops.services.trail import sentences
from batchops.services.trail.sentences import Difference
from batchops.syllable.patch import FIELD_LABELS

register = template.Library()

LABELS: Final = {**FIELD_LABELS, "resume_at": "Resumes by itself"}


@register.filter
def sentence(entry: AuditEntry) -> str:
    """An entry as one sentence, with instants in the reader's zone."""
    return sentences.sentence(entry, timezone.get_current_timezone())


@register.filter
def differences(entry: AuditEntry) -> list[Difference]:
    """What differs between an entry's before and after, in the reader's zone."""
    return sentences.differences(entry, timezone.get_current_timezone())


@register.filter
def linkable_changes(entries: AuditEntry | Iterable[AuditEntry]) -> set[UUID]:
    """The changes of an entry, or of several, that have a page: a draft is its author's alone."""
    found = (entries,) if isinstance(entries, AuditEntry) else entries
    keys = {entry.change_id for entry in found if entry.change_id}
    return set(Change.objects.visible().filter(pk__in=keys).values_list("pk", flat=True))


@register.filter
def actor_kind(kind: str) -> str:
    """What kind of actor an entry names, or the kind itself when this version does not know it."""
    return str(ActorKind(kind).label) if kind in ActorKind.values else kind


@register.filter
def field_label(name: str) -> str:
    """What people call a recorded field."""
    return LABELS.get(name, name.replace("_", " ").capitalize())


@register.filter
def note(entry: AuditEntry) -> str:
    """The vendor's words or a person's comment, which an entry carries beside its reason."""
    detail: Any = entry.detail
    if not isinstance(detail, dict):
        return ""
    words = (detail.get(key) for key in ("message", "comment"))
    return next((sentences.shown(text) for text in words if isinstance(text, str)), "")


@register.filter
def entry_outcome(outcome: str) -> str | SafeString:
    """An outcome as icon and word; nothing when an entry has none."""
    if not outcome:
        return ""
    return pills.pill(*pills.ENTRY_OUTCOMES.get(outcome, (outcome, pills.UNKNOWN)))
