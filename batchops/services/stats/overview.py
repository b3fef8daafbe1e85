"""The numbers of the overview, from those that the database keeps."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Q, Sum

from batchops.models import (
    ENDED_STATUSES,
    OPEN_STATES,
    Batch,
    BatchCount,
    Campaign,
    Change,
    KnownStatus,
)

CAMPAIGNS_SHOWN: Final = 12
CHANGES_SHOWN: Final = 12
STATUS_ORDER: Final = (
    KnownStatus.ACTIVE,
    KnownStatus.PENDING,
    KnownStatus.PAUSED,
    KnownStatus.FAILED,
    KnownStatus.EXPIRED,
    KnownStatus.CANCELED,
)
OTHER: Final = ""
"""Stands for every status that batchops does not know."""


@dataclass(frozen=True, slots=True)
class CampaignRow:
    """The batches of one campaign by status; `campaign` is None for all the smaller ones."""

    campaign: Campaign | None
    campaigns: int
    by_status: dict[str, int]

    @property
    def total(self) -> int:
        return sum(self.by_status.values())


@dataclass(frozen=True, slots=True)
class Overview:
    """How many batches are in which condition, altogether and by campaign."""

    figures: dict[str, int]
    rows: tuple[CampaignRow, ...]


PRESENT: Final = Q(is_deleted=False, is_missing=False)
LIVE: Final = PRESENT & ~Q(status__in=ENDED_STATUSES)
COUNTED: Final = {
    "on": LIVE & (Q(paused=False) | Q(paused=None)),
    "paused": LIVE & Q(paused=True),
    "failed": PRESENT & Q(status=KnownStatus.FAILED),
    "changed_externally": PRESENT & Q(is_changed_externally=True),
    "shared_id": PRESENT & Q(shares_its_id=True),
    "missing": Q(is_missing=True, is_deleted=False),
    "present": PRESENT,
}
"""What is told by the kept numbers; each is the filter of the same name on the batch list."""


def overview() -> Overview:
    """How many batches there are of what, by few queries, whatever their number."""
    # Prefixed, since a sum may not have the name of a column.
    sums: dict[str, Any] = {
        f"number_{name}": Sum("number", filter=where, default=0) for name, where in COUNTED.items()
    }
    groups: list[Any] = list(
        BatchCount.objects.order_by().values("campaign_id", "status").annotate(**sums)
    )
    figures = {name: sum(group[f"number_{name}"] for group in groups) for name in COUNTED}
    batches = Batch.objects.all()
    figures["no_end"] = figures["paused"] - batches.paused_until_an_end().count()
    figures["expiring_24h"] = batches.expiring_within(dt.timedelta(hours=24)).count()
    return Overview(figures, _rows(groups))


def open_changes() -> list[Change]:
    """Changes that run, wait or are scheduled: halted and running ones first."""
    return list(
        Change.objects.filter(state__in=OPEN_STATES).order_by("-started_at", "starts_at")[
            :CHANGES_SHOWN
        ]
    )


def by_status(campaign: Campaign) -> dict[str, int]:
    """The present batches of a campaign by status, in the order in which they are shown."""
    rows = BatchCount.objects.filter(campaign=campaign).present().order_by()
    return _ordered(dict(rows.values_list("status").annotate(Sum("number"))))


def _rows(groups: list[Any]) -> tuple[CampaignRow, ...]:
    counts: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for group in groups:
        if group["number_present"]:
            status = group["status"] if group["status"] in KnownStatus.values else OTHER
            counts[group["campaign_id"]][status] += group["number_present"]
    order = sorted(counts, key=lambda key: (-sum(counts[key].values()), key))
    # One campaign too many takes no more room than "1 other" would.
    shown = CAMPAIGNS_SHOWN + (len(order) == CAMPAIGNS_SHOWN + 1)
    campaigns = Campaign.objects.in_bulk(order[:shown])
    rows = [CampaignRow(campaigns[key], 1, _ordered(counts[key])) for key in order[:shown]]
    rest = order[shown:]
    if rest:
        together: dict[str, int] = defaultdict(int)
        for key in rest:
            for status, number in counts[key].items():
                together[status] += number
        rows.append(CampaignRow(None, len(rest), _ordered(together)))
    return tuple(rows)


def _ordered(by_status: dict[str, int]) -> dict[str, int]:
    known = {status.value: by_status[status] for status in STATUS_ORDER if by_status.get(status)}
    others = {name: number for name, number in sorted(by_status.items()) if name not in known}
    return known | {name: number for name, number in others.items() if number}
