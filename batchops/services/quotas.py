"""Quotas: what one person, or all together, may ask for at a time; held over all processes.

Each is a row that is taken by a conditional UPDATE, so that there is no lock to wait for.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from batchops.models import Quota
from batchops.services.errors import ChangeError

if TYPE_CHECKING:
    from django.contrib.auth.models import User

COUNTS_PER_MINUTE: Final = 60
"""Live request counts that one person may ask the vendor for."""
MINUTE: Final = dt.timedelta(minutes=1)
EXPORTS_OF_PERSON: Final = 2
EXPORTS_OF_SITE: Final = 4
"""Exports that may be under way at a time."""
EXPORT_LEASE: Final = dt.timedelta(minutes=10)
"""How long an export counts as under way after its last sign of life."""
RENEWED_EVERY: Final = dt.timedelta(minutes=1)


class QuotaReached(ChangeError):
    """More is asked for than there may be at a time; the message says how much and until when."""


def spend_count(user: User) -> None:
    """Count one question to the vendor about a batch's requests. Raises QuotaReached."""
    key = f"counts:{user.pk}"
    if take(key, COUNTS_PER_MINUTE, MINUTE):
        return
    row = Quota.objects.filter(pk=key).first()
    left = (row.until - timezone.now()).total_seconds() if row else 0
    raise QuotaReached(
        f"You have asked for the counts of {COUNTS_PER_MINUTE} batches within a minute, which is "
        f"the most. Try again in {max(1, round(left))} seconds."
    )


def begin_export(user: User) -> Places:
    """Take a place among the exports under way. Raises QuotaReached."""
    own = _place(f"export:{user.pk}", EXPORTS_OF_PERSON)
    if own is None:
        raise QuotaReached(
            f"{EXPORTS_OF_PERSON} exports of yours are under way, which is the most. "
            "Wait until one is done."
        )
    shared = _place("export:all", EXPORTS_OF_SITE)
    if shared is None:
        own.give_back()
        raise QuotaReached(
            f"{EXPORTS_OF_SITE} exports are under way, which is the most for all together. "
            "Try again in a minute."
        )
    return Places((own, shared))


def take(key: str, most: int, span: dt.timedelta, now: dt.datetime | None = None) -> bool:
    """Use one of `most` within a span; False when all are used. The first use begins the span."""
    now = now or timezone.now()
    rows = Quota.objects.filter(pk=key)
    for _ in range(2):
        if rows.filter(until__gt=now, used__lt=most).update(used=F("used") + 1):
            return True
        if rows.filter(until__lte=now).update(used=1, until=now + span):
            return True
        with contextlib.suppress(IntegrityError), transaction.atomic():
            Quota.objects.create(pk=key, used=1, until=now + span)
            return True
    return False


@dataclass(slots=True)
class _Place:
    """One place that is taken, until its lease lapses."""

    key: str
    until: dt.datetime

    def renew(self, now: dt.datetime) -> None:
        mine = Quota.objects.filter(pk=self.key, until=self.until)
        if mine.update(until=now + EXPORT_LEASE):
            self.until = now + EXPORT_LEASE

    def give_back(self) -> None:
        Quota.objects.filter(pk=self.key, until=self.until).update(until=timezone.now())


class Places:
    """The places of one export, renewed while it streams and given back at its end."""

    def __init__(self, places: tuple[_Place, ...]) -> None:
        self._places = places
        self._renewed_at = timezone.now()

    def renew(self) -> None:
        now = timezone.now()
        if now - self._renewed_at >= RENEWED_EVERY:
            self._renewed_at = now
            for place in self._places:
                place.renew(now)

    def give_back(self) -> None:
        for place in self._places:
            place.give_back()


class Stream:
    """Chunks on their way out; the places are given back at their end, or when nobody listens."""

    def __init__(self, chunks: Iterator[bytes], places: Places) -> None:
        self._chunks = chunks
        self._places = places

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self._places.renew()
            yield chunk
        self._places.give_back()

    def close(self) -> None:
        self._places.give_back()


def _place(name: str, number: int) -> _Place | None:
    # Until when tells whose place it is: two that begin at the same instant must differ.
    now = timezone.now() + dt.timedelta(microseconds=uuid.uuid4().int % 1000)
    for index in range(number):
        key = f"{name}:{index}"
        if take(key, 1, EXPORT_LEASE, now):
            return _Place(key, now + EXPORT_LEASE)
    return None
