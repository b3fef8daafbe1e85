"""What a web process does by itself: emergency pauses that no worker takes, a check of the trail,
and the counts that monitoring reads.

It happens in a thread of the process, so neither a request waits for it nor its end ends it. Of
several processes the one that was told begins, since it looks first; the others see its leases,
and take over when these lapse.
"""

from __future__ import annotations

import time
from typing import Any, Final

from django.dispatch import receiver

from batchops import lanes
from batchops.lanes import Lane
from batchops.metrics import counts
from batchops.services import heartbeats, wake
from batchops.services.proof import last_seen
from batchops.services.push import driver
from batchops.services.runs import due

WORKERS_FIRST_SECONDS: Final = 2.0
"""How long an emergency is left to the workers, where any is alive."""
POLL_SECONDS: Final = 0.1
OPEN_POLL_SECONDS: Final = 1.0
"""How often to ask while somebody is at work on an emergency, or it waits."""
IDLE_POLL_SECONDS: Final = 10.0
"""The same where none was reported: another process may have died over one."""

TRAIL_CHECK_SECONDS: Final = 60.0
"""How often to ask whether the database went back, at the start first."""
END_SECONDS: Final = 25.0
"""The web server kills a process that takes 30 to end."""


class Standby:
    """Looks whether there is an emergency that nobody works on, and for how long already."""

    def __init__(self) -> None:
        self._left_alone_since: float | None = None

    def step(self) -> float:
        """Look, and carry out what is left alone; returns after how many seconds to look again."""
        found = due.emergencies()
        if not found.are_left_alone:
            self._left_alone_since = None
            return OPEN_POLL_SECONDS if found.are_open else IDLE_POLL_SECONDS
        if self._left_alone_since is None:
            self._left_alone_since = time.monotonic()
        waited = time.monotonic() - self._left_alone_since
        if waited < WORKERS_FIRST_SECONDS and heartbeats.workers().are_running:
            return POLL_SECONDS
        driver.drive(only_emergency=True)
        return POLL_SECONDS


LANE: Final = Lane("standby", Standby().step, every=IDLE_POLL_SECONDS)


def check_trail() -> None:
    """Notice a database that went back, on a host without a worker too."""
    last_seen.check()


TRAIL: Final = Lane("trail", check_trail, every=TRAIL_CHECK_SECONDS)
METRICS: Final = Lane("metrics", counts.keep_requests, every=counts.EVERY_SECONDS)


def start() -> None:
    """Start looking; for a process that serves the web."""
    driver.stop_when(LANE.is_asked_to_end)
    LANE.start()
    TRAIL.start()
    METRICS.start()


def end() -> None:
    """Let requests under way settle, hand back the rest, and end."""
    lanes.end([TRAIL, METRICS, LANE], END_SECONDS)


@receiver(wake.work_waiting)
def wake_up(**_: Any) -> None:
    LANE.wake()
