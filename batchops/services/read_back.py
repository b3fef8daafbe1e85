"""Reads applied items again from the vendor: a reply says it was done, a reading proves it."""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from batchops.models import Action, Change, ChangeItem
from batchops.models.change import UNSETTLED_STATES
from batchops.services import audit, changes, list_pages, mirror, preflight, vendor
from batchops.syllable.errors import MalformedReply, NotFound, Refused, SyllableError
from batchops.syllable.patch import Values
from batchops.syllable.records import BatchRecord

logger = logging.getLogger(__name__)

DELAYS_SECONDS: Final = (0.0, 2.0, 8.0)
"""Waits before each look: a GET right after a PUT may still show the old value."""
TRIED_FOR: Final = dt.timedelta(days=1)
"""After so long without a reading, what was accepted stays unconfirmed."""

State, Confirmation = ChangeItem.State, ChangeItem.Confirmation


def all_due() -> None:
    """Read back every change that has ended and was not read back yet."""
    due = Change.objects.filter(
        state__in=(Change.State.FINISHED, Change.State.STOPPED),
        started_at__isnull=False,
        read_back_at=None,
    ).exclude(items__state__in=UNSETTLED_STATES)
    for change in due:
        try:
            read_back(change)
        except SyllableError as error:
            logger.warning("Change %s cannot be read back yet: %s", change.short_id, error)
            if change.finished_at and timezone.now() - change.finished_at > TRIED_FOR:
                _give_up(change)
                _end(change, set())


def read_back(change: Change, delays: Iterable[float] = DELAYS_SECONDS) -> None:
    """Mark each applied item confirmed, or accepted and not confirmed.

    Raises `SyllableError` when the vendor fails; it is then tried again later.
    """
    moved: set[str] = set()
    for delay in delays:
        # Chosen once a look: the question is dear, and pages are many.
        keys = dict(_open_items(change).values_list("batch_id", "pk"))
        if not keys:
            break
        time.sleep(delay)
        for records in _observations(keys):
            shown = {keys[one.batch_id]: one for one in records if one.batch_id in keys}
            moved |= _confirm(change, shown)
    _give_up(change)
    _end(change, moved)


def _open_items(change: Change) -> QuerySet[ChangeItem]:
    """Applied items not confirmed yet, on batches that no later change of ours has touched."""
    later = ChangeItem.objects.filter(
        batch=OuterRef("batch"), pk__gt=OuterRef("pk"), state__in=(State.APPLIED, State.SENDING)
    )
    return change.items.filter(~Exists(later), state=State.APPLIED, confirmation=Confirmation.NONE)


def _observations(wanted: Collection[str]) -> Iterator[Sequence[BatchRecord]]:
    """Fresh records of the batches in question: by list pages for many, one by one for few."""
    client = vendor.client()
    if not preflight.better_one_by_one(len(wanted)):
        for fetched in list_pages.all_batches(client):
            yield fetched.page.items
        return
    for batch_id in wanted:
        try:
            yield [client.get_batch(batch_id).record]
        except NotFound:
            mirror.mark_missing([batch_id], timezone.now())
        except (MalformedReply, Refused) as error:
            # It may be this batch alone; it stays unconfirmed.
            logger.warning("Batch %s cannot be read: %s", batch_id, error)


def _confirm(change: Change, shown: Mapping[int, BatchRecord]) -> set[str]:
    """Confirm the items whose batch shows what was asked; returns batches that moved besides."""
    own, confirmed, moved = change.patch, [], []
    with transaction.atomic():
        # Locked, so that of two workers who read back only one records what moved.
        items = ChangeItem.objects.select_for_update(no_key=True, of=("self",)).filter(
            pk__in=list(shown), state=State.APPLIED, confirmation=Confirmation.NONE
        )
        for item in items.order_by("pk").only("batch", "patch_json", "after"):
            record = shown[item.pk]
            patch = own if item.patch_json is None else item.wanted(change)
            if not patch.is_satisfied_by(record):
                continue
            confirmed.append(item.pk)
            left = item.after_values
            if left and (fields := patch.unasked(left, record)):
                item.unasked = list(fields)
                moved.append(item)
        ChangeItem.objects.filter(pk__in=confirmed).update(confirmation=Confirmation.CONFIRMED)
        ChangeItem.objects.bulk_update(moved, ["unasked"])
        audit.record(*(_moved_fact(change, item, shown[item.pk]) for item in moved))
    return {item.batch_id for item in moved}


def _give_up(change: Change) -> None:
    """What still does not show is accepted, but not confirmed."""
    for chunk in changes.in_chunks(_open_items(change).values_list("pk", flat=True)):
        with transaction.atomic():
            # Locked, so that of two workers who read back only one records it.
            items = list(
                change.items.select_for_update(no_key=True, of=("self",))
                .filter(pk__in=chunk, confirmation=Confirmation.NONE)
                .select_related("batch__campaign")
                .order_by("pk")
            )
            ChangeItem.objects.filter(pk__in=[item.pk for item in items]).update(
                confirmation=Confirmation.NOT_CONFIRMED
            )
            audit.record(
                *(
                    audit.Fact.about_batch(
                        Action.BATCH_NOT_CONFIRMED,
                        audit.Actor.system_for(change),
                        item.batch,
                        outcome="not_confirmed",
                        change_id=change.pk,
                        reason=change.reason,
                        reference=change.reference,
                        after=item.after,
                        detail={"asked": item.wanted(change).to_json()},
                    )
                    for item in items
                )
            )


def _end(change: Change, moved: set[str]) -> None:
    applied = change.items.filter(state=State.APPLIED)
    confirmed = applied.filter(confirmation=Confirmation.CONFIRMED).count()
    open_count = applied.filter(confirmation=Confirmation.NOT_CONFIRMED).count()
    with transaction.atomic():
        ended = Change.objects.filter(pk=change.pk, read_back_at=None).update(
            read_back_at=timezone.now()
        )
        if ended and applied.exists():
            audit.record(
                audit.Fact.about_change(
                    Action.CHANGE_READ_BACK,
                    audit.Actor.system_for(change),
                    change,
                    outcome="ok" if not open_count else "not_confirmed",
                    detail={
                        "confirmed": confirmed,
                        "not_confirmed": open_count,
                        "moved_unasked": sorted(moved)[:100],
                    },
                )
            )


def _moved_fact(change: Change, item: ChangeItem, record: BatchRecord) -> audit.Fact:
    return audit.Fact.about_batch(
        Action.BATCH_MOVED_UNASKED,
        audit.VENDOR,
        item.batch,
        outcome="unasked",
        change_id=change.pk,
        reason=change.reason,
        before=item.after,
        after=mirror.snapshot(record),
        detail={"fields": item.unasked, "asked": Values.of(record).to_json()},
    )
