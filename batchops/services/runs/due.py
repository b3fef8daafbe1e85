"""What is due now: found within a second by every worker, whether or not anybody told it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from batchops.models import ENDED_STATES, AuditHead, Change, ChangeItem, ChangeState, ItemState
from batchops.services.changes import lifecycle, timed_pauses
from batchops.services.runs import leases


def has_work() -> bool:
    """Whether there is anything for the push engine to do now; one query."""
    now = timezone.now()
    items = ChangeItem.objects.filter(change=OuterRef("pk"))
    runnable = leases.runnable(now).order_by()
    found = _ask(
        pending=runnable.filter(Exists(items.filter(state=ItemState.PENDING))),
        # All settled, and its worker died before it could say so.
        unfinished=runnable.exclude(Exists(items.filter(state=ItemState.SENDING))),
        doubtful=leases.unsettled_of_stopped(now).order_by().filter(read_back_at=None),
    )
    return any(found.values())


@dataclass(frozen=True, slots=True)
class Emergencies:
    """Whether any emergency can be worked on, and whether there is one that nobody works on."""

    are_open: bool
    are_left_alone: bool


def emergencies() -> Emergencies:
    """Look for emergencies; one query."""
    urgent = leases.runnable(timezone.now()).order_by().filter(priority=Change.Priority.EMERGENCY)
    leased = ChangeItem.objects.filter(
        change=OuterRef("pk"), state=ItemState.SENDING, lease_until__gte=Now()
    )
    found = _ask(are_open=urgent, are_left_alone=urgent.exclude(Exists(leased)))
    return Emergencies(**found)


def keep_time() -> bool:
    """Start, end and take over what is due; whether there is something new to push."""
    now = timezone.now()
    found = _ask(
        starts=Change.objects.filter(state=ChangeState.SCHEDULED, starts_at__lte=now),
        ends=Change.objects.filter(state__in=ENDED_STATES, resume_at__lte=now),
        expired=leases.expired(),
    )
    if found["starts"]:
        lifecycle.queue_due()
    if found["ends"]:
        timed_pauses.resume_due()
    if found["expired"]:
        leases.reclaim_expired()
    return any(found.values())


def _ask(**questions: QuerySet[Any]) -> dict[str, bool]:
    """Which of these hold any row, in one query: the head of the trail is one row, always there."""
    answers = {name: Exists(question) for name, question in questions.items()}
    row = AuditHead.objects.filter(pk=1).values(**answers).first()
    return dict(row) if row else dict.fromkeys(questions, True)
