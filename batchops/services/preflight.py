"""Brings the mirror up to date before a change is sent, so that nothing is overwritten unseen.

Many batches are read through list pages; few are read one by one, right before each is sent.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from typing import Final

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from batchops.models import Batch, Change, ChangeItem
from batchops.services import mirror, sync
from batchops.syllable.client import SyllableClient

FEW: Final = 50
"""Up to this many batches are read one by one."""
FRESH_FOR: Final = dt.timedelta(minutes=5)
"""How long a comparison with the vendor is relied on while a change runs."""
LEASE: Final = dt.timedelta(minutes=2)


def reads_each(change: Change) -> bool:
    """Whether each batch is read right before it is sent, instead of through list pages."""
    return better_one_by_one(change.items.filter(state=ChangeItem.State.PENDING).count())


def better_one_by_one(batches: int) -> bool:
    """Whether that many batches are read with fewer requests one by one than by list pages."""
    return batches <= max(FEW, math.ceil(Batch.objects.count() / settings.SYLLABLE_PAGE_SIZE))


def is_fresh(change: Change, now: dt.datetime) -> bool:
    """Whether the mirror was compared with the vendor lately enough for this change."""
    return change.preflight_at is not None and now - change.preflight_at < FRESH_FOR


def take_turn(change: Change, now: dt.datetime) -> bool:
    """Let one worker alone refresh the mirror for a change."""
    return bool(
        Change.objects.filter(pk=change.pk)
        .filter(Q(preflight_lease_until=None) | Q(preflight_lease_until__lt=now))
        .update(preflight_lease_until=now + LEASE)
    )


def refresh(change: Change, client: SyllableClient, tick: Callable[[], None]) -> None:
    """Read all list pages into the mirror; `tick` is called in between to keep leases alive.

    Raises `SyllableError` when the vendor fails.
    """
    started_at = timezone.now()
    seen: set[str] = set()
    try:
        for fetched in sync.all_pages(client):
            mirror.apply_page(fetched.page.items, fetched.sent_at)
            seen.update(item.batch_id for item in fetched.page.items)
            tick()
        waiting = change.items.filter(state=ChangeItem.State.PENDING).values_list(
            "batch_id", flat=True
        )
        absent = [batch_id for batch_id in waiting.iterator(2_000) if batch_id not in seen]
        for start in range(0, len(absent), 50):
            sync.read_each(client, absent[start : start + 50])
            tick()
        change.preflight_at = started_at
        Change.objects.filter(pk=change.pk).update(preflight_at=started_at)
    finally:
        Change.objects.filter(pk=change.pk).update(preflight_lease_until=None)
