"""What needs somebody, and what happens by itself soon: for the overview, by few queries."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from django.db.models import Count, Exists, OuterRef, Q
from django.utils import timezone

from batchops import permissions
from batchops.models import (
    DRAFT_STATES,
    ENDED_STATES,
    RUNNABLE_STATES,
    TROUBLE_STATES,
    Batch,
    Change,
    ChangeState,
)
from batchops.release_windows.models import Freeze
from batchops.services.stats import upcoming
from batchops.services.stats.upcoming import Event

if TYPE_CHECKING:
    from django.contrib.auth.models import User

SOON: Final = dt.timedelta(hours=48)
SLOT: Final = dt.timedelta(hours=6)
LOOKS_BACK: Final = dt.timedelta(days=14)
"""How old a change may be whose failures still need somebody."""
SHOWN: Final = 6


@dataclass(frozen=True, slots=True)
class Need:
    """A change that needs somebody, and why: halted, approval or failed; `number` is of batches."""

    change: Change
    why: str
    number: int


@dataclass(frozen=True, slots=True)
class Slot:
    """Some hours, and how many batches expire in them."""

    begins: dt.datetime
    ends: dt.datetime
    number: int


@dataclass(frozen=True, slots=True)
class Soon:
    """What happens by itself in the next 48 hours: starts, ends of pauses, expiries."""

    events: Sequence[Event]
    more: int
    expiries: Sequence[Slot]

    @property
    def expiring(self) -> int:
        return sum(slot.number for slot in self.expiries)


def needs(user: User) -> list[Need]:
    """The changes that need somebody, this person first; the latest of each kind."""
    waiting = Change.objects.filter(state=ChangeState.AWAITING_APPROVAL)
    for author in ("requested_by", "resume_set_by", "proceeded_by"):
        waiting = waiting.filter(Q(**{f"{author}__isnull": True}) | ~Q(**{author: user.pk}))
    halted = Change.objects.filter(state__in=RUNNABLE_STATES).exclude(halted_reason="")
    found = [Need(one, "halted", one.item_count) for one in halted[:SHOWN]]
    if user.has_perm(permissions.APPROVE_CHANGE):
        found += [Need(one, "approval", one.acting_count) for one in waiting[:SHOWN]]
    return found + [Need(one, "failed", _failures(one)) for one in _failed()[:SHOWN]]


def soon(freezes: list[Freeze]) -> Soon:
    """What happens by itself before long, with what `upcoming.open_freezes` move; nearest first."""
    now = timezone.now()
    events = upcoming.upcoming(freezes, before=now + SOON)
    return Soon(events[:SHOWN], max(0, len(events) - SHOWN), _expiries(now))


def _failed() -> Any:
    """Changes with failures that nobody has asked for again, nor put back."""
    trouble = Q()
    for state in TROUBLE_STATES:
        trouble |= Q(**{f"counts_json__{state.value}__gt": 0})
    followed = Change.objects.filter(
        follows=OuterRef("pk"), source__in=(Change.Source.RETRY, Change.Source.UNDO)
    ).exclude(state__in=(*DRAFT_STATES, ChangeState.DISCARDED, ChangeState.REJECTED))
    since = timezone.now() - LOOKS_BACK
    ended = Change.objects.filter(trouble, state__in=ENDED_STATES, created_at__gte=since)
    return ended.exclude(Exists(followed))


def _failures(change: Change) -> int:
    return sum(int(change.counts_json.get(state, 0)) for state in TROUBLE_STATES)


def _expiries(now: dt.datetime) -> list[Slot]:
    """How many live batches expire in each of the next spans of six hours."""
    bounds = [(now + SLOT * place, now + SLOT * (place + 1)) for place in range(SOON // SLOT)]
    numbers = Batch.objects.expiring_within(SOON).aggregate(
        **{
            f"slot_{place}": Count("pk", filter=Q(expires_on__gt=begins, expires_on__lte=ends))
            for place, (begins, ends) in enumerate(bounds)
        }
    )
    return [Slot(*bound, numbers[f"slot_{place}"]) for place, bound in enumerate(bounds)]
