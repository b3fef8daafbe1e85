"""What a worker does: a table of lanes, each a thread of its own that no other lane can hold.

To have something done regularly, write a function that does what is due (the database decides
between workers on several hosts) and add it to the lane it belongs to, or, where it may hang on
another system, as a lane of its own. A job for once a day belongs to "clean-up"; it also runs when
a worker starts. The queue only wakes lanes across processes and hosts: the truth is in the
database, and each lane looks by itself when its interval is over.
"""

from __future__ import annotations

import datetime as dt
import logging
from queue import Empty, SimpleQueue
from typing import Any, Final

from django.conf import settings
from django.dispatch import receiver
from django.utils import timezone
from huey.contrib.djhuey import HUEY, task

from batchops.accounts import sessions
from batchops.audit import denials
from batchops.courier import Courier
from batchops.lanes import Lane, all_of
from batchops.metrics import counts
from batchops.models import SyncRun
from batchops.notices import clean_up as old_notices
from batchops.notices import facts, watching
from batchops.notices.channels import delivery
from batchops.services import clean_up, heartbeats, rate_sharing, wake
from batchops.services.changes import drafts, unsent
from batchops.services.mirror import sync
from batchops.services.proof import anchoring, watch
from batchops.services.push import driver
from batchops.services.runs import due, read_back
from batchops.services.stats import kept_counts
from batchops.syllable.errors import SyllableError

logger = logging.getLogger(__name__)

DAY: Final = 86_400.0
WAKE_SECONDS: Final = 0.25
"""Longest time a request waits for the queue to take a wake-up; a lost one costs a second."""
ASK_SECONDS: Final = 2.0
"""The same for a sync that a person requests, who is told whether it was taken."""
LONGEST_QUEUE: Final = 100
"""Wake-ups that may wait when no worker takes them; more would say nothing new."""

_heart = heartbeats.Heart()
_night = watch.Night()
_courier = Courier("queue")
_requested: SimpleQueue[tuple[SyncRun.Kind, str]] = SimpleQueue()


# Steps of the lanes -------------------------------------------------------------------------


def push_work() -> None:
    if due.has_work():
        driver.drive()


def keep_time() -> None:
    if due.keep_time():
        LANES["push"].wake()


def beat() -> None:
    """Say that this worker sends, as long as its push lane does not hang."""
    if LANES["push"].is_well(heartbeats.HUNG_AFTER_SECONDS):
        _heart.beat()
    else:
        logger.error("The push lane is hung or keeps failing: nothing is being sent.")


def take_up_facts() -> float | None:
    """Raise what the trail gained; at once again while more is waiting."""
    return 0.0 if facts.take_up() == facts.SLICE else None


def keep_mirror_fresh() -> None:
    """Sync what a person requested, and what changed lately, or everything, when it is due."""
    for kind, requested_by in _taken():
        run_sync(kind, requested_by)
    for kind, interval in (
        (SyncRun.Kind.FULL, settings.FULL_SYNC_INTERVAL),
        (SyncRun.Kind.INCREMENTAL, settings.SYNC_INTERVAL),
    ):
        if sync.is_due(kind, interval):
            run_sync(kind)
            return


def run_sync(kind: SyncRun.Kind, requested_by: str = "") -> None:
    """Sync, leaving the error to the sync run that records it."""
    try:
        sync.run_sync(kind, requested_by=requested_by)
    except sync.AlreadyRunning:
        logger.info("Another sync is under way.")
    except SyllableError:
        # The run holds the error, and every page shows it.
        return


def listen() -> None:
    """Take what is in the queue; it only sets the events of lanes, and so never takes long."""
    while (taken := HUEY.dequeue()) is not None:
        HUEY.execute(taken)


LANES: Final = {
    lane.name: lane
    for lane in (
        Lane("push", push_work, every=0.5),
        Lane("heartbeat", beat, every=heartbeats.BEAT_SECONDS),
        Lane("rate", rate_sharing.share_rate, every=rate_sharing.STEP_SECONDS),
        Lane("timers", keep_time, every=1),
        Lane("read-back", read_back.all_due, every=1),
        Lane("sync", keep_mirror_fresh, every=5),
        Lane("trail", all_of(anchoring.anchor_if_due, _night.start_if_due), every=10),
        Lane(
            "housekeeping",
            all_of(
                unsent.record_rest,
                denials.sum_up_due,
                drafts.expire_drafts,
                sessions.end_due,
                kept_counts.merge,
            ),
            every=60,
        ),
        Lane(
            "clean-up",
            all_of(clean_up.clean_up, old_notices.clean_up, heartbeats.forget_old),
            every=DAY,
        ),
        Lane("notices", take_up_facts, every=1),
        Lane("channels", delivery.start_due, every=1),
        Lane("watch", watching.watch_all, every=watching.EVERY_SECONDS),
        Lane("metrics", counts.keep, every=counts.EVERY_SECONDS),
        Lane("queue", listen, every=0.1),
    )
}


# The queue ----------------------------------------------------------------------------------


@receiver(wake.work_waiting)
def wake_workers(at: dt.datetime | None, **_: Any) -> None:
    """Wake the workers for what can be done now; what is for later they see by themselves."""
    if at is not None and at > timezone.now():
        return
    LANES["push"].wake()
    try:
        _courier.send(_wake_push, WAKE_SECONDS)
    # The queue's library lets the errors of whichever driver it uses through.
    except Exception as error:  # noqa: BLE001
        logger.error("The queue cannot be reached (%s); workers look by themselves.", error)


def sync_now(kind: str, requested_by: str) -> None:
    """Ask a worker for a sync; raises what the queue raises, TimeoutError when it is silent."""
    _courier.send(lambda: request_sync(kind, requested_by), ASK_SECONDS)


def _wake_push() -> None:
    if HUEY.pending_count() < LONGEST_QUEUE:
        wake_lane("push")


@task()
def wake_lane(name: str) -> None:
    LANES[name].wake()


@task()
def request_sync(kind: str, requested_by: str) -> None:
    _requested.put((SyncRun.Kind(kind), requested_by))
    LANES["sync"].wake()


def _taken() -> list[tuple[SyncRun.Kind, str]]:
    """The syncs requested since, each kind once."""
    taken: dict[SyncRun.Kind, str] = {}
    while True:
        try:
            kind, requested_by = _requested.get_nowait()
        except Empty:
            return list(taken.items())
        taken.setdefault(kind, requested_by)
