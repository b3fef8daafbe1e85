"""Writes what was seen of the vendor's batches into the mirror, and detects changes made outside.

Only rows that differ are written. An observation older than the row is ignored, so that a sync
never undoes what a push just wrote.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db import transaction
from django.utils import timezone

from batchops import audit
from batchops.models import Action, Batch, Campaign, ChangeItem
from batchops.services import bulk
from batchops.services.holds import moves
from batchops.services.mirror import own_writes, shared_ids
from batchops.services.mirror.evidence import Known
from batchops.services.mirror.own_writes import OwnWrites
from batchops.syllable.patch import PATCH_FIELDS, Values, same_value
from batchops.syllable.records import BatchRecord, CampaignRecord

RECORD_FIELDS: Final = (
    "campaign_id",
    "status",
    "paused",
    "expires_on",
    "call_rate",
    "auto_call_rate",
    "auto_call_rate_baseline",
    "upload_filename",
    "dispatch_id",
    "created_at",
    "deleted_at",
    "deleted_reason",
    "last_updated_at",
    "last_updated_by",
    "error_message",
)
MIRROR_FIELDS: Final = (
    "synced_at",
    "observed_at",
    "written_at",
    "missing_since",
    "changed_externally_at",
    "paused_by_id",
)
CAMPAIGN_FIELDS: Final = tuple(
    name for name in CampaignRecord.__slots__ if name not in {"id", "unknown_fields"}
)

CLOCK_SLACK: Final = dt.timedelta(minutes=2)
"""How far ahead of the clock an instant may lie before it counts as written by another clock."""


@dataclass(slots=True)
class PageResult:
    """How many rows a page of observations made and changed."""

    created: int = 0
    changed: int = 0


def apply_page(
    records: Sequence[BatchRecord],
    observed_at: dt.datetime,
    strangers: dict[str, tuple[BatchRecord, dt.datetime]] | None = None,
) -> PageResult:
    """Write the batches of one reply whose request was sent at `observed_at` (UTC).

    One transaction: changed rows, and a fact for each change that was made outside batchops.
    A batch of another campaign than its row's is another batch: it is put into `strangers`, or
    without one raises the alarm.
    """
    with transaction.atomic():
        rows = locked_rows({record.batch_id for record in records})
        latest, others = shared_ids.split_by_campaign(records, rows)
        ensure_campaigns(record.campaign_id for record in latest.values())
        result, facts = PageResult(), list[audit.Fact]()
        written: list[Batch] = []
        differing: list[tuple[Batch, BatchRecord]] = []
        for batch_id, record in latest.items():
            row = rows.get(batch_id)
            if row is None:
                written.append(row_of(record, observed_at))
                result.created += 1
            elif not is_stale(row, record, observed_at) and differs(row, record):
                differing.append((row, record))
        own = own_writes.of(row.batch_id for row, _ in differing)
        for row, record in differing:
            if row.batch_id in own.in_flight:
                # The push itself will write it, from a fresher reply.
                continue
            if (found := _apply_and_report(row, record, observed_at, own)) is not None:
                facts += found
                written.append(row)
                result.changed += 1
        write_rows(written)
        audit.record(*facts)
        if strangers is None:
            shared_ids.raise_alarms({one.batch_id: [one.campaign_id] for one in others})
        else:
            strangers |= {one.batch_id: (one, observed_at) for one in others}
    return result


def follow_to_campaign(record: BatchRecord, observed_at: dt.datetime) -> None:
    """Move a batch to the campaign that it is in now, and there alone."""
    with transaction.atomic():
        ensure_campaigns([record.campaign_id])
        for row in locked_rows([record.batch_id]).values():
            if is_older(row, observed_at):
                return
            detail = {"fields": ["campaign_id"], "campaigns": [row.campaign_id, record.campaign_id]}
            audit.record(
                audit.Fact.about_batch(
                    Action.BATCH_CHANGED_OUTSIDE,
                    audit.Actor.outside(record.last_updated_by or "unknown"),
                    row,
                    outcome="outside",
                    detail=detail,
                )
            )
            Batch.objects.filter(pk=row.pk).update(campaign_id=record.campaign_id)
        apply_page([record], observed_at)


def detect_external_change(
    row: Batch, record: BatchRecord, observed_at: dt.datetime, own: OwnWrites
) -> list[audit.Fact] | None:
    """Apply what a single read showed, for an item that is being pushed.

    Returns the facts about what others had changed; None when the row stays as it is.
    """
    if record.campaign_id != row.campaign_id:
        # It is about another batch with the same id.
        return None
    if is_stale(row, record, observed_at) or not differs(row, record):
        return None
    ensure_campaigns([record.campaign_id])
    return _apply_and_report(row, record, observed_at, own)


def locked_rows(batch_ids: Iterable[str]) -> dict[str, Batch]:
    """The mirror rows of batches with their campaigns, locked in one order by all writers."""
    rows = (
        Batch.objects.select_for_update(no_key=True, of=("self",))
        .select_related("campaign")
        .only(*(field.name for field in Batch._meta.fields), "campaign__campaign_name")
        .filter(pk__in=list(batch_ids))
        .order_by("pk")
    )
    return {row.batch_id: row for row in rows}


def ensure_campaigns(campaign_ids: Iterable[int]) -> None:
    """Make a nameless row for each campaign that is not known yet."""
    wanted = set(campaign_ids)
    known = set(Campaign.objects.filter(pk__in=wanted).values_list("pk", flat=True))
    now = timezone.now()
    Campaign.objects.bulk_create(
        [Campaign(id=pk, synced_at=now, observed_at=now) for pk in sorted(wanted - known)],
        ignore_conflicts=True,
    )


def is_older(row: Batch, observed_at: dt.datetime) -> bool:
    """Whether a row holds something newer. One from the future is of a clock since set back."""
    return observed_at <= row.observed_at < timezone.now() + CLOCK_SLACK


def is_stale(row: Batch, record: BatchRecord, observed_at: dt.datetime) -> bool:
    """Whether an observation may be older than what the row holds: lists and reads lag."""
    return is_older(row, observed_at) or not Known.of(row).is_proven_by(record, observed_at)


def differs(row: Batch, record: BatchRecord) -> bool:
    """Whether the row would change by applying the record."""
    return row.missing_since is not None or any(
        getattr(row, name) != getattr(record, name) for name in RECORD_FIELDS
    )


def apply_record(row: Batch, record: BatchRecord, observed_at: dt.datetime) -> None:
    """Put a record's values into a row; a pause of ours ends with the pause itself.

    A record of another campaign is about another batch: nothing of it is applied.
    """
    if row.campaign_id not in (None, record.campaign_id):
        return
    before, is_new = row.paused, row._state.adding
    for name in RECORD_FIELDS:
        setattr(row, name, getattr(record, name))
    row.observed_at = observed_at
    row.synced_at = timezone.now()
    row.missing_since = None
    row.pause_moved |= row.paused is not before and (row.paused is True or not is_new)
    if row.paused is not True:
        row.paused_by_id = None


def write_rows(rows: Sequence[Batch]) -> None:
    """Insert or update mirror rows in few statements, in the order in which all writers lock."""
    Batch.objects.bulk_create(
        sorted(rows, key=lambda row: row.batch_id),
        update_conflicts=True,
        unique_fields=["batch_id"],
        update_fields=[*RECORD_FIELDS, *MIRROR_FIELDS],
        batch_size=500,
    )
    moves.keep_true(rows)


def update_rows(rows: Sequence[Batch]) -> None:
    """Update mirror rows that exist."""
    names = [*RECORD_FIELDS, *MIRROR_FIELDS]
    bulk.update_rows(
        Batch,
        names,
        [(row.pk, [getattr(row, name) for name in names]) for row in rows],
    )
    moves.keep_true(rows)


def mark_missing(batch_ids: Sequence[str], sent_at: dt.datetime) -> int:
    """Tombstone batches that the vendor does not know, as it answered to reads sent at `sent_at`.

    One that was made only lately is left for later: reads may not know of it yet.
    """
    with transaction.atomic():
        rows = [
            row
            for row in locked_rows(batch_ids).values()
            if row.missing_since is None and Known.of(row).is_gone_by(sent_at)
        ]
        now = timezone.now()
        for row in rows:
            row.missing_since = row.synced_at = row.observed_at = now
        write_rows(rows)
        audit.record(
            *(
                audit.Fact.about_batch(
                    Action.BATCH_MISSING, audit.SYSTEM, row, before=snapshot(row)
                )
                for row in rows
            )
        )
    return len(rows)


def apply_campaigns(records: Sequence[CampaignRecord], observed_at: dt.datetime) -> int:
    """Write the campaigns that differ; returns how many were written."""
    latest = {record.id: record for record in records}
    with transaction.atomic():
        known = Campaign.objects.select_for_update(no_key=True).order_by("pk").in_bulk(list(latest))
        written = []
        for pk, record in sorted(latest.items()):
            values = _campaign_values(record)
            row = known.get(pk)
            if row is not None and all(getattr(row, n) == v for n, v in values.items()):
                continue
            written.append(
                Campaign(id=pk, synced_at=timezone.now(), observed_at=observed_at, **values)
            )
        Campaign.objects.bulk_create(
            written,
            update_conflicts=True,
            unique_fields=["id"],
            update_fields=[*CAMPAIGN_FIELDS, "synced_at", "observed_at", "missing_since"],
        )
    return len(written)


def snapshot(batch: Batch | BatchRecord) -> dict[str, Any]:
    """The values of a batch that the trail keeps as before and after."""
    return {**Values.of(batch).to_json(), "status": batch.status}


def row_of(record: BatchRecord, observed_at: dt.datetime) -> Batch:
    """A mirror row as a record makes it, not stored."""
    row = Batch(batch_id=record.batch_id)
    apply_record(row, record, observed_at)
    return row


def _campaign_values(record: CampaignRecord) -> dict[str, Any]:
    values = {name: getattr(record, name) for name in CAMPAIGN_FIELDS}
    return {n: list(v) if isinstance(v, tuple) else v for n, v in values.items()}


def _apply_and_report(
    row: Batch, record: BatchRecord, observed_at: dt.datetime, own: OwnWrites
) -> list[audit.Fact] | None:
    """Put an observation into a row; returns the facts about what others did.

    While an update of ours may be on its way, what it asked for stays as it was before: its own
    outcome will tell. None: nothing but that was seen.
    """
    batch_id, facts = row.batch_id, []
    if row.missing_since is not None:
        facts.append(audit.Fact.about_batch(Action.BATCH_FOUND_AGAIN, audit.SYSTEM, row))
    moved = {n for n in PATCH_FIELDS if not same_value(n, getattr(row, n), getattr(record, n))}
    awaited = own.awaited(batch_id, record, moved)
    late, late_fields = own.late(batch_id, record, moved - awaited)
    others = moved - awaited - late_fields
    deleted = row.deleted_at is None and record.deleted_at is not None
    if awaited and not (others or deleted):
        return None
    last = own.last_applied.get(batch_id)
    if late is not None:
        facts.append(_carried_out_after_all(row, record, late, late_fields))
        if "paused" in late_fields and record.paused:
            row.paused_by = late.change
        if last is not None and last.pk != late.pk:
            row.changed_externally_at = timezone.now()
    if (others or deleted) and (deleted or not own.was_never_kept(row, record, others)):
        if last is not None:
            row.changed_externally_at = timezone.now()
        facts.append(_changed_outside(row, record, others, own.names))
    elif row.status != record.status and not moved:
        facts.append(_status_moved(row, record))
    _apply_except(awaited, row, record, observed_at)
    return facts


def _apply_except(
    awaited: set[str], row: Batch, record: BatchRecord, observed_at: dt.datetime
) -> None:
    """Apply an observation; with `awaited` fields, only what was surely done by others."""
    if not awaited:
        apply_record(row, record, observed_at)
        return
    names = (set(PATCH_FIELDS) | {"deleted_at", "deleted_reason"}) - awaited
    for name in names:
        setattr(row, name, getattr(record, name))
    row.missing_since, row.synced_at = None, timezone.now()


def _changed_outside(
    row: Batch, record: BatchRecord, fields: set[str], own_names: frozenset[str]
) -> audit.Fact:
    """What somebody else did; with our own key it is another tool, or its owner at the vendor."""
    with_our_key = record.last_updated_by in own_names
    detail: dict[str, Any] = {"fields": [name for name in PATCH_FIELDS if name in fields]}
    if record.deleted_at is not None and row.deleted_at is None:
        detail["deleted"] = record.deleted_reason or True
    before, after = snapshot(row), snapshot(record)
    return audit.Fact.about_batch(
        Action.BATCH_CHANGED_WITH_OUR_KEY if with_our_key else Action.BATCH_CHANGED_OUTSIDE,
        audit.Actor.outside(record.last_updated_by or "unknown"),
        row,
        outcome="outside",
        before=before,
        after=before | {n: after[n] for n in after if n in fields or n == "status"},
        detail=detail,
    )


def _status_moved(row: Batch, record: BatchRecord) -> audit.Fact:
    return audit.Fact.about_batch(
        Action.BATCH_STATUS_CHANGED,
        audit.VENDOR,
        row,
        outcome="outside",
        before=snapshot(row),
        after=snapshot(record),
    )


def _carried_out_after_all(
    row: Batch, record: BatchRecord, item: ChangeItem, fields: set[str]
) -> audit.Fact:
    """An update of ours whose outcome was not known is seen to have taken effect."""
    return audit.Fact.about_batch(
        Action.BATCH_CARRIED_OUT_LATE,
        audit.SYSTEM,
        row,
        outcome="as_requested",
        change_id=item.change_id,
        reason=item.change.reason,
        reference=item.change.reference,
        before=snapshot(row),
        after=snapshot(record),
        detail={"fields": [name for name in PATCH_FIELDS if name in fields], "was": item.state},
    )
