"""Whether any worker sends: workers leave a sign of life, and everybody else looks for it."""

from __future__ import annotations

import datetime as dt
import os
import socket
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Count, Exists, Max, Q, Subquery
from django.db.models.functions import Now

from batchops import __version__
from batchops.models import Heartbeat

BEAT_SECONDS: Final = 2.0
HUNG_AFTER_SECONDS: Final = 5.0
"""A push lane without a sign of life for so long counts as no worker, and its heartbeat stops."""
GONE_AFTER: Final = dt.timedelta(seconds=8)
"""A worker without a heartbeat for so long is gone: hung for 13 seconds at the most."""
KEPT: Final = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Workers:
    """Whether any worker process sends, and when (UTC) one was last known to."""

    are_running: bool
    last_seen_at: dt.datetime | None

    @property
    def silence(self) -> str:
        """What is to be said when there is none, else nothing."""
        return "" if self.are_running else f"Nothing is being sent: {self.none_running}."

    @property
    def none_running(self) -> str:
        """For when there is none: since when, as far as it is known."""
        if self.last_seen_at is None:
            return "no worker is running"
        return f"no worker has been running since {self.last_seen_at:%d %b %H:%M:%S} UTC"


class Heart:
    """The heartbeat of this process."""

    def __init__(self) -> None:
        self._key = 0

    def beat(self) -> None:
        """Say that this process sends."""
        if not Heartbeat.objects.filter(pk=self._key).update(seen_at=Now()):
            self._key = Heartbeat.objects.create(
                host=socket.gethostname()[:255],
                pid=os.getpid(),
                version=__version__,
                started_at=Now(),
                seen_at=Now(),
            ).pk


def workers() -> Workers:
    """Which workers send; one query."""
    found = Heartbeat.objects.aggregate(
        number=Count("pk", filter=_is_alive()), last_seen_at=Max("seen_at")
    )
    return Workers(found["number"] > 0, found["last_seen_at"])


def number_alive() -> int:
    """How many worker processes send."""
    return Heartbeat.objects.filter(_is_alive()).count()


def columns() -> dict[str, Any]:
    """The same as columns of another query, for pages that make one anyway; see `of_row`."""
    latest = Heartbeat.objects.order_by("-seen_at")
    return {
        "workers_are_running": Exists(latest.filter(_is_alive())),
        "workers_seen_at": Subquery(latest.values("seen_at")[:1]),
    }


def of_row(row: Any) -> Workers:
    """What the `columns` of a row say."""
    return Workers(row.workers_are_running, row.workers_seen_at)


def forget_old() -> int:
    """Delete what is known of workers that ended long ago, but for the last; returns how many."""
    last = Heartbeat.objects.order_by("-seen_at").first()
    old = Heartbeat.objects.filter(seen_at__lt=Now() - KEPT)
    return old.exclude(pk=last.pk).delete()[0] if last else 0


def _is_alive() -> Q:
    return Q(seen_at__gt=Now() - GONE_AFTER)
