"""The overview: what is on, what runs, what waits, what needs somebody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.http import HttpRequest
from django.urls import reverse

from batchops import permissions
from batchops.admin.ui import bars
from batchops.admin.ui.base import current_user
from batchops.models import AuditEntry, Change, ChangeState
from batchops.services.holds import overrides
from batchops.services.stats import attention, overview, upcoming
from batchops.services.stats.attention import Slot
from batchops.services.stats.overview import CampaignRow

ENTRIES_SHOWN: Final = 8
TILES: Final = (
    ("on", "Live, not paused", "play", "good"),
    ("paused", "Paused", "pause", "pause"),
    ("no_end", "Paused with no end", "pause", "warn"),
    ("expiring_24h", "Expiring in 24 h", "hourglass", "info"),
    ("failed", "Failed", "cross", "bad"),
    ("changed_externally", "Changed outside", "outside", "info"),
    ("shared_id", "Id in several campaigns", "warning", "bad"),
    ("missing", "Missing at the vendor", "question", "bad"),
)
"""Filter of the batch list, words, icon and tone."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A number that leads to its batches; it is toned only when there is something to see."""

    number: int
    words: str
    icon: str
    tone: str
    address: str


@dataclass(frozen=True, slots=True)
class CampaignBar:
    """A campaign's bar, with its sentence for those who hear it."""

    name: str
    address: str
    total: int
    parts: list[bars.Part]

    @property
    def sentence(self) -> str:
        return ", ".join(f"{part.number:,} {part.words.lower()}" for part in self.parts)


@dataclass(frozen=True, slots=True)
class ExpiryBar:
    """How many batches expire in some hours; `left` in percents, `height` of 30."""

    slot: Slot
    left: int
    height: float

    @property
    def top(self) -> float:
        return 30 - self.height


def context(request: HttpRequest) -> dict[str, Any]:
    """What the overview shows of what the person may see."""
    shown: dict[str, Any] = {}
    if request.user.has_perm(permissions.VIEW_BATCHES):
        numbers = overview.overview()
        shown |= {
            "tiles": _tiles(numbers.figures),
            "bars": _bars(numbers.rows),
            "legend": _legend(numbers.rows),
        }
    if request.user.has_perm(permissions.VIEW_CHANGES):
        shown["groups"] = _groups(overview.open_changes())
        shown["needs"] = attention.needs(current_user(request))
        shown["freezes"] = upcoming.open_freezes()
        shown["soon"] = attention.soon(shown["freezes"])
        shown["expiry_bars"] = _expiry_bars(shown["soon"].expiries)
        shown["overridden"] = overrides.unseen_by(current_user(request))
    if request.user.has_perm(permissions.VIEW_TRAIL):
        shown["entries"] = list(AuditEntry.objects.order_by("-sequence")[:ENTRIES_SHOWN])
    return shown


def _expiry_bars(slots: Sequence[Slot]) -> list[ExpiryBar]:
    most = max((slot.number for slot in slots), default=0)
    return [
        ExpiryBar(slot, 100 * place // len(slots), round(30 * slot.number / most, 1) if most else 0)
        for place, slot in enumerate(slots)
    ]


def _tiles(figures: dict[str, int]) -> list[Tile]:
    batches = reverse("admin:batchops_batch_changelist")
    return [
        Tile(
            figures[name], words, icon, tone if figures[name] else "quiet", f"{batches}?show={name}"
        )
        for name, words, icon, tone in TILES
    ]


def _bars(rows: tuple[CampaignRow, ...]) -> list[CampaignBar]:
    widest = max((row.total for row in rows), default=0)
    return [
        CampaignBar(
            str(row.campaign) if row.campaign else f"{row.campaigns:,} other campaigns",
            reverse("admin:batchops_campaign_change", args=[row.campaign.pk])
            if row.campaign
            else reverse("admin:batchops_campaign_changelist"),
            row.total,
            bars.parts(row.by_status, widest, bars.BATCH_STYLES),
        )
        for row in rows
    ]


def _legend(rows: tuple[CampaignRow, ...]) -> list[bars.Part]:
    """One part for each status that occurs, with its number altogether."""
    together: dict[str, int] = {}
    for row in rows:
        for status, number in row.by_status.items():
            together[status] = together.get(status, 0) + number
    return bars.parts(together, sum(together.values()), bars.BATCH_STYLES)


def _groups(changes: list[Change]) -> list[tuple[str, list[Change]]]:
    """The open changes under the headings under which people look for them."""
    states = ChangeState
    headings = {
        "Running": (states.RUNNING, states.QUEUED),
        "Waiting for approval": (states.AWAITING_APPROVAL,),
        "Scheduled": (states.SCHEDULED,),
    }
    groups = [
        (heading, [change for change in changes if change.state in of_heading])
        for heading, of_heading in headings.items()
    ]
    return [(heading, found) for heading, found in groups if found]
