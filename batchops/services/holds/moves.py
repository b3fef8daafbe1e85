"""Placing and lifting holds, in the transaction of the fact that brings it about.

The batches are locked before their holds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from django.db.models import OuterRef, Subquery
from django.utils import timezone

from batchops.models import Batch, Change, Hold, ItemState
from batchops.services.bulk import update_in_order
from batchops.services.holds.covered import KEPT, covered


def place(change: Change, batch_ids: Collection[str], found: Collection[str] = ()) -> None:
    """Leave a hold of a pause on these batches; an undo puts back those it had lifted.

    `found` are those of them that were paused already: by others here, or outside batchops.
    """
    restored: set[str] = set()
    if change.source == Change.Source.UNDO:
        lifted = Hold.objects.filter(lifted_by=change.follows_id, batch__in=batch_ids)
        restored = set(lifted.values_list("batch_id", flat=True))
        update_in_order(lifted, lifted_at=None, lifted_by=None)
    standing = Hold.objects.filter(batch__in=found, lifted_at=None, found_outside=False)
    outside = set(found) - set(standing.values_list("batch_id", flat=True))
    now = timezone.now()
    Hold.objects.bulk_create(
        [
            Hold(
                batch_id=batch_id,
                change=change,
                placed_at=now,
                found_outside=batch_id in outside,
            )
            for batch_id in sorted(set(batch_ids) - restored)
        ],
        ignore_conflicts=True,
    )


def lift(change: Change, batch_ids: Collection[str]) -> dict[str, list[str]]:
    """Lift all holds of batches that a change has resumed; whose and why, by batch."""
    holds = Hold.objects.filter(batch__in=batch_ids, lifted_at=None)
    found: dict[str, list[str]] = {}
    for batch_id, name, reason in holds.values_list(
        "batch_id", "change__requested_by_name", "change__reason"
    ):
        found.setdefault(batch_id, []).append(f"{name}: {reason}")
    if found:
        update_in_order(holds, lifted_at=timezone.now(), lifted_by=change)
    return found


def lift_without_resuming(change: Change) -> int:
    """Lift what a change may lift on batches that others keep paused; returns how many holds."""
    on_kept = change.items.filter(state=ItemState.SKIPPED, message=KEPT)
    mine = Hold.objects.filter(covered(change), lifted_at=None)
    held = mine.filter(batch__in=on_kept.values("batch_id"))
    if change.source == Change.Source.UNDO and change.follows is not None:
        already = change.follows.items.filter(state=ItemState.UNCHANGED)
        held = held | mine.filter(batch__in=already.values("batch_id"))
    if not held.exists():
        return 0
    rest = Hold.objects.filter(batch=OuterRef("pk"), lifted_at=None).exclude(
        pk__in=held.values("pk")
    )
    latest = rest.order_by("-placed_at", "-pk").values("change")[:1]
    update_in_order(Batch.objects.filter(pk__in=held.values("batch")), paused_by=Subquery(latest))
    return update_in_order(held, lifted_at=timezone.now(), lifted_by=change)


def end_released(rows: Iterable[Batch]) -> None:
    """End the holds of batches that were seen no longer paused."""
    released = [row.pk for row in rows if row.pause_ended]
    if released:
        ended = Hold.objects.filter(batch__in=released, lifted_at=None)
        update_in_order(ended, lifted_at=timezone.now())
