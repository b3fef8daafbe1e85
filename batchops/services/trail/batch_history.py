"""The history of one batch for whoever may see that: all that was done to it and seen of it.

Read through the index of its entries, newest first, page by page.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from django.db import models

from batchops.models import Action, AuditEntry
from batchops.services.trail.search import FAILED_OUTCOMES

PAGE_SIZE: Final = 30
_OUTSIDE: Final = (
    Action.BATCH_CHANGED_OUTSIDE,
    Action.BATCH_CHANGED_WITH_OUR_KEY,
    Action.BATCH_STATUS_CHANGED,
    Action.BATCH_MISSING,
    Action.BATCH_FOUND_AGAIN,
    Action.BATCH_ID_SHARED,
    Action.BATCH_ID_UNIQUE,
)


class HistoryKind(models.TextChoices):
    """What of a history is shown."""

    ALL = "", "All"
    OURS = "ours", "Through batchops"
    OUTSIDE = "outside", "Seen from outside"
    TROUBLE = "trouble", "Not as asked"


@dataclass(frozen=True, slots=True)
class History:
    """Entries, newest first; `before` (a sequence) leads to older ones."""

    entries: list[AuditEntry]
    before: int | None


def history(batch_id: str, kind: HistoryKind, before: int | None = None) -> History:
    """A page of the history of a batch, older than `before`."""
    found = AuditEntry.objects.filter(batch_id=batch_id).order_by("-sequence")
    if kind == HistoryKind.OUTSIDE:
        found = found.filter(action__in=_OUTSIDE)
    elif kind == HistoryKind.OURS:
        found = found.exclude(action__in=_OUTSIDE)
    elif kind == HistoryKind.TROUBLE:
        found = found.filter(outcome__in=FAILED_OUTCOMES)
    if before is not None:
        found = found.filter(sequence__lt=before)
    entries = list(found[: PAGE_SIZE + 1])
    shown = entries[:PAGE_SIZE]
    return History(shown, shown[-1].sequence if len(entries) > PAGE_SIZE else None)
