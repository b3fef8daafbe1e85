"""Reads settled items again from the vendor: a reply says it was done, a reading proves it.

What was skipped since it was already so, or not eligible, is read back like what was sent. A step
reads back all changes that are due and returns; the database knows when each is due next.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, Max, Min, OuterRef, Q, QuerySet
from django.db.models.functions import Coalesce
from django.utils import timezone

from batchops import audit
from batchops.models import (
    ENDED_STATES,
    UNSETTLED_STATES,
    Action,
    Change,
    ChangeItem,
    ItemState,
)
from batchops.services import vendor
from batchops.services.bulk import in_chunks
from batchops.services.changes import eligibility, lifecycle
from batchops.services.mirror import list_pages, store
from batchops.services.mirror.evidence import Known, lag_has_passed, read_lag
from batchops.services.runs import leases, preflight
from batchops.syllable.errors import MalformedReply, NotFound, Refused, SyllableError
from batchops.syllable.patch import BatchPatch, Values
from batchops.syllable.records import BatchRecord

logger = logging.getLogger(__name__)

READ_AFTER_SECONDS: Final = (0.0, 2.0, 8.0, 30.0)
"""When a change is read back, counted from its last outcome; once more when the lag has passed."""
POLL_SECONDS: Final = 5.0
"""How often to ask for changes that have become due."""
RETRY_AFTER: Final = dt.timedelta(seconds=30)
"""How long a vendor that fails is left alone."""
GIVE_UP_AFTER: Final = dt.timedelta(days=1)
"""After so long without a reading, what was accepted stays unconfirmed."""
RECORDED_AT_ONCE: Final = 1_000
NAMES_KEPT: Final = 100

Confirmation = ChangeItem.Confirmation

Wanted = dict[str, list[tuple[UUID, int]]]
"""By batch, the keys of the changes and items that wait for it to be read."""

SENT_NOTHING: Final = (ItemState.UNCHANGED, ItemState.SKIPPED)
NEVER_SENT: Final = (*SENT_NOTHING, ItemState.CONFLICT)


@dataclass(frozen=True, slots=True)
class Reading:
    """Records of one reply, to a request that was sent at `sent_at` (UTC)."""

    records: Sequence[BatchRecord]
    sent_at: dt.datetime


@dataclass(slots=True)
class Findings:
    """What one reading proves about the items of one change."""

    confirmed: list[int] = field(default_factory=list)
    unrequested: list[ChangeItem] = field(default_factory=list)
    refuted: list[ChangeItem] = field(default_factory=list)


def all_due() -> float | None:
    """Read back every change that is due; returns the seconds until the next is, None if none is.

    Workers take turns: a change is read back by one of them.
    """
    now = timezone.now()
    taken = [change for change in _due(now) if _take_turn(change, now)]
    if taken:
        _read_or_postpone(taken)
    return _seconds_until_due()


def read_back(change: Change) -> None:
    """Read a change back now, whoever else does. Raises `SyllableError` when the vendor fails."""
    _read([change])


def _ended() -> QuerySet[Change]:
    ended = Change.objects.filter(
        state__in=ENDED_STATES,
        started_at__isnull=False,
        read_back_at=None,
    )
    return ended.exclude(items__state__in=UNSETTLED_STATES)


def _due(now: dt.datetime) -> QuerySet[Change]:
    """Changes whose next reading is due; one far ahead was set before the clock was set back."""
    due = Q(read_back_due_at=None) | Q(read_back_due_at__lte=now)
    return _ended().filter(due | Q(read_back_due_at__gt=now + 2 * _longest_wait()))


def _longest_wait() -> dt.timedelta:
    return max(read_lag(), dt.timedelta(seconds=READ_AFTER_SECONDS[-1]), RETRY_AFTER)


def _seconds_until_due() -> float | None:
    due_at = Coalesce("read_back_due_at", "finished_at")
    soonest: dt.datetime | None = _ended().aggregate(at=Min(due_at))["at"]
    if soonest is None:
        return None
    return min(POLL_SECONDS, max(0.1, (soonest - timezone.now()).total_seconds()))


def _take_turn(change: Change, now: dt.datetime) -> bool:
    """Let one worker alone read a change back for a while."""
    free = (
        Q(read_back_lease_until=None)
        | Q(read_back_lease_until__lt=now)
        | Q(read_back_lease_until__gt=now + leases.LONGEST_LEASE)
    )
    turn = Change.objects.filter(free, pk=change.pk, read_back_at=None)
    return bool(turn.update(read_back_lease_until=now + leases.lease_time()))


def _read_or_postpone(taken: Sequence[Change]) -> None:
    keys = [change.pk for change in taken]
    try:
        _read(taken)
    except SyllableError as error:
        logger.warning("%d changes cannot be read back yet: %s", len(taken), error)
        again = timezone.now() + RETRY_AFTER
        Change.objects.filter(pk__in=keys, read_back_at=None).update(read_back_due_at=again)
        for change in taken:
            if change.finished_at and timezone.now() - change.finished_at > GIVE_UP_AFTER:
                _give_up(change)
                _end(change)
    finally:
        Change.objects.filter(pk__in=keys).update(read_back_lease_until=None)


def _read(some: Sequence[Change]) -> None:
    """Read the batches of some changes once, and end those about which nothing is left to learn."""
    began = renewed = timezone.now()
    by_pk = {change.pk: change for change in some}
    wanted = _wanted(some)
    for reading in _readings(wanted):
        for change_pk, shown in _by_change(wanted, reading).items():
            _judge(by_pk[change_pk], shown, reading.sent_at)
        if timezone.now() - renewed > leases.lease_time() / 4:
            renewed = timezone.now()
            Change.objects.filter(pk__in=list(by_pk), read_back_lease_until__gt=began).update(
                read_back_lease_until=renewed + leases.lease_time()
            )
    for change in some:
        _end_or_read_again(change, began)


def _wanted(some: Iterable[Change]) -> Wanted:
    """The open items of some changes by batch, so that each batch is read once for all of them."""
    wanted: Wanted = defaultdict(list)
    for change in some:
        for item, batch_id in _open_items(change).values_list("pk", "batch_id").iterator(2_000):
            wanted[batch_id].append((change.pk, item))
    return wanted


def _open_items(change: Change) -> QuerySet[ChangeItem]:
    """Items not read back yet, on batches to which nothing of ours was sent later."""
    return change.items.filter(_is_open())


def _is_open() -> Q:
    later = ChangeItem.objects.filter(
        batch=OuterRef("batch"), attempts__gt=0, sent_at__gt=OuterRef("settled_at")
    ).exclude(state__in=NEVER_SENT)
    return Q(
        ~Exists(later),
        state__in=(ItemState.APPLIED, *SENT_NOTHING),
        settled_at__isnull=False,
        confirmation=Confirmation.NONE,
    )


def _by_change(wanted: Wanted, reading: Reading) -> dict[UUID, dict[int, BatchRecord]]:
    """What a reading shows of each open item."""
    shown: dict[UUID, dict[int, BatchRecord]] = defaultdict(dict)
    for record in reading.records:
        for change, item in wanted.get(record.batch_id, ()):
            shown[change][item] = record
    return shown


def _readings(wanted: Collection[str]) -> Iterator[Reading]:
    """Fresh records of the batches in question: by list pages for many, one by one for few."""
    if not wanted:
        return
    client = vendor.client()
    if not preflight.better_one_by_one(len(wanted)):
        left = set(wanted)
        for fetched in list_pages.all_batches(client):
            yield Reading(fetched.page.items, fetched.sent_at)
            left.difference_update(item.batch_id for item in fetched.page.items)
            if not left:
                return
        return
    for batch_id in wanted:
        sent_at = timezone.now()
        try:
            yield Reading([client.get_batch(batch_id).record], sent_at)
        except NotFound:
            store.mark_missing([batch_id], sent_at)
        except (MalformedReply, Refused) as error:
            # It may be this batch alone; it stays unconfirmed.
            logger.warning("Batch %s cannot be read: %s", batch_id, error)


def _judge(change: Change, shown: Mapping[int, BatchRecord], sent_at: dt.datetime) -> None:
    """Record what a reading proves about the items of a change, and only that."""
    findings, own = Findings(), change.patch
    with transaction.atomic():
        # Locked, so that of two workers who read back only one records it. Something of ours may
        # have been sent since the request left.
        items = (
            ChangeItem.objects.select_for_update(no_key=True, of=("self",))
            .filter(_is_open(), pk__in=list(shown))
            .select_related("batch__campaign")
        )
        for item in items.order_by("pk"):
            record = shown[item.pk]
            is_its_own = record.campaign_id == item.batch.campaign_id
            if is_its_own and Known.of(item.batch).is_proven_by(record, sent_at):
                patch = own if item.patch_json is None else item.requested(change)
                _judge_item(item, patch, record, findings)
        ChangeItem.objects.filter(pk__in=findings.confirmed).update(
            confirmation=Confirmation.CONFIRMED
        )
        ChangeItem.objects.bulk_update(
            [*findings.unrequested, *findings.refuted],
            ["unrequested", "state", "message", "confirmation"],
        )
        audit.record(
            *(_unrequested_fact(change, item, shown[item.pk]) for item in findings.unrequested),
            *(_refuted_fact(change, item, shown[item.pk]) for item in findings.refuted),
        )
    if findings.refuted:
        store.apply_page([shown[item.pk] for item in findings.refuted], sent_at)


def _judge_item(
    item: ChangeItem, patch: BatchPatch, record: BatchRecord, findings: Findings
) -> None:
    if patch.is_satisfied_by(record) or _is_rightly_skipped(item, patch, record):
        findings.confirmed.append(item.pk)
        left = item.after_values
        if item.state == ItemState.APPLIED and left and (fields := patch.unrequested(left, record)):
            item.unrequested, item.confirmation = list(fields), Confirmation.CONFIRMED
            findings.unrequested.append(item)
        return
    item.confirmation = Confirmation.NOT_CONFIRMED
    if item.state in SENT_NOTHING:
        said = f"Skipped: {item.message}" if item.state == ItemState.SKIPPED else "Taken to be so."
        item.state, item.message = (
            ItemState.NOT_APPLIED,
            f"{said} When read back, that was not true.",
        )
    findings.refuted.append(item)


def _is_rightly_skipped(item: ChangeItem, patch: BatchPatch, record: BatchRecord) -> bool:
    if item.state != ItemState.SKIPPED:
        return False
    return bool(eligibility.ineligibility_reason(store.row_of(record, timezone.now()), patch))


def _end_or_read_again(change: Change, began: dt.datetime) -> None:
    """End what is proven, or what no later reading can prove; `began`: when this one did (UTC)."""
    last = _open_items(change).aggregate(
        settled=Max("settled_at"), seen=Max("batch__observed_at"), written=Max("batch__written_at")
    )
    moments = [moment for moment in last.values() if moment is not None]
    if not moments or all(lag_has_passed(moment, began) for moment in moments):
        _give_up(change)
        _end(change)
        return
    since = last["settled"]
    moments_to_read = (since + dt.timedelta(seconds=after) for after in READ_AFTER_SECONDS)
    next_read = min((at for at in moments_to_read if at > began), default=max(moments) + read_lag())
    Change.objects.filter(pk=change.pk).update(read_back_due_at=next_read)


def _give_up(change: Change) -> None:
    """What still does not show is accepted, but not confirmed."""
    accepted = _open_items(change).filter(state=ItemState.APPLIED)
    for chunk in in_chunks(list(accepted.values_list("pk", flat=True)), RECORDED_AT_ONCE):
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
            audit.record(*(_refuted_fact(change, item, None) for item in items))


def _end(change: Change) -> None:
    read = change.items.exclude(confirmation=Confirmation.NONE)
    confirmed = read.filter(confirmation=Confirmation.CONFIRMED).count()
    open_count = read.filter(confirmation=Confirmation.NOT_CONFIRMED).count()
    unrequested = (
        change.items.exclude(unrequested=[]).order_by("batch_id").values_list("batch_id", flat=True)
    )
    with transaction.atomic():
        ended = Change.objects.filter(pk=change.pk, read_back_at=None).update(
            read_back_at=timezone.now()
        )
        if ended and confirmed + open_count:
            audit.record(
                audit.Fact.about_change(
                    Action.CHANGE_READ_BACK,
                    audit.Actor.system_for(change),
                    change,
                    outcome="ok" if not open_count else "not_confirmed",
                    detail={
                        "confirmed": confirmed,
                        "not_confirmed": open_count,
                        "unrequested": list(unrequested[:NAMES_KEPT]),
                    },
                )
            )
    lifecycle.refresh_counts(change)


def _refuted_fact(change: Change, item: ChangeItem, record: BatchRecord | None) -> audit.Fact:
    """What was said of an item, and what a reading showed; no record: nothing could be read."""
    sent = item.state == ItemState.APPLIED
    return audit.Fact.about_batch(
        Action.BATCH_NOT_CONFIRMED,
        audit.Actor.system_for(change),
        item.batch,
        outcome="not_confirmed" if sent else "refuted",
        change_id=change.pk,
        reason=change.reason,
        reference=change.reference,
        before=item.after or store.snapshot(item.batch),
        after=store.snapshot(record) if record else None,
        detail={"requested": item.requested(change).to_json(), "why": "" if sent else item.message},
    )


def _unrequested_fact(change: Change, item: ChangeItem, record: BatchRecord) -> audit.Fact:
    return audit.Fact.about_batch(
        Action.BATCH_UNREQUESTED_CHANGE,
        audit.VENDOR,
        item.batch,
        outcome="unrequested",
        change_id=change.pk,
        reason=change.reason,
        before=item.after,
        after=store.snapshot(record),
        detail={"fields": item.unrequested, "requested": Values.of(record).to_json()},
    )
