"""Outcomes into the database: items, mirror rows and the trail in one transaction."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from batchops.models import Action, Batch, Change, ChangeItem
from batchops.services import audit, mirror
from batchops.services.attempts import Assignment, Outcome

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
        items = _held(by_item, lease)
        rows = mirror.locked_rows(item.batch_id for item in items)
        mirror.keep_campaigns(
            {outcome.record.campaign_id for outcome in outcomes if outcome.record}
            - {row.campaign_id for row in rows.values()}
        )
        facts: list[audit.Fact] = []
        touched: list[Batch] = []
        for item in items:
            outcome, row = by_item[item.pk], rows[item.batch_id]
            change = changes[item.change_id]
            facts += _facts(outcome, item, row, change)
            _settle_item(item, outcome)
            if _settle_row(row, outcome, change):
                touched.append(row)
        ChangeItem.objects.bulk_create(
            items, update_conflicts=True, unique_fields=["id"], update_fields=SETTLED_FIELDS
        )
        mirror.write_rows(touched)
        audit.record(*facts)
    if len(items) < len(by_item):
        logger.warning("%d outcomes had lost their lease.", len(by_item) - len(items))
    return len(items)


def put_off(
    assignments: Iterable[Assignment], changes: Mapping[UUID, Change], lease: str, why: str
) -> None:
    """Make items pending again that were sent without a clear answer, and record their tries."""
    by_item = {assignment.item_id: assignment for assignment in assignments}
    if not by_item:
        return
    with transaction.atomic():
        items = _held(by_item, lease)
        rows = mirror.locked_rows(item.batch_id for item in items)
        ChangeItem.objects.filter(pk__in=[item.pk for item in items]).update(
            state=State.PENDING, lease="", lease_until=None
        )
        audit.record(
            *(
                audit.Fact.about_batch(
                    Action.BATCH_POSTPONED,
                    audit.Actor.of_change(changes[item.change_id]),
                    rows[item.batch_id],
                    outcome="postponed",
                    detail=_detail(by_item[item.pk], why),
                    **_about(changes[item.change_id]),
                )
                for item in items
                if by_item[item.pk].tries
            )
        )


def _held(keys: Iterable[int], lease: str) -> list[ChangeItem]:
    held = ChangeItem.objects.select_for_update(of=("self",)).filter(
        pk__in=list(keys), lease=lease, state=State.SENDING
    )
    return list(held.order_by("pk"))


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
    if record is None or mirror.is_older(row, outcome.seen_at):
        return False
    applied = outcome.state == State.APPLIED
    if not applied and not mirror.differs(row, record):
        return False
    mirror.take_over(row, record, outcome.seen_at)
    if applied:
        row.drifted_at = None
        if outcome.assignment.patch.paused is True:
            row.hold = change
    return True


def _facts(outcome: Outcome, item: ChangeItem, row: Batch, change: Change) -> list[audit.Fact]:
    assert outcome.state is not None  # noqa: S101
    about = {
        **_about(change),
        "http_status": outcome.http_status,
        "before": _before(outcome.assignment, row),
        "after": mirror.snapshot(outcome.record) if outcome.record else None,
    }
    detail = _detail(outcome.assignment, outcome.message) | {"seen": item.before.to_json()}
    facts = [
        audit.Fact.about_batch(
            f"batch.{outcome.state.value}",
            audit.Actor.of_change(change),
            row,
            outcome=outcome.state.value,
            detail=detail,
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


def _before(assignment: Assignment, row: Batch) -> dict[str, Any]:
    """The values right before it was sent; else what the mirror held."""
    known = assignment.known.to_json() if assignment.known else {}
    return mirror.snapshot(row) | known


def _about(change: Change) -> dict[str, Any]:
    return {"change_id": change.pk, "reason": change.reason, "reference": change.reference}


def _detail(assignment: Assignment, message: str) -> dict[str, Any]:
    """What was asked, and how each try was answered: one word for each PUT."""
    return {
        "asked": assignment.patch.to_json(),
        "message": message,
        "tries": list(assignment.tries),
        "in_doubt": assignment.in_doubt,
    }
