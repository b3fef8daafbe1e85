"""The way into the push engine: makes confirmed changes so at the vendor, and settles every item.

One engine runs in a process, and beside it one for emergencies alone where that is asked for.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from django.db import DatabaseError, close_old_connections
from django.utils import timezone

from batchops.services import vendor
from batchops.services.push.engine import Engine, longest_request_seconds
from batchops.services.runs import leases, run_state
from batchops.syllable.errors import Misconfigured
from batchops.syllable.rate.limiter import Use

__all__ = [
    "alive_at",
    "drive",
    "longest_request_seconds",
    "stop_when",
    "wait_until_idle",
]

logger = logging.getLogger(__name__)

_driving = threading.Lock()
_driving_emergencies = threading.Lock()
_run_again = threading.Event()
_stop_asked: Callable[[], bool] = lambda: False  # noqa: E731
_alive_at = float("-inf")


def drive(*, only_emergency: bool = False) -> None:
    """Work until there is nothing left to do now; returns at once where an engine runs already.

    `only_emergency`: work on emergency changes alone, from a thread of any process; it may run
    beside the other. Raises DatabaseError when the database is gone for too long.
    Nothing is lost by that: the leases expire, and the next call finds out what became of their
    items.
    """
    if only_emergency:
        _drive_emergencies()
        return
    _run_again.set()
    while _run_again.is_set() and not _stop_asked():
        if not _driving.acquire(blocking=False):
            return
        try:
            _run_again.clear()
            _run_engine()
        finally:
            _driving.release()


def stop_when(asked: Callable[[], bool]) -> None:
    """Stop claiming, settle what is under way and return, as soon as `asked()` is true."""
    global _stop_asked
    _stop_asked = asked


def wait_until_idle(seconds: float) -> bool:
    """Wait for the engine of this process to return; False when it did not in time."""
    if not _driving.acquire(timeout=seconds):
        return False
    _driving.release()
    return True


def alive_at() -> float:
    """When the engine of this process last went round, by the monotonic clock."""
    return _alive_at


def _drive_emergencies() -> None:
    if not _driving_emergencies.acquire(blocking=False):
        return
    try:
        _run_engine(only_emergency=True)
    finally:
        _driving_emergencies.release()


def _run_engine(*, only_emergency: bool = False) -> None:
    try:
        # The engine tries again by itself, all threads together.
        Engine(
            vendor.client(read_attempts=1, use=Use.WRITE),
            only_emergency=only_emergency,
            is_asked_to_end=_is_asked_to_end,
        ).run()
    except Misconfigured as error:
        for change in leases.runnable(timezone.now()):
            run_state.halt(change, run_state.halt_reason(error))
    except DatabaseError as error:
        logger.error(
            "The database is unavailable (%s). Nothing is lost; work goes on later.", error
        )
        close_old_connections()
        raise


def _is_asked_to_end() -> bool:
    global _alive_at
    _alive_at = time.monotonic()
    return _stop_asked()
