"""Long work on the trail in slices, one at a time: nobody waits long for the database's lock."""

from __future__ import annotations

import contextlib
import datetime as dt
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

from django.db import transaction
from django.utils import timezone

from batchops.models import AuditLease
from batchops.services.errors import ChangeError

Step = TypeVar("Step")

SLICE_SECONDS: Final = 0.03
"""How long a slice goes on to take steps, while it holds the lock."""
PAUSE_SECONDS: Final = 0.1
"""How long the lock is left to others; SQLite looks for it at most this long apart."""
STEP_ROWS: Final = 100
"""Rows written or removed in one step: a few milliseconds."""
LEASE: Final = dt.timedelta(minutes=5)


class Busy(ChangeError):
    """Somebody else is at the same work."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to be the only one at some work, until it lapses."""

    name: str
    holder: str

    def renew(self) -> None:
        """Keep it for longer. Raises Busy when it has lapsed and somebody else took it."""
        held = AuditLease.objects.filter(name=self.name, holder=self.holder)
        if not held.update(until=timezone.now() + LEASE):
            raise Busy(f"The {self.name} took too long, and somebody else has begun one.")


@contextlib.contextmanager
def lease(name: str) -> Iterator[Lease]:
    """Be the only one at some work, on all hosts. Raises Busy when somebody else is."""
    now, mine = timezone.now(), Lease(name, secrets.token_hex(16))
    AuditLease.objects.get_or_create(name=name, defaults={"until": now})
    free = AuditLease.objects.filter(name=name, until__lte=now)
    if not free.update(holder=mine.holder, until=now + LEASE):
        raise Busy(f"Another {name} is under way. Try again when it has ended.")
    try:
        yield mine
    finally:
        AuditLease.objects.filter(name=name, holder=mine.holder).update(until=timezone.now())


def in_slices(steps: Iterable[Step], do: Callable[[Step], None], lease: Lease) -> None:
    """Do one step after the other, in transactions of as many as fit into SLICE_SECONDS.

    Others have their turn between two. Raises Busy when the lease was lost.
    """
    waiting = iter(steps)
    first = next(waiting, None)
    while first is not None:
        ends_at = time.perf_counter() + SLICE_SECONDS
        with transaction.atomic():
            lease.renew()
            do(first)
            while (first := next(waiting, None)) is not None and time.perf_counter() < ends_at:
                do(first)
        if first is not None:
            time.sleep(PAUSE_SECONDS)
