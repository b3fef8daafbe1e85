"""Outcomes into the database: items, mirror rows and the trail in one transaction."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from batchops import audit
from batchops.models import SUCCESS_STATES, Action, Batch, Change, ChangeItem, ItemState
from batchops.services.attempts.assignments import DENIED_SO_FAR, NO_CLEAR_ANSWER, Assignment
from batchops.services.attempts.outcomes import Settled
from batchops.services.bulk import update_rows
from batchops.services.holds import moves
from batchops.services.mirror import key_identity, own_writes, store
from batchops.services.runs import leases

logger = logging.getLogger(__name__)


OUTCOME_FIELDS: Final = (
    "state",
    "attempts",
    "lease",
    "lease_until",
    "http_status",
    "message",
    "after",
    "settled_at",
    "unrequested",
)


def record(outcomes: Sequence[Settled], changes: Mapping[UUID, Change], lease: str) -> int:
    """Write how items ended; returns how many were still this worker's to write.

    What another worker has taken up since is left to it.
    """
    with transaction.atomic():
        attempts = _leased([outcome.assignment for outcome in outcomes], lease)
        written = [outcome for outcome in outcomes if outcome.assignment.item_id in attempts]
        rows = store.locked_rows(outcome.assignment.batch_id for outcome in written)
        store.ensure_campaigns(
            {outcome.record.campaign_id for outcome in written if outcome.record}
            - {row.campaign_id for row in rows.values()}
        )
        own = own_writes.of(
            [
                one.assignment.batch_id
                for one in written
                if (found := one.assignment.found)
                and store.differs(rows[one.assignment.batch_id], found.record)
            ],
            but=[one.assignment.item_id for one in written if not one.assignment.in_doubt],
        )
        key_identity.learn(
            one.record.last_updated_by for one in written if one.record and one.moved_it
        )
        lifted = _move_holds(written, changes)
        facts = [*lifted.facts]
        touched: list[Batch] = []
        for outcome in written:
            row = rows[outcome.assignment.batch_id]
            change = changes[outcome.assignment.change_id]
            found = outcome.assignment.found
            external = (
                store.detect_external_change(row, found.record, found.sent_at, own)
                if found
                else None
            )
            facts += [*(external or ()), *_facts(outcome, row, change, lifted.by_batch.get(row.pk))]
            if _update_row(row, outcome, change) or external is not None:
                touched.append(row)
        update_rows(
            ChangeItem,
            OUTCOME_FIELDS,
            [_outcome_values(outcome, attempts) for outcome in written],
        )
        store.update_rows(touched)
        audit.record(*facts)
    if len(written) < len(outcomes):
        logger.warning(
            "%d outcomes are left to the worker that took their items up.",
            len(outcomes) - len(written),
        )
    return len(written)


def give_back(
    assignments: Iterable[Assignment],
    changes: Mapping[UUID, Change],
    lease: str,
    why: str,
) -> None:
    """Make items pending again, and record the tries of those that were sent in vain.

    What may have been carried out counts as a round and is in doubt from now on.
    """
    by_item = {assignment.item_id: assignment for assignment in assignments}
    if not by_item:
        return
    with transaction.atomic():
        leased = _leased(by_item.values(), lease)
        tried = [by_item[key] for key in leased if by_item[key].tries]
        rows = store.locked_rows(assignment.batch_id for assignment in tried)
        in_doubt = [key for key in leased if by_item[key].in_doubt]
        leases.give_back(lease, in_doubt, counted=True)
        ChangeItem.objects.filter(pk__in=[key for key in in_doubt if by_item[key].tries]).update(
            message=NO_CLEAR_ANSWER
        )
        leases.doubt(by_item[key].batch_id for key in in_doubt)
        leases.give_back(lease, leased.keys() - set(in_doubt))
        denied = [key for key in leased.keys() - set(in_doubt) if by_item[key].was_denied]
        ChangeItem.objects.filter(pk__in=denied).update(message=DENIED_SO_FAR)
        audit.record(
            *(
                audit.Fact.about_batch(
                    Action.BATCH_POSTPONED,
                    audit.Actor.system_for(changes[assignment.change_id]),
                    rows[assignment.batch_id],
                    outcome="postponed",
                    detail=_detail(assignment, why),
                    **_about(changes[assignment.change_id]),
                )
                for assignment in tried
            )
        )


def _leased(assignments: Collection[Assignment], lease: str) -> dict[int, int]:
    """Which of these items are this worker's to write, locked, with their attempts so far.

    Those under its lease, and those whose lease has expired and that nobody has taken up since.
    """
    rounds = {assignment.item_id: assignment.rounds for assignment in assignments}
    own = Q(lease=lease, state=ItemState.SENDING)
    items = (
        ChangeItem.objects.select_for_update(no_key=True, of=("self",))
        .filter(own | Q(lease="", state=ItemState.PENDING), pk__in=list(rounds))
        .order_by("pk")
        .values_list("pk", "attempts", "state")
    )
    return {
        key: attempts
        for key, attempts, state in items
        if state == ItemState.SENDING or attempts == rounds[key]
    }


def _outcome_values(
    outcome: Settled, attempts: Mapping[int, int]
) -> tuple[int, tuple[object, ...]]:
    """An item's key and what its fields are set to, in the order of OUTCOME_FIELDS."""
    assignment = outcome.assignment
    values = (
        outcome.state,
        attempts[assignment.item_id] + max(0, len(assignment.tries) - 1),
        "",
        None,
        outcome.http_status,
        outcome.message,
        store.snapshot(outcome.record) if outcome.record else None,
        timezone.now(),
        list(outcome.unrequested),
    )
    return assignment.item_id, values


def _update_row(row: Batch, outcome: Settled, change: Change) -> bool:
    """Put what was seen into the mirror row; whether the row has to be written."""
    if outcome.gone and row.missing_since is None:
        row.missing_since = row.synced_at = row.observed_at = timezone.now()
        return True
    doubted = outcome.assignment.in_doubt
    if doubted:
        row.written_at = outcome.assignment.known.written_at
    record = outcome.record
    if record is None or store.is_older(row, outcome.seen_at):
        return doubted
    applied = outcome.state == ItemState.APPLIED
    if not (outcome.by_reply or applied):
        if store.is_stale(row, record, outcome.seen_at):
            return doubted
        if not (doubted or store.differs(row, record)):
            return False
    store.apply_record(row, record, outcome.seen_at)
    if outcome.by_reply:
        row.written_at = outcome.seen_at
    if applied:
        row.changed_externally_at = None
        if outcome.assignment.patch.paused is True:
            row.paused_by = change
    return True


def _move_holds(written: Iterable[Settled], changes: Mapping[UUID, Change]) -> moves.Lifted:
    """Place the holds of pauses and lift those of what is resumed."""
    paused: dict[UUID, list[str]] = {}
    found: dict[str, str] = {}
    resumed: dict[UUID, list[str]] = {}
    for outcome in written:
        wanted, batch_id = outcome.assignment.patch.paused, outcome.assignment.batch_id
        if outcome.state in SUCCESS_STATES and isinstance(wanted, bool):
            moved = paused if wanted else resumed
            moved.setdefault(outcome.assignment.change_id, []).append(batch_id)
            if wanted and outcome.state == ItemState.UNCHANGED:
                found[batch_id] = outcome.record.last_updated_by if outcome.record else ""
    for key, batch_ids in paused.items():
        moves.place(changes[key], batch_ids, {pk: found[pk] for pk in batch_ids if pk in found})
    lifted = moves.Lifted({}, [])
    for key, batch_ids in resumed.items():
        of_change = moves.lift(changes[key], batch_ids)
        lifted.by_batch.update(of_change.by_batch)
        lifted.facts.extend(of_change.facts)
    return lifted


def _facts(
    outcome: Settled, row: Batch, change: Change, lifted: Sequence[str] | None
) -> list[audit.Fact]:
    about = {
        **_about(change),
        "http_status": outcome.http_status,
        "before": _before(outcome.assignment, row),
        "after": store.snapshot(outcome.record) if outcome.record else None,
    }
    seen = outcome.assignment.before.to_json()
    detail = _detail(outcome.assignment, outcome.message) | {"seen": seen}
    if lifted:
        detail["lifted"] = list(lifted)
    facts = [
        audit.Fact.about_batch(
            f"batch.{outcome.state.value}",
            audit.Actor.system_for(change),
            row,
            outcome=outcome.state.value,
            detail=detail,
            **about,
        )
    ]
    if outcome.unrequested:
        facts.append(
            audit.Fact.about_batch(
                Action.BATCH_UNREQUESTED_CHANGE,
                audit.VENDOR,
                row,
                outcome="unrequested",
                detail={"fields": list(outcome.unrequested)},
                **about,
            )
        )
    return facts


def _before(assignment: Assignment, row: Batch) -> dict[str, Any]:
    """What was provably there before anything of it was sent."""
    return store.snapshot(row) | (assignment.base or assignment.known.values).to_json()


def _about(change: Change) -> dict[str, Any]:
    return {"change_id": change.pk, "reason": change.reason, "reference": change.reference}


def _detail(assignment: Assignment, message: str) -> dict[str, Any]:
    """What was asked, and how each try was answered: one word for each PUT."""
    return {
        "requested": assignment.patch.to_json(),
        "message": message,
        "tries": list(assignment.tries),
        "in_doubt": assignment.in_doubt,
    }
