"""Outcomes into the database: items, mirror rows and the trail in one transaction."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from batchops.models import Action, Batch, Change, ChangeItem
from batchops.services import audit, mirror
from batchops.services.attempts import Outcome
from batchops.syllable.patch import BatchPatch

logger = logging.getLogger(__name__)

State = ChangeItem.State

SETTLED_FIELDS: Final = (
    "state",
    "attempts",
    "lease",
    "lease_until",
    "http_status",
    "message",
    "after",
    "settled_at",
    "unasked",
)


def settle(outcomes: Sequence[Outcome], changes: Mapping[UUID, Change], lease: str) -> int:
    """Write settled outcomes; returns how many were still this worker's to write.

    What lost its lease meanwhile is left to the worker that holds it now.
    """
    by_item = {outcome.assignment.item_id: outcome for outcome in outcomes}
    with transaction.atomic():
        items = list(
            ChangeItem.objects.select_for_update(of=("self",))
            .filter(pk__in=by_item, lease=lease, state=State.SENDING)
            .order_by("pk")
        )
        rows = mirror.locked_rows(item.batch_id for item in items)
        facts: list[audit.Fact] = []
        touched: dict[str, Batch] = {}
        for item in items:
            outcome, row = by_item[item.pk], rows[item.batch_id]
            change = changes[item.change_id]
            facts += _facts(outcome, item, row, change)
            _settle_item(item, outcome)
            if _settle_row(row, outcome, change):
                touched[row.batch_id] = row
        ChangeItem.objects.bulk_create(
            items, update_conflicts=True, unique_fields=["id"], update_fields=[*SETTLED_FIELDS]
        )
        mirror.write_rows(list(touched.values()))
        audit.record(*facts)
    if len(items) < len(by_item):
        logger.warning("%d outcomes had lost their lease.", len(by_item) - len(items))
    return len(items)


def _settle_item(item: ChangeItem, outcome: Outcome) -> None:
    assert outcome.state is not None  # noqa: S101
    item.state = outcome.state
    item.attempts += max(0, len(outcome.assignment.tries) - 1)
    item.lease, item.lease_until = "", None
    item.http_status = outcome.http_status
    item.message = outcome.message
    item.after = mirror.snapshot(outcome.record) if outcome.record else None
    item.settled_at = timezone.now()
    item.unasked = list(outcome.unasked)


def _settle_row(row: Batch, outcome: Outcome, change: Change) -> bool:
    """Put what was seen into the mirror row; whether the row has to be written."""
    if outcome.gone and row.missing_since is None:
        row.missing_since = row.synced_at = row.observed_at = timezone.now()
        return True
    record = outcome.record
    if record is None or outcome.seen_at <= row.observed_at:
        return False
    if outcome.state != State.APPLIED:
        if not mirror.differs(row, record):
            return False
        mirror.keep_campaigns([record.campaign_id])
        mirror.take_over(row, record, outcome.seen_at)
        return True
    mirror.keep_campaigns([record.campaign_id])
    mirror.take_over(row, record, outcome.seen_at)
    row.drifted_at = None
    if outcome.assignment.patch.paused is True:
        row.hold = change
    return True


def _facts(outcome: Outcome, item: ChangeItem, row: Batch, change: Change) -> list[audit.Fact]:
    assert outcome.state is not None  # noqa: S101
    actor = audit.Actor.of_change(change)
    asked: BatchPatch = outcome.assignment.patch
    about: dict[str, Any] = {
        "change_id": change.pk,
        "reason": change.reason,
        "reference": change.reference,
        "http_status": outcome.http_status,
        "before": mirror.snapshot(row),
        "after": mirror.snapshot(outcome.record) if outcome.record else None,
    }
    facts = [
        audit.Fact.about_batch(
            f"batch.{outcome.state.value}",
            actor,
            row,
            outcome=outcome.state.value,
            detail={
                "asked": asked.to_json(),
                "seen": item.before.to_json(),
                "message": outcome.message,
                "tries": list(outcome.assignment.tries),
            },
            **about,
        )
    ]
    if outcome.unasked:
        facts.append(
            audit.Fact.about_batch(
                Action.BATCH_MOVED_UNASKED,
                audit.Actor("vendor"),
                row,
                outcome="unasked",
                detail={"fields": list(outcome.unasked)},
                **about,
            )
        )
    return facts
