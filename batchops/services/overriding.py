"""A draft made once more that lifts the holds of others as well: seen, and said why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batchops import audit
from batchops.models import Batch, Change, ChangeState
from batchops.services import authorization
from batchops.services.changes import drafts
from batchops.services.errors import WrongState

if TYPE_CHECKING:
    from django.contrib.auth.models import User


@authorization.records_denials
def draft_again(change: Change, *, user: User, actor: audit.Actor) -> Change:
    """The same draft once more, which lifts the holds of others as well; the first is dropped.

    Raises NotAllowed (also for a draft of somebody else) or WrongState.
    """
    change.refresh_from_db()
    if change.requested_by_id != user.pk:
        raise authorization.denied("Only its author can change a draft.", actor, change)
    if change.state != ChangeState.DRAFT:
        raise WrongState("This change has already been confirmed.", change)
    every = Change.Lifts.ALL
    if change.follows is not None and change.source == Change.Source.RESUME:
        again = drafts.draft_resume(change.follows, user=user, actor=actor, lifts=every)
    elif change.follows is not None and change.source == Change.Source.UNDO:
        again = drafts.draft_undo(change.follows, user=user, actor=actor, lifts=every)
    else:
        again = drafts.draft(
            Batch.objects.filter(pk__in=change.items.values("batch_id")),
            change.patch,
            user=user,
            actor=actor,
            source=Change.Source(change.source),
            selection=change.selection,
            expire_now=True,
            lifts=every,
        )
    drafts.drop(change, actor, "Drafted again, with the holds of others.")
    return again
