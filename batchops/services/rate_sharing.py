"""How several workers keep to one rate: they learn it together, and send in turns.

Each on its own would be refused though the rate as a whole is right: a vendor that allows no burst
wants even gaps between all requests. So while the rate holds requests up, a worker takes turns of
half a second from one row, in which it alone sends, and brings along what it has learnt. A worker
that has nothing to send takes none, and one that starts begins with what the others know.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import logging
import time
from typing import Final

from django.conf import settings
from django.db import DatabaseError, transaction
from django.db.models.functions import Now

from batchops.models import VendorRate
from batchops.services import vendor
from batchops.syllable.rate.estimate import Estimate
from batchops.syllable.rate.limiter import RateLimiter

logger = logging.getLogger(__name__)

STEP_SECONDS: Final = 0.2
TURN_SECONDS: Final = 0.5
TURN_REQUESTS: Final = 10
"""The least of a turn, since two turns never follow each other quite evenly."""
GAP: Final = 0.2
"""The part of a slot that is left between two turns, since clocks are never quite alike."""
LONGEST_TURN_SECONDS: Final = 2.0
"""Of a worker that sends alone."""
AHEAD_SECONDS: Final = 0.75
"""So long before its turns end a worker takes the next one: a database may be slow."""
KEPT: Final = dt.timedelta(hours=1)
"""So long what was learnt is relied on by a worker that starts."""


class RateSharing:
    """The part of one process in it."""

    def __init__(self, limiter: RateLimiter) -> None:
        self._limiter = limiter
        self._since = Estimate()
        self._is_new = True
        self._ends_at = float("-inf")
        self._turn_until: dt.datetime | None = None
        self._length = TURN_SECONDS

    def step(self) -> None:
        """Take the next turn where one is needed soon. Hardly ever uses the database otherwise."""
        try:
            if self._is_new:
                self._begin()
            is_due = self._ends_at - time.monotonic() < AHEAD_SECONDS
            if is_due and self._limiter.is_wanted():
                self._take_turn()
        except DatabaseError:
            # Nobody can tell whose turn it is; the vendor's answers still count.
            self._limiter.share_no_more()
            raise

    def _begin(self) -> None:
        """Begin gently with what the others know."""
        known = VendorRate.objects.filter(
            pk=settings.SYLLABLE_BASE_URL, learnt_at__gt=Now() - KEPT
        ).first()
        if known is not None and known.estimate:
            self._since = Estimate(**known.estimate)
            gentle = dataclasses.replace(self._since)
            gentle.begin_gently()
            self._limiter.learn(gentle, self._limiter.known())
        self._is_new = False

    def _take_turn(self) -> None:
        mine = self._limiter.known()
        with transaction.atomic():
            row = self._row()
            asked_at = time.monotonic()
            now = VendorRate.objects.values_list(Now(), flat=True).get(pk=row.pk)
            told_at = time.monotonic()
            together = mine.joined(Estimate(**row.estimate), self._since)
            start = max(now, row.taken_until)
            # Whoever was not in between sends alone.
            is_alone = row.taken_until == self._turn_until
            self._length = min(2 * self._length, LONGEST_TURN_SECONDS) if is_alone else TURN_SECONDS
            rate = min(self._limiter.maximum, together.rate)
            seconds = max(TURN_REQUESTS, round(self._length * rate)) / rate
            ends_at = start + dt.timedelta(seconds=seconds + GAP / rate)
            row.taken_until = self._turn_until = ends_at
            row.estimate, row.learnt_at = together.as_json(), now
            row.save()
        self._since = together
        self._limiter.learn(together, mine)
        # The database looked at its clock between the two: within its turn either way.
        ahead = (start - now).total_seconds()
        begins_at, self._ends_at = told_at + ahead, asked_at + ahead + seconds
        self._limiter.share(begins_at, max(0.0, self._ends_at - begins_at))

    def _row(self) -> VendorRate:
        """The row, locked."""
        rows = VendorRate.objects.select_for_update(no_key=True)
        first = {"taken_until": Now(), "learnt_at": Now(), "estimate": {}}
        rows.get_or_create(pk=settings.SYLLABLE_BASE_URL, defaults=first)
        return rows.get(pk=settings.SYLLABLE_BASE_URL)


_sharing: RateSharing | None = None


def share_rate() -> None:
    """The step of a worker's lane."""
    global _sharing
    if _sharing is None:
        _sharing = RateSharing(vendor.limiter())
    _sharing.step()
