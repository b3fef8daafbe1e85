"""Keeps the leases of one engine alive, and tells its threads how long they last."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from typing import Final

from django.conf import settings

from batchops.services.attempts.dispatcher import Dispatcher, running_clock
from batchops.services.push.intervals import Interval
from batchops.services.runs import leases

logger = logging.getLogger(__name__)

RENEWALS_A_LEASE: Final = 4


class LeaseKeeper:
    """Signs of life for what an engine has leased, by its `name`."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self.name = leases.new_lease()
        self._dispatcher = dispatcher
        self._renewing = Interval(settings.PUSH_LEASE_SECONDS / RENEWALS_A_LEASE)
        self._last_from(running_clock())

    def renew_when_due(self, leased: Collection[int]) -> set[int]:
        """Renew the leases of these items when it is time; returns those that others took over."""
        if not self._renewing.is_due():
            return set()
        began = running_clock()
        lost = leases.renew(self.name, leased)
        self._dispatcher.lost = lost
        if lost:
            logger.warning("%d leases were lost to another worker.", len(lost))
        self._last_from(began)
        return lost

    def is_half_over(self) -> bool:
        """Whether the leases were not renewed for so long that others may soon take them over."""
        return time.monotonic() - self._renewed_at > settings.PUSH_LEASE_SECONDS / 2

    def _last_from(self, began: float) -> None:
        self._renewed_at = time.monotonic()
        self._dispatcher.leased_until = began + settings.PUSH_LEASE_SECONDS
