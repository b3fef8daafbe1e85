"""Keeps counters in the database: a process brings what it counted every few seconds."""

from __future__ import annotations

from collections import Counter
from typing import Final

from django.db import transaction
from django.db.models import Count

from batchops.metrics.models import TrailCount, VendorRequests
from batchops.models import AuditEntry
from batchops.services import vendor
from batchops.syllable.tally import Durations, Kind

EVERY_SECONDS: Final = 10.0


def keep() -> None:
    """Add what this process counted of its requests, and what the trail got since."""
    keep_requests()
    _keep_entries()


def keep_requests() -> None:
    """Add what this process counted of its requests; what cannot be kept now is kept later."""
    taken = vendor.TALLY.take()
    try:
        _add(taken)
    except BaseException:
        vendor.TALLY.give_back(taken)
        raise


def entries_by_action() -> dict[str, int]:
    """How many entries the trail has got so far by their action, those that were archived too."""
    found: dict[str, int] = _counted_entries().by_action
    return found


def _add(taken: dict[Kind, Durations]) -> None:
    if not taken:
        return
    with transaction.atomic():
        # All processes lock them in the same order.
        for (operation, status), durations in sorted(taken.items()):
            row, _ = VendorRequests.objects.select_for_update(no_key=True).get_or_create(
                operation=operation,
                status=status,
                defaults={"buckets": Durations().buckets},
            )
            durations.add(Durations(row.buckets, row.seconds))
            row.buckets, row.seconds = durations.buckets, durations.seconds
            row.save(update_fields=["buckets", "seconds"])


def _counted_entries() -> TrailCount:
    """The kept count, brought up to the end of the trail. Nothing is written."""
    kept = TrailCount.objects.first() or TrailCount()
    new = AuditEntry.objects.filter(sequence__gt=kept.through).order_by()
    last = new.order_by("-sequence").values_list("sequence", flat=True).first()
    if last is not None:
        found = new.filter(sequence__lte=last).values_list("action").annotate(Count("pk"))
        kept.by_action = dict(Counter(kept.by_action) + Counter(dict(found)))
        kept.through = last
    return kept


def _keep_entries() -> None:
    """Save the count as far as it goes now, so that the next reader counts only what is newer."""
    TrailCount.objects.get_or_create(pk=1)
    counted = _counted_entries()
    # Another worker that counted further is not thrown back.
    TrailCount.objects.filter(pk=1, through__lt=counted.through).update(
        through=counted.through, by_action=counted.by_action
    )
