"""The worker: pushes changes and keeps the mirror fresh."""

from __future__ import annotations

from typing import Any, Final

from django.core.management.base import BaseCommand, CommandParser
from huey.contrib.djhuey import HUEY

from batchops import tasks  # noqa: F401  registers what the worker does
from batchops.services import push

THREADS: Final = 4
"""One pushes, one pulls, and two answer to wake-ups meanwhile."""
LONGEST_POLL_SECONDS: Final = 1.0
WRITING_SECONDS: Final = 5.0
"""Time to write the last outcomes when the worker ends."""


class Command(BaseCommand):
    """Runs until SIGINT or SIGTERM, then settles what is under way and ends."""

    help = "Run the worker that pushes changes to the vendor and keeps the mirror fresh."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--no-periodic",
            action="store_true",
            help="Leave the schedule (pulls, sweeps) to other workers.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        consumer = HUEY.create_consumer(
            workers=THREADS,
            periodic=not options["no_periodic"],
            max_delay=LONGEST_POLL_SECONDS,
        )
        push.stop_when(consumer.stop_flag.is_set)
        consumer.run()
        if not push.wait_until_idle(push.longest_request_seconds() + WRITING_SECONDS):
            self.stderr.write("Requests were still under way; they will be settled by reading.")
