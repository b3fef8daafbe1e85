"""What will happen by itself: scheduled changes, and pauses that end."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from django.db.models import Count, Q

from batchops.models import Change, ChangeState
from batchops.services import authorization


@dataclass(frozen=True, slots=True)
class Event:
    """A change that starts, or a pause that ends, at an instant; `number` is of batches."""

    at: dt.datetime
    change: Change
    ends_pause: bool
    number: int
    postponed_to: dt.datetime | None = None


def upcoming(before: dt.datetime | None = None) -> list[Event]:
    """All that is to come, or what is before an instant; the nearest first."""
    scheduled = Change.objects.filter(state=ChangeState.SCHEDULED, starts_at__isnull=False)
    if before is not None:
        scheduled = scheduled.filter(starts_at__lte=before)
    starts = [Event(change.starts_at, change, False, change.item_count) for change in scheduled]  # type: ignore[arg-type]
    pauses = (
        Change.objects.visible()
        .filter(resume_at__isnull=False)
        .exclude(state=ChangeState.REJECTED)
        .annotate(
            still_paused=Count("holds", filter=Q(holds__lifted_at=None, holds__batch__paused=True))
        )
    )
    if before is not None:
        pauses = pauses.filter(resume_at__lte=before)
    ends = [event for pause in pauses if (event := _end(pause)).number]
    return sorted([*starts, *ends], key=lambda event: event.at)


def _end(pause: Change) -> Event:
    at = pause.resume_at
    assert at is not None  # noqa: S101 - selected by it
    opening = authorization.next_resume_opening(at)
    number = getattr(pause, "still_paused", 0) or (pause.item_count if pause.is_open else 0)
    return Event(at, pause, True, number, opening if opening > at else None)
