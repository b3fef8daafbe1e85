"""Which holds a change may lift; the others keep their batches paused."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from django.db.models import Count, Exists, Min, OuterRef, Q, QuerySet

from batchops.models import Change, ChangeItem, Hold, ItemState

KEPT: Final = "Stays paused: others hold it."
"""What an item says whose batch others, or other pauses, keep paused."""
SHOWN: Final = 12
"""Pauses that a preview lists."""

Source, Lifts = Change.Source, Change.Lifts


@dataclass(frozen=True, slots=True)
class Holder:
    """A pause that holds some batches of a draft, shown by one of its holds.

    `is_kept`: the draft leaves its holds standing.
    """

    hold: Hold
    number: int
    is_kept: bool


def covered(change: Change) -> Q:
    """The holds that a change may lift.

    One's own, of pauses confirmed before it; ending, undoing or resuming a pause lifts that one's
    holds alone. Nobody here owns what was paused outside: whoever resumes the batch lifts it, if
    they could see it. Whoever overrides lifts what stood when the draft was made.
    """
    if change.lifts == Lifts.ALL:
        return Q(placed_at__lte=change.created_at)
    if change.lifts == Lifts.FOLLOWED:
        return Q(change=change.follows_id)
    own = Q(change__requested_by=change.requested_by_id, change__requested_by__isnull=False)
    if ends_a_pause(change):
        return own & Q(change=change.follows_id)
    if change.confirmed_at is not None:
        own &= Q(change__confirmed_at__lt=change.confirmed_at)
    return own | Q(change=None, placed_at__lte=change.created_at)


def ends_a_pause(change: Change) -> bool:
    """Whether a change is about the holds of one pause alone."""
    return change.source in (Source.RESUME, Source.END, Source.UNDO)


def kept(change: Change) -> Exists:
    """Whether a hold that the change may not lift stands on the batch of the row at hand."""
    return Exists(_kept(change).filter(batch=OuterRef("batch_id")))


def kept_among(change: Change, batch_ids: Collection[str]) -> dict[str, str]:
    """Who keeps which of these batches paused, in words, against the change."""
    found: dict[str, str] = {}
    holds = _kept(change).filter(batch__in=batch_ids).select_related("change")
    for hold in holds.order_by("batch_id", "placed_at", "pk"):
        found[hold.batch_id] = ", ".join(filter(None, (found.get(hold.batch_id), hold.owner)))
    return found


def on_kept(change: Change) -> QuerySet[Hold]:
    """What a change lifts on batches that others keep paused: nothing is sent for these.

    Where the others have let go since, its hold is the last and stays, as the batch stays paused.
    """
    items = change.items.filter(state=ItemState.SKIPPED, message=KEPT)
    others = _kept(change).filter(batch=OuterRef("batch"))
    mine = Hold.objects.filter(covered(change), change__isnull=False, lifted_at=None)
    return mine.filter(Exists(others), batch__in=items.values("batch_id"))


def lifts_protected(change: Change) -> bool:
    """Whether a change would lift protected holds of other people."""
    return (
        change.lifts != Lifts.OWN
        and _on(change)
        .filter(covered(change), change__protected=True)
        .exclude(change__requested_by=change.requested_by_id)
        .exists()
    )


def holders(change: Change) -> list[Holder]:
    """The pauses that hold batches of a draft, those with the most first; at most `SHOWN`."""
    pauses = _on(change).order_by().values("change", "outside_name")
    counted = list(
        pauses.annotate(number=Count("pk"), first=Min("pk")).order_by("-number", "first")[:SHOWN]
    )
    holds = Hold.objects.select_related("change").in_bulk([row["first"] for row in counted])
    standing = set(
        _on(change)
        .filter(pk__in=_kept(change).values("pk"), change__in=[row["change"] for row in counted])
        .order_by()
        .values_list("change", flat=True)
        .distinct()
    )
    outside_stays = _on(change).filter(pk__in=_kept(change).values("pk"), change=None).exists()
    return [
        Holder(
            holds[row["first"]],
            row["number"],
            outside_stays if row["change"] is None else row["change"] in standing,
        )
        for row in counted
    ]


def _kept(change: Change) -> QuerySet[Hold]:
    return Hold.objects.filter(~covered(change), lifted_at=None)


def _on(change: Change) -> QuerySet[Hold]:
    """The holds that stand on batches of a change."""
    items = ChangeItem.objects.filter(change=change, batch=OuterRef("batch"))
    return Hold.objects.filter(Exists(items), lifted_at=None)
