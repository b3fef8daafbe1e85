"""Batches of a change to which nothing is sent: each gets its fact, in groups.

Each group is a transaction of its own, so that neither a person nor another change waits for the
facts of 100,000 batches. What is left over a worker does.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from typing import Final

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from batchops import audit
from batchops.models import Change, ChangeItem, ChangeState, ItemState

GROUP_SIZE: Final = 150
SYNC_LIMIT: Final = 1_000
"""As many are recorded while a person waits; the rest is left to a worker."""
LOOK_BACK: Final = dt.timedelta(days=2)

Record = Callable[[list[ChangeItem]], None]


def record_left_out(change: Change, at_most: int | None = None) -> bool:
    """Record what a draft left out, as skipped or in conflict; whether all of it is recorded."""
    actor = audit.Actor.system_for(change)

    def record_group(items: list[ChangeItem]) -> None:
        keys = [item.pk for item in items]
        change.items.filter(pk__in=keys).update(settled_at=timezone.now())
        record_items(change, actor, items)

    return _in_groups(_left_out(change.items.all()), record_group, at_most)


def stop_waiting(
    change: Change, actor: audit.Actor, message: str, at_most: int | None = None
) -> bool:
    """Record what was never sent as stopped; whether all of it is recorded.

    What may have been sent is left to a worker, which reads what became of it.
    """

    def record_group(items: list[ChangeItem]) -> None:
        for item in items:
            item.state = ItemState.STOPPED
        change.items.filter(pk__in=[item.pk for item in items]).update(
            state=ItemState.STOPPED, message=message, settled_at=timezone.now()
        )
        record_items(change, actor, items, message)

    return _in_groups(_waiting(change.items.all()), record_group, at_most)


def record_rest() -> None:
    """Do what was left over, of changes confirmed lately."""
    lately = Change.objects.filter(confirmed_at__gt=timezone.now() - LOOK_BACK)
    of_change = ChangeItem.objects.filter(change=OuterRef("pk"))
    for change in lately.filter(Exists(_left_out(of_change))):
        record_left_out(change)
    for change in lately.filter(Exists(_waiting(of_change)), state=ChangeState.REJECTED):
        stop_waiting(change, audit.Actor.system_for(change), "Rejected.")


def record_items(
    change: Change, actor: audit.Actor, items: Iterable[ChangeItem], message: str = ""
) -> None:
    """Record what became of items, one fact each."""
    audit.record(
        *(
            audit.Fact.about_batch(
                f"batch.{item.state}",
                actor,
                item.batch,
                outcome=item.state,
                change_id=change.pk,
                reason=change.reason,
                reference=change.reference,
                before={**item.before.to_json(), "status": item.before_status},
                detail={
                    "requested": item.requested(change).to_json(),
                    "why": message or item.message,
                },
            )
            for item in items
        )
    )


def _left_out(items: QuerySet[ChangeItem]) -> QuerySet[ChangeItem]:
    return items.filter(
        state__in=(ItemState.SKIPPED, ItemState.CONFLICT),
        plan=ChangeItem.Plan.SKIP,
        settled_at=None,
    )


def _waiting(items: QuerySet[ChangeItem]) -> QuerySet[ChangeItem]:
    return items.filter(state=ItemState.PENDING, attempts=0)


def _in_groups(items: QuerySet[ChangeItem], record_group: Record, at_most: int | None) -> bool:
    done = 0
    while at_most is None or done < at_most:
        with transaction.atomic():
            group = list(
                items.select_for_update(no_key=True, of=("self",))
                .select_related("batch__campaign")
                .order_by("pk")[:GROUP_SIZE]
            )
            record_group(group)
        if len(group) < GROUP_SIZE:
            return True
        done += GROUP_SIZE
    return not items.exists()
