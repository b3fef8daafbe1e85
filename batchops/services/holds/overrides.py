"""Tells people that another person lifted their holds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from django.db import transaction
from django.utils import timezone

from batchops import audit
from batchops.models import Action, Change, Hold, HoldOverride

if TYPE_CHECKING:
    from django.contrib.auth.models import User

SHOWN: Final = 10


@dataclass(frozen=True, slots=True)
class Overridden:
    """Holds of a person that another lifted: on how many batches, with which change."""

    override: HoldOverride
    number: int


def tell_owners(pauses: Iterable[Change], by: Change) -> list[audit.Fact]:
    """Tell the owners of these pauses that a change of another person has lifted holds of theirs.

    Called in the transaction that lifts the holds. Returns the facts to be recorded in it, one for
    each pause, once.
    """
    facts = []
    for pause in sorted(pauses, key=lambda one: one.pk):
        if pause.requested_by_id == by.requested_by_id:
            continue
        _, is_new = HoldOverride.objects.get_or_create(
            pause=pause, by=by, defaults={"at": timezone.now()}
        )
        if is_new:
            detail = {
                "owner": pause.requested_by_name,
                "by": by.requested_by_name,
                "lifted_by": str(by.pk),
                "why": by.reason,
            }
            facts.append(
                audit.Fact.about_change(
                    Action.HOLDS_OVERRIDDEN, audit.Actor.system_for(by), pause, detail=detail
                )
            )
    return facts


def unseen_by(user: User) -> list[Overridden]:
    """What a person has not yet said to have seen, the latest first; at most `SHOWN`."""
    found = (
        HoldOverride.objects.filter(pause__requested_by=user, seen_at=None)
        .select_related("pause", "by")
        .order_by("-at", "-pk")[:SHOWN]
    )
    return [
        Overridden(one, Hold.objects.filter(change=one.pause_id, lifted_by=one.by_id).count())
        for one in found
    ]


def mark_seen(override: HoldOverride, *, user: User, actor: audit.Actor) -> bool:
    """Record that the owner has seen it; False for anybody else, or when it was seen before."""
    mine = HoldOverride.objects.filter(pk=override.pk, pause__requested_by=user.pk)
    with transaction.atomic():
        if not mine.filter(seen_at=None).update(seen_at=timezone.now()):
            return False
        detail = {"lifted_by": str(override.by_id)}
        fact = audit.Fact.about_change(Action.OVERRIDE_SEEN, actor, override.pause, detail=detail)
        audit.record(fact)
    return True
