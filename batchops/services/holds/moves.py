"""Placing and lifting holds, in the transaction of the fact that brings it about.

The batches are locked before their holds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from django.db import transaction
from django.db.models import OuterRef, Subquery
from django.utils import timezone

from batchops import audit
from batchops.models import Action, Batch, Change, Hold
from batchops.services.bulk import update_in_order
from batchops.services.holds import overrides
from batchops.services.holds.covered import on_kept

LIFTED_AT_ONCE: Final = 2_000
"""Holds lifted in one transaction; some tens of milliseconds on SQLite."""


def place(change: Change, batch_ids: Collection[str], found: Mapping[str, str]) -> None:
    """Leave a hold of a pause on these batches; an undo puts back those that it undoes the lift of.

    `found` are those of them that were paused already, with who changed them last by the vendor:
    what nobody holds of these was paused outside.
    """
    restored: set[str] = set()
    if change.source == Change.Source.UNDO:
        lifted = Hold.objects.filter(lifted_by=change.follows_id, batch__in=batch_ids)
        restored = set(lifted.values_list("batch_id", flat=True))
        # What was paused outside again meanwhile has its hold already.
        held = Hold.objects.filter(change=None, lifted_at=None, batch__in=batch_ids)
        again = lifted.exclude(change=None, batch__in=held.values("batch"))
        update_in_order(again, lifted_at=None, lifted_by=None)
    _hold_outside(found)
    now = timezone.now()
    Hold.objects.bulk_create(
        [
            Hold(batch_id=batch_id, change=change, placed_at=now)
            for batch_id in sorted(set(batch_ids) - restored)
        ],
        ignore_conflicts=True,
    )


@dataclass(frozen=True, slots=True)
class Lifted:
    """What was lifted: whose holds and why, by batch, and what their owners are told."""

    by_batch: dict[str, list[str]]
    facts: list[audit.Fact]


def lift(change: Change, batch_ids: Collection[str]) -> Lifted:
    """Lift all holds of batches that a change has resumed."""
    standing = Hold.objects.filter(batch__in=batch_ids, lifted_at=None).select_related("change")
    holds = list(standing)
    if not holds:
        return Lifted({}, [])
    by_batch: dict[str, list[str]] = {}
    for hold in holds:
        words = f"{hold.owner}: {hold.reason}" if hold.reason else hold.owner
        by_batch.setdefault(hold.batch_id, []).append(words)
    keys = [hold.pk for hold in holds]
    update_in_order(Hold.objects.filter(pk__in=keys), lifted_at=timezone.now(), lifted_by=change)
    pauses = {hold.change for hold in holds if hold.change is not None}
    return Lifted(by_batch, overrides.tell_owners(pauses, change))


def lift_without_resuming(change: Change) -> None:
    """Lift what a change may lift on batches that others keep paused, part by part.

    Each part has its entry. What was begun and broken off is taken up by calling it again.
    """
    while _lift_a_part(change):
        pass


def _lift_a_part(change: Change) -> bool:
    """Lift some of what `lift_without_resuming` lifts; whether there was any."""
    with transaction.atomic():
        batch_ids = list(on_kept(change).order_by("pk").values_list("batch_id")[:LIFTED_AT_ONCE])
        rows = Batch.objects.filter(pk__in=[key for (key,) in batch_ids])
        locked = list(rows.select_for_update(no_key=True).order_by("pk").values_list("pk"))
        # Looked at again now that nobody else moves them: one hold has to stay.
        lifted = on_kept(change).filter(batch__in=[key for (key,) in locked])
        holds = list(lifted.select_related("change"))
        if not holds:
            return bool(batch_ids)
        keys = [hold.pk for hold in holds]
        update_in_order(
            Hold.objects.filter(pk__in=keys), lifted_at=timezone.now(), lifted_by=change
        )
        latest = Hold.objects.filter(batch=OuterRef("pk"), lifted_at=None, change__isnull=False)
        update_in_order(
            rows, paused_by=Subquery(latest.order_by("-placed_at", "-pk").values("change")[:1])
        )
        actor = audit.Actor.system_for(change)
        detail = {"holds": len(keys), "lifts": change.lifts}
        audit.record(
            audit.Fact.about_change(Action.HOLDS_LIFTED, actor, change, detail=detail),
            *overrides.tell_owners({hold.change for hold in holds if hold.change}, change),
        )
    return True


def keep_true(rows: Iterable[Batch]) -> None:
    """Bring the holds of rows in line with what was just seen of them.

    What is no longer paused is held by nobody. What is paused, and was not before, is held by the
    pause of ours that did it, if one did, and else by whoever paused it outside.
    """
    moved = [row for row in rows if row.pause_moved]
    if ended := [row.pk for row in moved if row.paused is False]:
        update_in_order(
            Hold.objects.filter(batch__in=ended, lifted_at=None), lifted_at=timezone.now()
        )
    _where_none_stands(
        {
            row.pk: Hold(batch_id=row.pk, change_id=row.paused_by_id)
            if row.paused_by_id
            else Hold(batch_id=row.pk, outside_name=row.last_updated_by[:255])
            for row in moved
            if row.paused
        }
    )


def _hold_outside(found: Mapping[str, str]) -> None:
    """Hold for outside what of these paused batches nobody holds; with who paused each."""
    holds = {key: Hold(batch_id=key, outside_name=name[:255]) for key, name in found.items()}
    _where_none_stands(holds)


def _where_none_stands(holds: Mapping[str, Hold]) -> None:
    """Place these holds, by batch, on those of the batches that nobody holds."""
    if not holds:
        return
    standing = Hold.objects.filter(batch__in=list(holds), lifted_at=None)
    held = set(standing.values_list("batch_id", flat=True))
    placed = [holds[key] for key in sorted(set(holds) - held)]
    now = timezone.now()
    for hold in placed:
        hold.placed_at = now
    Hold.objects.bulk_create(placed, ignore_conflicts=True)
