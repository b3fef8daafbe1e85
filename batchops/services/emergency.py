"""The emergency pause: everything live, of one campaign or everywhere, ahead of all else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batchops.models import Batch, Campaign, Change
from batchops.services import audit, drafts
from batchops.services.errors import EmptySelection
from batchops.syllable.patch import BatchPatch

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def draft_pause(*, user: User, actor: audit.Actor, campaign: Campaign | None = None) -> Change:
    """A draft that pauses all that is live and not paused; it overtakes queued changes.

    Raises EmptySelection when nothing is, and NotAllowed.
    """
    live = Batch.objects.live_and_not_paused()
    where = "everywhere"
    if campaign is not None:
        live, where = live.filter(campaign=campaign), f"in {campaign}"
    try:
        return drafts.draft(
            live,
            BatchPatch(paused=True),
            user=user,
            actor=actor,
            source=Change.Source.EMERGENCY,
            selection=f"Everything live and not paused {where}"[:500],
            priority=Change.Priority.EMERGENCY,
        )
    except EmptySelection:
        raise EmptySelection(f"Nothing is live and not paused {where}.") from None
