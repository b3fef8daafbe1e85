"""Which holds a change may lift; the others keep their batches paused."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from django.db.models import Count, Exists, OuterRef, Q, QuerySet

from batchops.models import Change, ChangeItem, Hold, ItemState

KEPT: Final = "Stays paused: others hold it."
"""What an item says whose batch others, or other pauses, keep paused."""
SHOWN: Final = 12
"""Pauses that a preview lists."""


@dataclass(frozen=True, slots=True)
class Holder:
    """A pause that holds some batches of a draft; `is_kept`: the draft leaves it standing."""

    pause: Change
    number: int
    is_kept: bool


def covered(change: Change) -> Q:
    """The holds that a change may lift.

    One's own, of pauses confirmed before it; ending, undoing or resuming a pause lifts that one's
    holds alone. Whoever overrides lifts those that stood when the draft was made.
    """
    if change.lifts == Change.Lifts.ALL:
        return Q(placed_at__lte=change.created_at)
    if change.lifts == Change.Lifts.FOLLOWED:
        return Q(change=change.follows_id)
    own = Q(change__requested_by=change.requested_by_id, change__requested_by__isnull=False)
    if change.source in (Change.Source.RESUME, Change.Source.UNDO):
        return own & Q(change=change.follows_id)
    if change.confirmed_at is None:
        return own
    return own & Q(change__confirmed_at__lt=change.confirmed_at)


def kept(change: Change) -> Exists:
    """Whether a hold that the change may not lift stands on the batch of the row at hand."""
    return Exists(_kept(change).filter(batch=OuterRef("batch_id")))


def kept_among(change: Change, batch_ids: Collection[str]) -> dict[str, str]:
    """Who keeps which of these batches paused, in words, against the change."""
    found: dict[str, str] = {}
    holds = _kept(change).filter(batch__in=batch_ids).select_related("change")
    for hold in holds.order_by("batch_id", "placed_at", "pk"):
        name = hold.change.requested_by_name
        found[hold.batch_id] = f"{found[hold.batch_id]}, {name}" if hold.batch_id in found else name
    return found


def lifts_on_kept(change: Change) -> bool:
    """Whether a change lifts holds on batches that others keep paused."""
    items = change.items.filter(state=ItemState.SKIPPED, message=KEPT)
    mine = Hold.objects.filter(covered(change), lifted_at=None)
    return mine.filter(batch__in=items.values("batch_id")).exists()


def lifts_protected(change: Change) -> bool:
    """Whether a change would lift protected holds of other people."""
    return (
        change.lifts == Change.Lifts.ALL
        and _on(change)
        .filter(covered(change), change__protected=True)
        .exclude(change__requested_by=change.requested_by_id)
        .exists()
    )


def holders(change: Change) -> list[Holder]:
    """The pauses that hold batches of a draft, those with the most first; at most `SHOWN`."""
    counted = _on(change).order_by().values("change").annotate(number=Count("pk"))
    numbers = {row["change"]: row["number"] for row in counted.order_by("-number")[:SHOWN]}
    standing = set(
        Change.objects.filter(
            Exists(_kept(change).filter(change=OuterRef("pk"))), pk__in=numbers
        ).values_list("pk", flat=True)
    )
    pauses = Change.objects.in_bulk(numbers)
    return [Holder(pauses[key], number, key in standing) for key, number in numbers.items()]


def _kept(change: Change) -> QuerySet[Hold]:
    """The end of a pause leaves paused what was paused outside before: that is not its hold."""
    stays = ~covered(change)
    if change.source == Change.Source.RESUME and change.lifts != Change.Lifts.ALL:
        stays |= Q(found_outside=True)
    return Hold.objects.filter(stays, lifted_at=None)


def _on(change: Change) -> QuerySet[Hold]:
    """The holds that stand on batches of a change."""
    items = ChangeItem.objects.filter(change=change, batch=OuterRef("batch"))
    return Hold.objects.filter(Exists(items), lifted_at=None)
