"""How fresh the mirror is, and what needs a person: said on every page, with few queries."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Final

from django.conf import settings
from django.utils import timezone

from batchops.models import RUNNABLE_STATES, Change, SyncRun
from batchops.services import heartbeats
from batchops.services.heartbeats import Workers

HALTED_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class Freshness:
    """What the last syncs met, and whether any worker runs.

    Instants are UTC. `synced_at` is when the last good sync began, which saw at least what had
    changed by its date, `fully_synced_at` when the last began that saw every batch.
    """

    workers: Workers
    synced_at: dt.datetime | None = None
    fully_synced_at: dt.datetime | None = None
    running: bool = False
    failing_since: dt.datetime | None = None
    key_rejected: bool = False
    error: str = ""

    @property
    def age(self) -> dt.timedelta | None:
        return timezone.now() - self.synced_at if self.synced_at else None

    @property
    def is_old(self) -> bool:
        """Whether the mirror is older than `MIRROR_MAX_AGE`, or empty."""
        age = self.age
        return age is None or age.total_seconds() > settings.MIRROR_MAX_AGE


def freshness() -> Freshness:
    """Look at the last syncs: one query when all is well, two more when the vendor fails."""
    running = False
    last: SyncRun | None = None
    workers: Workers | None = None
    for run in SyncRun.objects.annotate(**heartbeats.columns())[:2]:
        workers = heartbeats.of_row(run)
        if run.state == SyncRun.State.RUNNING:
            running = True
        else:
            last = last or run
    workers = workers or heartbeats.workers()
    if last is None or last.state == SyncRun.State.DONE:
        return Freshness(
            workers,
            last.started_at if last else None,
            last.fully_synced_at if last else None,
            running,
        )
    good = SyncRun.objects.filter(state=SyncRun.State.DONE).first()
    failed = SyncRun.objects.filter(state=SyncRun.State.FAILED)
    if good is not None:
        failed = failed.filter(started_at__gt=good.started_at)
    first = failed.last() or last
    return Freshness(
        workers,
        good.started_at if good else None,
        good.fully_synced_at if good else None,
        running,
        first.finished_at or first.started_at,
        last.key_rejected,
        last.error,
    )


def halted_changes() -> list[Change]:
    """Changes that go on only when a person says so, the latest first; a few."""
    return list(
        Change.objects.filter(state__in=RUNNABLE_STATES).exclude(halted_reason="")[:HALTED_SHOWN]
    )
