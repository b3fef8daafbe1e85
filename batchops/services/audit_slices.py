"""Long work on the trail in slices, one at a time: nobody waits long for the database's lock."""

from __future__ import annotations

import contextlib
import datetime as dt
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from django.db import transaction
from django.utils import timezone

from batchops.models import AuditLease
from batchops.services.errors import ChangeError

TARGET_SECONDS: Final = 0.03
"""How long one slice should hold the lock."""
PAUSE_SECONDS: Final = 0.1
"""How long the lock is left to others; SQLite looks for it at most this long apart."""
SMALLEST: Final = 50
LARGEST: Final = 20_000
LEASE: Final = dt.timedelta(minutes=5)


class Busy(ChangeError):
    """Somebody else is at the same work."""


@dataclass(slots=True)
class Pace:
    """How many rows the next slice takes, learnt from how long the last one took."""

    size: int = 500
    slices: int = 0

    @contextlib.contextmanager
    def slice(self) -> Iterator[None]:
        """One transaction, after the others had their turn."""
        if self.slices:
            time.sleep(PAUSE_SECONDS)
        self.slices += 1
        started = time.perf_counter()
        with transaction.atomic():
            yield
        took = time.perf_counter() - started
        factor = min(2.0, max(0.25, TARGET_SECONDS / max(took, 0.001)))
        self.size = int(min(LARGEST, max(SMALLEST, self.size * factor)))


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
