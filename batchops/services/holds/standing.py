"""The holds that stand, for those who show them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from django.db.models import Prefetch, prefetch_related_objects

from batchops.models import Batch, Hold

ATTRIBUTE: Final = "standing_holds"


def prefetch(batches: Iterable[Batch]) -> None:
    """Read the holds of all these batches by one query, for `of`."""
    holds = Hold.objects.filter(lifted_at=None).select_related("change")
    prefetch_related_objects(list(batches), Prefetch("holds", holds, to_attr=ATTRIBUTE))


def of(batch: Batch) -> list[Hold]:
    """The holds that stand on a paused batch, the oldest first."""
    if not batch.paused:
        return []
    if not hasattr(batch, ATTRIBUTE):
        prefetch([batch])
    found: list[Hold] = getattr(batch, ATTRIBUTE)
    return found
