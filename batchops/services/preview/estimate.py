"""Whom a change of one batch would reach: requests that wait, and when they would be done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.utils import timezone

from batchops.models import Batch, Change, ChangeItem
from batchops.services.preview import request_counts
from batchops.services.preview.forecast import Forecast, forecast
from batchops.services.quotas import QuotaReached
from batchops.syllable.errors import SyllableError
from batchops.syllable.patch import BatchPatch, Values

if TYPE_CHECKING:
    from django.contrib.auth.models import User


@dataclass(frozen=True, slots=True)
class Estimate:
    """Requests that wait at the vendor, and the estimate for them where one can be made."""

    waiting: int
    forecast: Forecast | None


def estimate(change: Change, reader: User | None = None) -> Estimate | None:
    """The estimate of a draft that lets outreach reach more people through one batch.

    `reader` is who looks, where that is not the requester. None for any other change, and where
    the vendor does not tell: nobody waits long for it.
    """
    if change.expanding_count != 1:
        return None
    item = (
        change.items.filter(plan=ChangeItem.Plan.ACT, expands_outreach=True)
        .select_related("batch__campaign")
        .get()
    )
    try:
        counts = request_counts.read(item.batch_id, reader or change.requested_by)
    except (SyllableError, QuotaReached):
        return None
    if counts.by_status is None:
        return None
    after = _as_it_would_be(item.batch, item.requested(change))
    return Estimate(counts.waiting, forecast(after, counts.waiting, timezone.now()))


def _as_it_would_be(batch: Batch, patch: BatchPatch) -> Batch:
    """The row at hand with the wanted values; it is never saved."""
    wanted = patch.applied_to(Values.of(batch))
    batch.paused, batch.expires_on = wanted.paused, wanted.expires_on
    batch.call_rate, batch.auto_call_rate = wanted.call_rate, wanted.auto_call_rate
    return batch
