"""How fresh the mirror is, and what needs a person: said on every page, with few queries."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Final

from django.conf import settings
from django.utils import timezone

from batchops.models import RUNNABLE_STATES, Change, ItemState, SyncRun
from batchops.services import heartbeats
from batchops.services.heartbeats import Workers

HALTED_SHOWN: Final = 3
CHANGES_LOOKED_AT: Final = 20


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
    answered_at: dt.datetime | None = None
    """When the vendor last carried out a change after a sync had failed; None when it did not."""

    @property
    def age(self) -> dt.timedelta | None:
        return timezone.now() - self.synced_at if self.synced_at else None

    @property
    def is_old(self) -> bool:
        """Whether the mirror is older than `MIRROR_MAX_AGE`, or empty."""
        age = self.age
        return age is None or age.total_seconds() > settings.MIRROR_MAX_AGE


def freshness() -> Freshness:
    """Look at the last syncs: one query when all is well, four when the vendor fails."""
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
        _answered_since(last.finished_at or last.started_at),
    )


def _answered_since(moment: dt.datetime) -> dt.datetime | None:
    """When a change last ended, with something done, after an instant."""
    lately = Change.objects.filter(finished_at__gt=moment).values_list("finished_at", "counts_json")
    done = [at for at, counts in lately[:CHANGES_LOOKED_AT] if at and counts.get(ItemState.APPLIED)]
    return max(done, default=None)


def halted_changes() -> list[Change]:
    """Changes that go on only when a person says so, the latest first; a few."""
    return list(
        Change.objects.filter(state__in=RUNNABLE_STATES).exclude(halted_reason="")[:HALTED_SHOWN]
    )
