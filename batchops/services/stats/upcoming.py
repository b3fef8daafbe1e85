"""What will happen by itself: scheduled changes, and pauses that end."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from django.db.models import Count, Q
from django.utils import timezone

from batchops.models import Change, ChangeState
from batchops.release_windows import openings
from batchops.release_windows.models import Freeze
from batchops.services import authorization


@dataclass(frozen=True, slots=True)
class Event:
    """A change that starts, or a pause that ends, at an instant; `number` is of batches."""

    at: dt.datetime
    change: Change
    ends_pause: bool
    number: int
    postponed_to: dt.datetime | None = None


def upcoming(freezes: list[Freeze], before: dt.datetime | None = None) -> list[Event]:
    """All that is to come, or what is before an instant, with what `open_freezes` move.

    The nearest comes first.
    """
    scheduled = Change.objects.filter(state=ChangeState.SCHEDULED, starts_at__isnull=False)
    if before is not None:
        scheduled = scheduled.filter(starts_at__lte=before)
    starts = [_start(change, freezes) for change in scheduled]
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
    ends = [event for pause in pauses if (event := _end(pause, freezes)).number]
    return sorted([*starts, *ends], key=lambda event: event.at)


def open_freezes() -> list[Freeze]:
    """The freezes that hold or are to come, the nearest first."""
    found = Freeze.objects.not_over(timezone.now())
    return list(found.select_related("campaign"))


def _opening(change: Change, at: dt.datetime, freezes: list[Freeze]) -> dt.datetime:
    """When it may release, from an instant on; looked up only where a freeze may matter."""
    opening = authorization.next_resume_opening(at)
    if any(one.starts_at <= opening < one.ends_at for one in freezes):
        return openings.next_opening(change, at)
    return opening


def _start(change: Change, freezes: list[Freeze]) -> Event:
    at = change.starts_at
    assert at is not None  # noqa: S101 - selected by it
    opening = _opening(change, at, freezes) if change.expanding_count else at
    return Event(at, change, False, change.item_count, opening if opening > at else None)


def _end(pause: Change, freezes: list[Freeze]) -> Event:
    at = pause.resume_at
    assert at is not None  # noqa: S101 - selected by it
    opening = _opening(pause, at, freezes)
    number = getattr(pause, "still_paused", 0) or (pause.item_count if pause.is_open else 0)
    return Event(at, pause, True, number, opening if opening > at else None)
