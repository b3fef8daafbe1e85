"""Leases on items: any number of workers share a change without stepping on each other.

An item is `sending` with a lease before its request leaves. A lease that lapses, because its
worker died, makes the item pending again, with its tries counted: it may have been sent.
"""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Collection, Iterable
from typing import Final
from uuid import UUID

from django.db import IntegrityError, connection, transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone

from batchops.models import Change, ChangeItem
from batchops.models.change import RUNNABLE_STATES

LEASE: Final = dt.timedelta(seconds=60)
"""How long a worker holds an item without a sign of life."""
RENEW_EVERY: Final = dt.timedelta(seconds=15)

State = ChangeItem.State


def new_lease() -> str:
    """A name for one worker's leases."""
    return secrets.token_hex(16)


def runnable(now: dt.datetime) -> QuerySet[Change]:
    """Changes that may be worked on, the most urgent first, then the oldest."""
    return (
        Change.objects.filter(state__in=RUNNABLE_STATES, halted_reason="")
        .filter(Q(waiting_until=None) | Q(waiting_until__lte=now))
        .order_by("-priority", "confirmed_at", "pk")
    )


def in_doubt_of_stopped() -> QuerySet[Change]:
    """Stopped changes with items that may have been sent and whose worker died."""
    return Change.objects.filter(
        Exists(ChangeItem.objects.filter(change=OuterRef("pk"), state=State.PENDING)),
        state=Change.State.STOPPED,
    ).order_by("pk")


def claim(change: Change, lease: str, size: int) -> list[ChangeItem]:
    """Take up to `size` pending items of a change; empty when none is free.

    A batch that another change is at work on is left for later.
    """
    now = timezone.now()
    busy = ChangeItem.objects.filter(batch=OuterRef("batch"), state=State.SENDING)
    free = change.items.filter(~Exists(busy), state=State.PENDING).order_by("id")
    if connection.features.has_select_for_update_skip_locked:
        free = free.select_for_update(skip_locked=True, of=("self",))
    try:
        with transaction.atomic():
            keys = list(free.values_list("pk", flat=True)[:size])
            if not keys:
                return []
            ChangeItem.objects.filter(pk__in=keys, state=State.PENDING).update(
                state=State.SENDING,
                lease=lease,
                lease_until=now + LEASE,
                attempts=F("attempts") + 1,
                sent_at=now,
            )
    except IntegrityError:
        # Another worker took the same batch for another change at this very moment.
        return []
    return list(
        ChangeItem.objects.filter(pk__in=keys, lease=lease, state=State.SENDING)
        .select_related("batch")
        .order_by("id")
    )


def renew(lease: str, keys: Collection[int]) -> None:
    """Extend the leases of the items a worker holds."""
    ChangeItem.objects.filter(pk__in=keys, lease=lease, state=State.SENDING).update(
        lease_until=timezone.now() + LEASE
    )


def give_back(lease: str, keys: Collection[int], *, sent: bool) -> None:
    """Make items pending again; with `sent` false their claim does not count as a try."""
    fields = {"state": State.PENDING, "lease": "", "lease_until": None}
    held = ChangeItem.objects.filter(pk__in=keys, lease=lease, state=State.SENDING)
    if sent:
        held.update(**fields)
    else:
        held.update(attempts=F("attempts") - 1, **fields)


def take_lapsed() -> int:
    """Make the items of dead workers pending again; returns how many."""
    return ChangeItem.objects.filter(state=State.SENDING, lease_until__lt=timezone.now()).update(
        state=State.PENDING, lease="", lease_until=None
    )


def states(change_ids: Iterable[UUID]) -> dict[UUID, tuple[str, bool]]:
    """The state of changes, and whether they are halted."""
    rows = Change.objects.filter(pk__in=list(change_ids)).values_list(
        "pk", "state", "halted_reason"
    )
    return {pk: (state, bool(halted)) for pk, state, halted in rows}
