"""What batchops itself did, or may have done, to batches: never taken for the doing of others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from django.db.models import F, OuterRef, Q, QuerySet, Subquery
from django.utils import timezone

from batchops.models import Batch, ChangeItem, ItemState
from batchops.services.mirror import evidence, key_identity
from batchops.syllable.patch import same_value
from batchops.syllable.records import BatchRecord


@dataclass(frozen=True, slots=True)
class OwnWrites:
    """Of some batches, what of ours is under way, in doubt, or was done last.

    `in_flight`: batches of which a worker holds an item. `open`: items that were tried and have no
    outcome yet. `doubtful`: items that ended while nobody knew what had become of a request: of
    the only one, or of one of several.
    `names` are those that changes made with our key are shown under.
    """

    in_flight: frozenset[str] = frozenset()
    open: Mapping[str, list[ChangeItem]] = field(default_factory=dict)
    doubtful: Mapping[str, list[ChangeItem]] = field(default_factory=dict)
    last_applied: Mapping[str, ChangeItem] = field(default_factory=dict)
    names: frozenset[str] = frozenset()

    def awaited(self, batch_id: str, record: BatchRecord, moved: set[str]) -> set[str]:
        """The moved fields that show what an open item asked for."""
        items = self.open.get(batch_id, ())
        return {name for item in items for name in _asked(item, record) & moved}

    def late(
        self, batch_id: str, record: BatchRecord, moved: set[str]
    ) -> tuple[ChangeItem | None, set[str]]:
        """The doubtful item that asked for what is seen now, and which moved fields it explains."""
        for item in reversed(self.doubtful.get(batch_id, [])):
            if (fields := _asked(item, record) & moved) and self._may_be_late(item, record):
                return item, fields
        return None, set()

    def _may_be_late(self, item: ChangeItem, record: BatchRecord) -> bool:
        """Whether a request of an item may have made what is seen.

        Of one that was applied, another try may take effect late, as long as reads may lag, and
        undo what came between.
        """
        if item.state != ItemState.APPLIED or item.settled_at is None:
            return True
        is_our_name = not self.names or record.last_updated_by in self.names
        seen = record.last_updated_at or timezone.now()
        return is_our_name and seen <= item.settled_at + evidence.read_lag()

    def was_never_kept(self, row: Batch, record: BatchRecord, moved: Collection[str]) -> bool:
        """Whether the vendor shows what was before our last change, which it accepted, not kept.

        Nobody changed the batch then. The trail says that it was not confirmed, or soon will.
        """
        last = self.last_applied.get(row.batch_id)
        if last is None or last.confirmation == ChangeItem.Confirmation.CONFIRMED:
            return False
        touched_since = (
            record.last_updated_at is not None
            and row.last_updated_at is not None
            and record.last_updated_at > row.last_updated_at
        )
        waits = last.confirmation == ChangeItem.Confirmation.NONE
        if waits and (touched_since or record.last_updated_at is None):
            return False
        return all(
            same_value(name, getattr(last.before, name), getattr(record, name)) for name in moved
        )


def of(batch_ids: Iterable[str], but: Collection[int] = ()) -> OwnWrites:
    """What is ours on these batches, apart from the items in `but`."""
    keys = list(batch_ids)
    if not keys:
        return OwnWrites()
    in_flight, tried, doubtful = set(), defaultdict(list), defaultdict(list)
    for item in _unclear(keys).exclude(pk__in=list(but)):
        if item.state in (ItemState.SENDING, ItemState.PENDING):
            tried[item.batch_id].append(item)
        else:
            doubtful[item.batch_id].append(item)
        if item.state == ItemState.SENDING:
            in_flight.add(item.batch_id)
    return OwnWrites(
        frozenset(in_flight), tried, doubtful, _last_applied(keys), key_identity.names()
    )


def _unclear(batch_ids: list[str]) -> QuerySet[ChangeItem]:
    """Items whose request may take effect, or may have, without anything seen since to show it."""
    ended_in_doubt = Q(
        state__in=(ItemState.FAILED, ItemState.REFUSED, ItemState.STOPPED),
        attempts__gt=0,
        sent_at__gt=F("batch__observed_at"),
        batch__written_at__gt=F("batch__observed_at"),
    )
    not_shown_yet = Q(state=ItemState.NOT_APPLIED, settled_at__gte=F("batch__observed_at"))
    tried_again = Q(state=ItemState.APPLIED, attempts__gt=1)
    return (
        ChangeItem.objects.filter(
            Q(state=ItemState.SENDING)
            | Q(state=ItemState.PENDING, attempts__gt=0)
            | ended_in_doubt
            | not_shown_yet
            | tried_again,
            batch_id__in=batch_ids,
        )
        .select_related("change")
        .order_by("pk")
    )


def _last_applied(batch_ids: list[str]) -> dict[str, ChangeItem]:
    last = ChangeItem.objects.filter(batch=OuterRef("pk"), state=ItemState.APPLIED)
    newest = Subquery(last.order_by("-settled_at").values("pk")[:1])
    keys = Batch.objects.filter(pk__in=batch_ids).annotate(newest=newest).values("newest")
    items = ChangeItem.objects.filter(pk__in=[key["newest"] for key in keys if key["newest"]])
    return {item.batch_id: item for item in items}


def _asked(item: ChangeItem, record: BatchRecord) -> set[str]:
    """The fields in which a batch is as an item asked."""
    return {
        name
        for name, value in item.requested(item.change).requested_values()
        if same_value(name, value, getattr(record, name))
    }
