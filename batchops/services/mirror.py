"""Writes what was seen of the vendor's batches into the mirror, and notices outside changes.

Only rows that differ are written. An observation older than the row is ignored, so that a pull
never undoes what a push just wrote.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from django.db import transaction
from django.utils import timezone

from batchops.models import Action, Batch, Campaign, ChangeItem
from batchops.services import audit, bulk, shared_ids
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
MIRROR_FIELDS: Final = ("synced_at", "observed_at", "missing_since", "drifted_at", "hold_id")
CAMPAIGN_FIELDS: Final = (
    "campaign_name",
    "description",
    "mode",
    "labels",
    "hourly_rate",
    "daily_start_time",
    "daily_end_time",
    "active_days",
    "updated_at",
    "last_updated_by",
)
STALE_READ_SPAN: Final = dt.timedelta(minutes=2)
"""For how long after a row was written an answer with an older `last_updated_at` is distrusted:
whether the vendor's reads follow its writes at once is not documented."""


@dataclass(slots=True)
class Tally:
    """What applying observations did."""

    seen: int = 0
    created: int = 0
    changed: int = 0
    facts: list[audit.Fact] = field(default_factory=list)


def apply_page(
    records: Sequence[BatchRecord],
    observed_at: dt.datetime,
    strangers: dict[str, tuple[BatchRecord, dt.datetime]] | None = None,
) -> Tally:
    """Write the batches of one reply whose request was sent at `observed_at` (UTC).

    One transaction: changed rows, and a fact for each change that was made outside batchops.
    A batch of another campaign than its row's is another batch: it is put into `strangers`, or
    without one raises the alarm.
    """
    with transaction.atomic():
        rows = locked_rows({record.batch_id for record in records})
        latest, others = shared_ids.told_apart(records, rows)
        in_flight = set(
            ChangeItem.objects.filter(
                batch_id__in=list(latest), state=ChangeItem.State.SENDING
            ).values_list("batch_id", flat=True)
        )
        keep_campaigns(record.campaign_id for record in latest.values())
        tally = Tally(seen=len(latest))
        written: list[Batch] = []
        for batch_id, record in latest.items():
            row = rows.get(batch_id)
            # What a push is at work on, the push itself will write, from a fresher reply.
            if batch_id in in_flight or (row and is_stale(row, record, observed_at)):
                continue
            if row is None:
                written.append(_new_row(record, observed_at))
                tally.created += 1
            elif differs(row, record):
                tally.facts += _observed_differences(row, record)
                take_over(row, record, observed_at)
                written.append(row)
                tally.changed += 1
        write_rows(written)
        audit.record(*tally.facts)
        if strangers is None:
            shared_ids.raise_alarms({one.batch_id: [one.campaign_id] for one in others})
        else:
            strangers |= {one.batch_id: (one, observed_at) for one in others}
    return tally


def follow_to_campaign(record: BatchRecord, observed_at: dt.datetime) -> None:
    """Take over a batch that is in another campaign than before, and there alone."""
    with transaction.atomic():
        keep_campaigns([record.campaign_id])
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


def notice(row: Batch, record: BatchRecord, observed_at: dt.datetime) -> list[audit.Fact] | None:
    """Take over what a single read showed before anything of ours was sent.

    Returns the facts about what others had changed; None when the row stays as it is.
    """
    if is_stale(row, record, observed_at) or not differs(row, record):
        return None
    facts = _observed_differences(row, record)
    keep_campaigns([record.campaign_id])
    take_over(row, record, observed_at)
    return facts


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


def keep_campaigns(campaign_ids: Iterable[int]) -> None:
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
    return observed_at <= row.observed_at < timezone.now() + STALE_READ_SPAN


def is_stale(row: Batch, record: BatchRecord, observed_at: dt.datetime) -> bool:
    """Whether an observation is older than what the row holds."""
    if is_older(row, observed_at):
        return True
    if record.last_updated_at is None or row.last_updated_at is None:
        return False
    went_back = record.last_updated_at < row.last_updated_at
    return went_back and observed_at - row.observed_at < STALE_READ_SPAN


def differs(row: Batch, record: BatchRecord) -> bool:
    """Whether the row would change by taking the record over."""
    return row.missing_since is not None or any(
        getattr(row, name) != getattr(record, name) for name in RECORD_FIELDS
    )


def take_over(row: Batch, record: BatchRecord, observed_at: dt.datetime) -> None:
    """Put a record's values into a row; a hold of ours ends with the pause itself.

    A record of another campaign is about another batch: nothing of it is taken over.
    """
    if row.campaign_id not in (None, record.campaign_id):
        return
    for name in RECORD_FIELDS:
        setattr(row, name, getattr(record, name))
    row.observed_at = observed_at
    row.synced_at = timezone.now()
    row.missing_since = None
    if row.paused is not True:
        row.hold_id = None


def write_rows(rows: Sequence[Batch]) -> None:
    """Insert or update mirror rows in few statements, in the order in which all writers lock."""
    Batch.objects.bulk_create(
        sorted(rows, key=lambda row: row.batch_id),
        update_conflicts=True,
        unique_fields=["batch_id"],
        update_fields=[*RECORD_FIELDS, *MIRROR_FIELDS],
        batch_size=500,
    )


def update_rows(rows: Sequence[Batch]) -> None:
    """Update mirror rows that exist."""
    names = [*RECORD_FIELDS, *MIRROR_FIELDS]
    bulk.update_rows(
        Batch,
        names,
        [(row.pk, [getattr(row, name) for name in names]) for row in rows],
    )


def mark_missing(batch_ids: Sequence[str]) -> int:
    """Tombstone batches of which the vendor said that it does not know them."""
    with transaction.atomic():
        rows = [row for row in locked_rows(batch_ids).values() if row.missing_since is None]
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


def _new_row(record: BatchRecord, observed_at: dt.datetime) -> Batch:
    row = Batch(batch_id=record.batch_id)
    take_over(row, record, observed_at)
    return row


def _campaign_values(record: CampaignRecord) -> dict[str, Any]:
    values = {name: getattr(record, name) for name in CAMPAIGN_FIELDS}
    return {n: list(v) if isinstance(v, tuple) else v for n, v in values.items()}


def _observed_differences(row: Batch, record: BatchRecord) -> list[audit.Fact]:
    """The facts in a difference: reappeared, changed or deleted by somebody, or moved by itself."""
    facts = []
    before, after = snapshot(row), snapshot(record)
    vendor = audit.Actor.outside(record.last_updated_by or "unknown")
    if row.missing_since is not None:
        facts.append(audit.Fact.about_batch(Action.BATCH_FOUND_AGAIN, audit.SYSTEM, row))
    moved = [
        name
        for name in PATCH_FIELDS
        if not same_value(name, getattr(row, name), getattr(record, name))
    ]
    deleted = row.deleted_at is None and record.deleted_at is not None
    if moved and not deleted and _was_never_kept(row, record, moved):
        return facts
    if moved or deleted:
        if row.change_items.filter(state=ChangeItem.State.APPLIED).exists():
            row.drifted_at = timezone.now()
        detail: dict[str, Any] = {"fields": moved}
        if deleted:
            detail["deleted"] = record.deleted_reason or True
        facts.append(
            audit.Fact.about_batch(
                Action.BATCH_CHANGED_OUTSIDE,
                vendor,
                row,
                outcome="outside",
                before=before,
                after=after,
                detail=detail,
            )
        )
    elif row.status != record.status:
        facts.append(
            audit.Fact.about_batch(
                Action.BATCH_STATUS_CHANGED,
                audit.VENDOR,
                row,
                outcome="outside",
                before=before,
                after=after,
            )
        )
    return facts


def _was_never_kept(row: Batch, record: BatchRecord, moved: Sequence[str]) -> bool:
    """Whether the vendor shows what was before our last change, which it accepted but never kept.

    Nobody changed the batch then, and the trail already says that it was not confirmed.
    """
    last = row.change_items.filter(state=ChangeItem.State.APPLIED).order_by("-settled_at").first()
    if last is None or last.confirmation != ChangeItem.Confirmation.NOT_CONFIRMED:
        return False
    return all(
        same_value(name, getattr(last.before, name), getattr(record, name)) for name in moved
    )
