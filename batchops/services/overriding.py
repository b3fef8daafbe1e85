"""A draft made once more that lifts the holds of others as well: seen, and said why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batchops import audit
from batchops.models import Batch, Change, ChangeState
from batchops.services import authorization
from batchops.services.changes import drafts
from batchops.services.errors import WrongState
from batchops.services.holds import covered

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def next_lifts(change: Change) -> Change.Lifts:
    """What a draft lifts that is made again to lift more.

    Ending somebody else's pause lifts the holds of that pause; those of others only after that.
    """
    follows = change.follows
    if (
        covered.ends_a_pause(change)
        and change.lifts == Change.Lifts.OWN
        and follows is not None
        and follows.requested_by_id != change.requested_by_id
    ):
        return Change.Lifts.FOLLOWED
    return Change.Lifts.ALL


@authorization.records_denials
def draft_again(change: Change, *, user: User, actor: audit.Actor) -> Change:
    """The same draft once more, which lifts what `next_lifts` says; the first is dropped.

    Raises NotAllowed (also for a draft of somebody else) or WrongState.
    """
    change.refresh_from_db()
    if change.requested_by_id != user.pk:
        raise authorization.denied("Only its author can change a draft.", actor, change)
    if change.state != ChangeState.DRAFT:
        raise WrongState("This change has already been confirmed.", change)
    lifts = next_lifts(change)
    if change.follows is not None and change.source == Change.Source.RESUME:
        again = drafts.draft_resume(change.follows, user=user, actor=actor, lifts=lifts)
    elif change.follows is not None and change.source == Change.Source.UNDO:
        again = drafts.draft_undo(change.follows, user=user, actor=actor, lifts=lifts)
    else:
        again = drafts.draft(
            Batch.objects.filter(pk__in=change.items.values("batch_id")),
            change.patch,
            user=user,
            actor=actor,
            source=Change.Source(change.source),
            selection=change.selection,
            expire_now=True,
            lifts=lifts,
        )
    drafts.drop(change, actor, "Drafted again, with the holds of others.")
    return again
