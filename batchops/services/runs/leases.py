"""Leases on items: any number of workers share a change without stepping on each other.

An item is `sending` with a lease before its request leaves. A lease that expires, because its
worker died, makes the item pending again, with its tries counted: it may have been sent. Leases
are measured by the database's clock, the only one that all workers share.
"""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Collection, Iterable, Mapping
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import Exists, F, Min, OuterRef, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from batchops.models import (
    RUNNABLE_STATES,
    SUCCESS_STATES,
    UNSETTLED_STATES,
    Batch,
    Change,
    ChangeItem,
    ChangeState,
    ItemState,
)
from batchops.services import wake
from batchops.services.bulk import update_in_order
from batchops.services.mirror import evidence
from batchops.services.runs.fair_queue import Claimant
from batchops.syllable.patch import BatchPatch, Values

LONGEST_LEASE: Final = dt.timedelta(minutes=10)
"""What PUSH_LEASE_SECONDS allows at the most."""
LONGEST_WAIT: Final = dt.timedelta(minutes=2)
"""No wait lasts longer; a later end was written before the clock was set back."""


NEEDED: Final = (
    "change_id",
    "batch_id",
    "attempts",
    "patch_json",
    "message",
    "before_paused",
    "before_expires_on",
    "before_call_rate",
    "before_auto_call_rate",
    "batch__paused",
    "batch__expires_on",
    "batch__call_rate",
    "batch__auto_call_rate",
    "batch__status",
    "batch__last_updated_at",
    "batch__created_at",
    "batch__observed_at",
    "batch__written_at",
    "batch__deleted_at",
    "batch__missing_since",
    "batch__id_shared_since",
    "batch__campaign",
)
"""Of an item and its batch, what has to be known to send it."""


def new_lease() -> str:
    """A name for one worker's leases."""
    return secrets.token_hex(16)


def lease_time() -> dt.timedelta:
    """How long an item stays leased without a sign of life; its worker gives four in that time."""
    return dt.timedelta(seconds=settings.PUSH_LEASE_SECONDS)


def runnable(now: dt.datetime) -> QuerySet[Change]:
    """Changes that may be worked on, the most urgent first, then the oldest."""
    return (
        Change.objects.filter(_not_waiting(now), state__in=RUNNABLE_STATES, halted_reason="")
        .select_related("requested_by", "proceeded_by")
        .order_by("-priority", "confirmed_at", "pk")
    )


def claimants(now: dt.datetime, *, only_emergency: bool = False) -> list[Claimant]:
    """Whose turn it may be: what may be worked on, and what stopped changes may have sent."""
    found = [runnable(now), unsettled_of_stopped(now)]
    if only_emergency:
        found = [runnable(now).filter(priority=Change.Priority.EMERGENCY)]
    names = (
        "priority",
        "expanding_count",
        "patch_json",
        "proceeded_by_id",
        "requested_by_id",
        "requested_by_name",
    )
    changes = [one for some in found for one in some.select_related(None).only(*names)]
    return [
        Claimant(
            change.pk,
            change.proceeded_by_id or change.requested_by_id or change.requested_by_name,
            is_emergency=change.priority == Change.Priority.EMERGENCY,
            narrows=not change.expands_outreach,
        )
        for change in changes
    ]


def claimable(change_id: UUID, now: dt.datetime) -> Change | None:
    """The change as it is now, if items of it may be claimed."""
    return (
        runnable(now).filter(pk=change_id).first()
        or unsettled_of_stopped(now).filter(pk=change_id).first()
    )


def waiting_for(batch_ids: Collection[str], change_ids: Collection[UUID]) -> set[str]:
    """Those of the batches that an item of these changes waits for."""
    waiting = ChangeItem.objects.filter(
        state=ItemState.PENDING, batch_id__in=batch_ids, change_id__in=change_ids
    )
    return set(waiting.values_list("batch_id", flat=True))


def settled_but_not_ended(now: dt.datetime) -> QuerySet[Change]:
    """Changes without any item left to do, which nobody has ended."""
    unsettled = ChangeItem.objects.filter(change=OuterRef("pk"), state__in=UNSETTLED_STATES)
    return runnable(now).exclude(Exists(unsettled))


def has_pending(now: dt.datetime, *, only_emergency: bool = False) -> bool:
    """Whether any item waits to be claimed."""
    waiting = runnable(now).filter(
        Exists(ChangeItem.objects.filter(change=OuterRef("pk"), state=ItemState.PENDING))
    )
    if only_emergency:
        return waiting.filter(priority=Change.Priority.EMERGENCY).exists()
    return waiting.exists() or unsettled_of_stopped(now).exists()


def unsettled_of_stopped(now: dt.datetime) -> QuerySet[Change]:
    """Stopped changes with items given back since, some of which may have been sent."""
    left = ChangeItem.objects.filter(change=OuterRef("pk"), state=ItemState.PENDING)
    return Change.objects.filter(
        _not_waiting(now),
        Exists(left.filter(Q(attempts=0) | _readable(now))),
        state=ChangeState.STOPPED,
    ).order_by("pk")


def _readable(now: dt.datetime) -> Q:
    """Items that may have been sent so long ago that any answer to a read shows it."""
    return Q(batch__written_at=None) | Q(batch__written_at__lte=now - evidence.read_lag())


def _not_waiting(now: dt.datetime) -> Q:
    return (
        Q(waiting_until=None) | Q(waiting_until__lte=now) | Q(waiting_until__gt=now + LONGEST_WAIT)
    )


def claim(
    change: Change,
    lease: str,
    size: int,
    *,
    order: str = "id",
    among: Collection[str] | None = None,
) -> list[ChangeItem]:
    """Take up to `size` pending items of a change in its present state; empty when none is free.

    A batch that another change is at work on is left for later; so is one that an earlier change
    waits for, by what may let outreach reach more people: it overtakes nobody. `order` names a
    field. `among`: only of these batches.
    """
    if among is not None and not among:
        return []
    busy = ChangeItem.objects.filter(batch=OuterRef("batch"), state=ItemState.SENDING)
    unmoved = Change.objects.filter(
        pk=change.pk, state=change.state, halted_reason=change.halted_reason
    )
    free = change.items.filter(~Exists(busy), Exists(unmoved), state=ItemState.PENDING)
    if change.state == ChangeState.STOPPED:
        # What was never sent is settled without asking the vendor.
        free = free.filter(_readable(timezone.now()), attempts__gt=0)
    if among is not None:
        free = free.filter(batch__in=among)
    if change.expands_outreach:
        free = free.exclude(Exists(_earlier(change)))
    free = free.order_by(order, "id")
    free = free.select_related("batch").only(*NEEDED)
    if connection.features.has_select_for_update_skip_locked:
        # The batches too: else two changes that take the same batches, each in an order of its
        # own, would wait for each other at the constraint.
        free = free.select_for_update(no_key=True, skip_locked=True, of=("self", "batch"))
    try:
        with transaction.atomic():
            items = list(free[:size])
            ChangeItem.objects.filter(pk__in=[item.pk for item in items]).update(
                state=ItemState.SENDING,
                lease=lease,
                lease_until=Now() + lease_time(),
                attempts=F("attempts") + 1,
                sent_at=timezone.now(),
            )
    except IntegrityError:
        # Another worker took the same batch for another change at this very moment.
        return []
    for item in items:
        item.attempts += 1
    return items


def _earlier(change: Change) -> QuerySet[ChangeItem]:
    """What changes that were confirmed before this one, and still run, want of the same batch."""
    return ChangeItem.objects.filter(
        batch=OuterRef("batch"),
        state__in=UNSETTLED_STATES,
        change__state__in=RUNNABLE_STATES,
        change__halted_reason="",
        change__confirmed_at__lt=change.confirmed_at,
    )


def overtaken(change: Change, items: Iterable[ChangeItem]) -> dict[int, Change]:
    """Items of which a later change has asked something else meanwhile, with that change.

    The later change counts, also where it found the batch as it should be and sent nothing.
    """
    wanted = {item.batch_id: (item.pk, item.requested(change)) for item in items}
    later = ChangeItem.objects.filter(
        batch_id__in=list(wanted),
        state__in=SUCCESS_STATES,
        change__confirmed_at__gt=change.confirmed_at,
    ).select_related("change")
    found = {}
    for other in later:
        key, patch = wanted[other.batch_id]
        if _contradict(patch, other.requested(other.change)):
            found[key] = other.change
    return found


def made_since(change: Change, items: Iterable[ChangeItem]) -> dict[int, Values]:
    """What earlier changes of ours have made of batches since a change was drafted, by item.

    Whoever confirmed the later change wants it also where the earlier one came first.
    """
    by_batch = {item.batch_id: item for item in items}
    earlier = ChangeItem.objects.filter(
        batch_id__in=list(by_batch),
        state=ItemState.APPLIED,
        settled_at__gte=change.created_at,
        change__confirmed_at__lt=change.confirmed_at,
    )
    found: dict[int, Values] = {}
    for other in earlier.select_related("change").order_by("settled_at"):
        item = by_batch[other.batch_id]
        values = found.get(item.pk, item.before)
        found[item.pk] = other.requested(other.change).applied_to(values)
    return found


def _contradict(first: BatchPatch, second: BatchPatch) -> bool:
    values, others = dict(first.requested_values()), dict(second.requested_values())
    return any(values[name] != others[name] for name in values.keys() & others.keys())


def renew(lease: str, keys: Collection[int]) -> set[int]:
    """Extend the leases of the items a worker has leased; returns those it no longer has."""
    leased = ChangeItem.objects.filter(pk__in=keys, lease=lease, state=ItemState.SENDING)
    if update_in_order(leased, lease_until=Now() + lease_time()) == len(keys):
        return set()
    return set(keys) - set(leased.values_list("pk", flat=True))


def give_back(lease: str, keys: Collection[int], *, counted: bool = False) -> None:
    """Make items pending again. Unless `counted`, it is as if they had never been claimed."""
    if not keys:
        return
    update_in_order(
        ChangeItem.objects.filter(pk__in=keys, lease=lease, state=ItemState.SENDING),
        attempts=F("attempts") - (0 if counted else 1),
        state=ItemState.PENDING,
        lease="",
        lease_until=None,
    )


def reclaim_expired(but: str = "") -> int:
    """Make the items of dead workers pending again; returns how many.

    `but` names the lease of the caller, who is alive.
    """
    return _reclaim(dict(expired().exclude(lease=but).values_list("pk", "batch_id")), expired())


def reclaim_unknown(lease: str, known: Collection[int]) -> int:
    """Make pending again what is under a lease and its worker does not know of; returns how many.

    A claim may have been committed although the database was gone before it could say so.
    """
    leased = ChangeItem.objects.filter(lease=lease, state=ItemState.SENDING)
    found = {key: batch for key, batch in leased.values_list("pk", "batch_id") if key not in known}
    return _reclaim(found, leased)


def _reclaim(found: Mapping[int, str], among: QuerySet[ChangeItem]) -> int:
    if not found:
        return 0
    with transaction.atomic():
        taken = update_in_order(
            among.filter(pk__in=list(found)), state=ItemState.PENDING, lease="", lease_until=None
        )
        doubt(found.values())
    return taken


def expired() -> QuerySet[ChangeItem]:
    """Items whose worker has given no sign of life for the time of a lease."""
    return ChangeItem.objects.filter(state=ItemState.SENDING, lease_until__lt=Now())


def doubt(batch_ids: Iterable[str]) -> None:
    """Note that an update may have taken effect at these batches of which no reply tells."""
    update_in_order(Batch.objects.filter(pk__in=list(batch_ids)), written_at=timezone.now())


def wake_at_next_expiry() -> None:
    """Have a worker look again when the next lease expires, should its worker be dead.

    Also when what a stopped change may have sent can be read with certainty.
    """
    leased = ChangeItem.objects.filter(state=ItemState.SENDING)
    expiry = leased.aggregate(expiry=Min("lease_until"))["expiry"]
    if expiry is not None:
        wake.workers(at=expiry + dt.timedelta(seconds=1))
    doubts = ChangeItem.objects.filter(
        change__state=ChangeState.STOPPED, state=ItemState.PENDING, attempts__gt=0
    )
    written = doubts.aggregate(written=Min("batch__written_at"))["written"]
    if written is not None:
        wake.workers(at=written + evidence.read_lag())
