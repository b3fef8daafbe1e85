"""What the worker does: pushes when woken, and regularly looks for what nobody told it of.

The queue only wakes workers; a lost task costs time, never work, since the truth is in the
database.
"""

from __future__ import annotations

import datetime as dt
import logging
from typing import Any

from django.conf import settings
from django.dispatch import receiver
from huey import crontab
from huey.contrib.djhuey import HUEY, db_periodic_task, db_task, on_startup

from batchops.models import SyncRun
from batchops.services import (
    audit_anchors,
    changes,
    claims,
    drafts,
    pauses,
    push,
    read_back,
    sync,
    unsent,
    wake,
)
from batchops.syllable.errors import SyllableError

logger = logging.getLogger(__name__)


@receiver(wake.work_waiting)
def enqueue_work(at: dt.datetime | None, **_: Any) -> None:
    """Wake a worker, now or at an instant; a queue that is down must not fail the request."""
    try:
        work.schedule(eta=at) if at else work()
    except Exception:
        logger.exception("The queue cannot be reached; the sweep will find the work.")


@db_task()
def work() -> None:
    """Queue what is due, push what can be pushed, and read back what is finished."""
    changes.queue_due()
    pauses.resume_due()
    push.drive()
    read_back.all_due()


@db_periodic_task(crontab(minute="*"))
def sweep() -> None:
    """Find what lost its worker or was never enqueued."""
    drafts.lapse_drafts()
    claims.take_lapsed()
    unsent.settle_rest()
    work.call_local()


@db_periodic_task(crontab(minute="*"))
def keep_mirror_fresh() -> None:
    """Pull what changed lately, or everything, when it is due."""
    for kind, interval in (
        (SyncRun.Kind.FULL, settings.FULL_SYNC_INTERVAL),
        (SyncRun.Kind.INCREMENTAL, settings.SYNC_INTERVAL),
    ):
        if sync.is_due(kind, interval):
            pull(kind)
            return


@db_periodic_task(crontab(minute="*"))
def anchor_trail() -> None:
    """Sign the head of the trail and send it out, when that is due."""
    audit_anchors.anchor_if_due()


def pull(kind: SyncRun.Kind, asked_by: str = "") -> None:
    """Pull, leaving the error to the run that records it."""
    try:
        sync.pull(kind, asked_by=asked_by)
    except sync.AlreadyRunning:
        logger.info("Another pull is under way.")
    except SyllableError:
        # The run holds the error, and every page shows it.
        return


@db_task()
def pull_now(kind: str, asked_by: str) -> None:
    """A pull that a person asked for."""
    pull(SyncRun.Kind(kind), asked_by)


@on_startup()
def catch_up() -> None:
    """Go on at once with what a former worker left."""
    if not HUEY.immediate:
        work()
        keep_mirror_fresh()
