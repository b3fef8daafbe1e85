"""What is known of items and not yet in the database: kept until it is committed.

A database may be gone for a while, or a transaction may fail. What the vendor answered is then
the only proof of what was done, so nothing is dropped before it is written.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Final
from uuid import UUID

from django.db import DatabaseError, InterfaceError, OperationalError

from batchops.models import Change
from batchops.services.attempts.assignments import Assignment
from batchops.services.attempts.outcomes import Settled
from batchops.services.push import record_outcomes

logger = logging.getLogger(__name__)

GROUP_SIZE: Final = 200
"""Outcomes written in one transaction, at the most."""
GROUP_SECONDS: Final = 0.25
"""Longest time an outcome waits to be written, while the database answers."""


class OutcomeBuffer:
    """Outcomes, and items that are given back, in the order in which they came."""

    def __init__(self, lease: str) -> None:
        self._lease = lease
        self._settled: list[Settled] = []
        self._given_back: dict[str, list[Assignment]] = {}
        self._oldest = 0.0

    def __len__(self) -> int:
        return len(self._settled) + sum(map(len, self._given_back.values()))

    def add(self, outcomes: Iterable[Settled]) -> None:
        """Keep outcomes that are final."""
        if not self._settled:
            self._oldest = time.monotonic()
        self._settled.extend(outcomes)

    def give_back(self, assignments: Iterable[Assignment], why: str) -> None:
        """Keep items that become pending again; what was sent in vain is recorded with a reason."""
        if given_back := list(assignments):
            self._given_back.setdefault(why, []).extend(given_back)

    def is_due(self, leased: int) -> bool:
        """Whether it is time to write, for an engine that has so many items leased."""
        if self._given_back:
            return True
        count = len(self._settled)
        old = time.monotonic() - self._oldest >= GROUP_SECONDS
        return count > 0 and (old or count >= GROUP_SIZE or count == leased)

    def write(self, changes: Mapping[UUID, Change]) -> Iterator[list[Assignment]]:
        """Write all, in groups, and yield the items of each once it is committed.

        Raises DatabaseError when the database cannot be used; what is not written is kept.
        """
        while self._settled:
            group = self._settled[:GROUP_SIZE]
            self._write(group, changes)
            del self._settled[: len(group)]
            yield [outcome.assignment for outcome in group]
        for why in list(self._given_back):
            record_outcomes.give_back(self._given_back[why], changes, self._lease, why)
            yield self._given_back.pop(why)

    def _write(self, outcomes: list[Settled], changes: Mapping[UUID, Change]) -> None:
        try:
            record_outcomes.record(outcomes, changes, self._lease)
        except (OperationalError, InterfaceError):
            raise
        except DatabaseError:
            # The database is there and refuses one of them, which must not hold up the others.
            if len(outcomes) > 1:
                for outcome in outcomes:
                    self._write([outcome], changes)
            else:
                logger.exception("The outcome of %s cannot be written.", outcomes[0].assignment)
