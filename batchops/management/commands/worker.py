"""The worker: pushes changes and keeps the mirror fresh."""

from __future__ import annotations

import logging
import os
import signal
import threading
from typing import Any, Final

from django.core.management.base import BaseCommand

from batchops import lanes
from batchops.services.push import driver
from batchops.tasks import LANES

WRITING_SECONDS: Final = 5.0
"""Time to write the last outcomes when the worker ends."""
GRACE_SECONDS: Final = 2.0
"""Time for the other lanes, all of which may be cut off."""


class Command(BaseCommand):
    """Runs until SIGINT or SIGTERM, then settles what is under way and ends; a second one kills."""

    help = "Run the worker that pushes changes to the vendor and keeps the mirror fresh."

    def handle(self, *args: Any, **options: Any) -> None:
        ending = threading.Event()

        def end(number: int, _frame: object) -> None:
            signal.signal(number, signal.SIG_DFL)
            ending.set()

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, end)
        driver.stop_when(LANES["push"].is_asked_to_end)
        for lane in LANES.values():
            lane.start()
        ending.wait()
        self._end()

    def _end(self) -> None:
        """Requests under way are given time to settle; a lane that hangs is left behind."""
        for lane in LANES.values():
            lane.ask_to_end()
        if not LANES["push"].join(driver.longest_request_seconds() + WRITING_SECONDS):
            self.stderr.write(
                "Requests were still under way; reading the batches will tell their outcomes."
            )
        if lanes.end(list(LANES.values()), GRACE_SECONDS):
            # Python would wait for the threads that a hung lane has begun.
            logging.shutdown()
            os._exit(0)
