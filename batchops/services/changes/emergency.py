"""The emergency pause: everything live, of one campaign or everywhere, ahead of all else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Exists, OuterRef, Q, QuerySet

from batchops import audit
from batchops.models import RUNNABLE_STATES, Batch, Campaign, Change, ChangeItem, ItemState
from batchops.services.changes import drafts
from batchops.services.errors import EmptySelection
from batchops.syllable.patch import BatchPatch

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def draft_pause(*, user: User, actor: audit.Actor, campaign: Campaign | None = None) -> Change:
    """A draft that pauses all that is live; it overtakes queued changes.

    First what is not paused, or may not be by what is under way or was sent without a clear
    answer; then what is paused already, so that it stays so when the pauses of others end.
    Raises EmptySelection when nothing is live, and NotAllowed.
    """
    reaching, live = _maybe_reaching(), Batch.objects.live()
    where = ""
    if campaign is not None:
        reaching, live = reaching.filter(campaign=campaign), live.filter(campaign=campaign)
        where = f" in {campaign}"
    try:
        return drafts.draft(
            reaching,
            BatchPatch(paused=True),
            then=live,
            user=user,
            actor=actor,
            source=Change.Source.EMERGENCY,
            selection=f"Everything live{where}"[:500],
            priority=Change.Priority.EMERGENCY,
        )
    except EmptySelection:
        raise EmptySelection(f"There is nothing to pause: no batch{where} is live.") from None


def _maybe_reaching() -> QuerySet[Batch]:
    """Batches on which outreach is made, as far as is known, or may be or begin by our doing."""
    under_way = ChangeItem.objects.filter(
        Q(state=ItemState.SENDING)
        | Q(state=ItemState.PENDING, change__state__in=RUNNABLE_STATES, expands_outreach=True),
        batch=OuterRef("pk"),
    )
    live = Batch.objects.live_and_not_paused() | Batch.objects.present().in_doubt()
    return live | Batch.objects.present().filter(Exists(under_way))
