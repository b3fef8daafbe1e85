"""TrailFilter: which entries of the trail a reviewer wants to see."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass, fields
from typing import Final

from django.db import models

from batchops.services.errors import InvalidInput

SEARCH_LIMIT: Final = 255


class Origin(models.TextChoices):
    """Whether batchops did it, or the vendor's console, command line or another key."""

    INSIDE = "inside", "Inside batchops"
    OUTSIDE = "outside", "Outside batchops"


ACTION_GROUPS: Final = {
    "change": "Changes",
    "batch": "Batches",
    "view": "Views",
    "export": "Exports",
    "sync": "Syncs",
    "account": "Accounts",
    "group": "Groups",
    "access": "Access",
    "notice": "Notices",
    "audit": "Trail",
}
"""The groups of actions by their namespace, each with a label for people."""


@dataclass(frozen=True, slots=True)
class TrailFilter:
    """What a reviewer wants to see. Empty means all. `until` is exclusive; both are aware."""

    person: str = ""
    group: str = ""
    action: str = ""
    batch_id: str = ""
    campaign_id: int | None = None
    change_id: uuid.UUID | None = None
    outcome: str = ""
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    origin: str = ""
    failed: bool = False
    not_reviewed: bool = False
    search: str = ""

    def __post_init__(self) -> None:
        if self.since and self.until and self.since >= self.until:
            raise InvalidInput("The period ends before it begins: swap the two dates.", "until")

    def describe(self) -> str:
        """The filter in words, as the trail keeps it beside an export or a review."""
        chosen = ((words, getattr(self, name)) for name, words in _WORDS.items())
        parts = [f"{words}: {_shown(value)}" for words, value in chosen if value not in _NOTHING]
        return "; ".join(parts) or "everything"


FILTER_NAMES: Final = tuple(field.name for field in fields(TrailFilter))
_WORDS: Final = {
    "person": "person",
    "group": "kind",
    "action": "action",
    "batch_id": "batch",
    "campaign_id": "campaign",
    "change_id": "change",
    "outcome": "outcome",
    "since": "from",
    "until": "before",
    "origin": "made",
    "failed": "only what failed",
    "not_reviewed": "only what is not reviewed",
    "search": "search",
}
_NOTHING: Final = ("", None, False)


def _shown(value: object) -> str:
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
    return "yes" if value is True else str(value)
