"""A small world of batches, straight in the mirror, and short ways to a change."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.contrib.auth.models import User
from django.utils import timezone

from batchops import audit
from batchops.models import Batch, Campaign, Change, ChangeItem, ItemState
from batchops.services.changes import drafts, lifecycle
from batchops.services.holds import moves
from batchops.syllable.patch import BatchPatch, Values

PAUSE = BatchPatch(paused=True)
RESUME = BatchPatch(paused=False)


def campaign(number: int = 1, **fields: Any) -> Campaign:
    now = timezone.now()
    values = {"campaign_name": f"Campaign {number}", "synced_at": now, "observed_at": now}
    found, _ = Campaign.objects.get_or_create(pk=number, defaults={**values, **fields})
    return found


def batch(name: str = "b-1", campaign_id: int = 1, **fields: Any) -> Batch:
    """A batch that is live and not paused, where nothing else is asked for."""
    now = timezone.now()
    values: dict[str, Any] = {"status": "ACTIVE", "paused": False}
    return Batch.objects.create(
        batch_id=name,
        campaign=campaign(campaign_id),
        synced_at=now,
        observed_at=now,
        **{**values, **fields},
    )


def batches(number: int, **fields: Any) -> list[Batch]:
    return [batch(f"b-{index}", **fields) for index in range(number)]


def draft(user: User, patch: BatchPatch = PAUSE, **more: Any) -> Change:
    """A draft over all batches, or those given as `batches`."""
    more.setdefault("actor", audit.Actor.of_user(user, "192.0.2.7"))
    more.setdefault("source", Change.Source.ACTION)
    chosen = more.pop("batches", Batch.objects.all())
    return drafts.draft(chosen, patch, user=user, **more)


def confirm(change: Change, user: User, **more: Any) -> Change:
    more.setdefault("actor", audit.Actor.of_user(user, "192.0.2.7"))
    more.setdefault("reason", "wrong list")
    return lifecycle.confirm(change, user=user, **more)


def ended(user: User, patch: BatchPatch = PAUSE, state: str = "applied", **more: Any) -> Change:
    """A change whose items are settled as if the vendor had done what was asked."""
    reason = more.pop("reason", "wrong list")
    change = confirm(draft(user, patch, **more), user, reason=reason)
    now = timezone.now()
    for item in change.items.filter(state="pending").select_related("batch"):
        already = item.plan == ChangeItem.Plan.ALREADY
        item.state, item.settled_at = "unchanged" if already else state, now
        if item.state == ItemState.APPLIED:
            left = patch.applied_to(item.before)
            item.after = {**left.to_json(), "status": item.batch.status}
            _leave(item.batch, left, change)
        item.save()
    Change.objects.filter(pk=change.pk).update(
        state="finished",
        started_at=now - dt.timedelta(seconds=5),
        finished_at=now,
        read_back_at=now,
        counts_json=lifecycle.counts(change),
    )
    change.refresh_from_db()
    return change


def _leave(row: Batch, values: Values, change: Change) -> None:
    row.paused, row.expires_on = values.paused, values.expires_on
    row.call_rate, row.auto_call_rate = values.call_rate, values.auto_call_rate
    row.paused_by = change if change.patch.paused is True else None
    row.save()
    if change.patch.paused is True:
        moves.place(change, [row.pk], {})
    else:
        moves.lift(change, [row.pk])
