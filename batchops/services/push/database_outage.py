"""A database that is gone for a while: tolerated for minutes, then given up."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from django.db import DatabaseError, connection

logger = logging.getLogger(__name__)

LONGEST_OUTAGE_SECONDS: Final = 600.0
"""So long a database may be gone before the engine ends; what it knows is lost only then."""


class DatabaseOutage:
    """Whether the database is gone, and since when. `clock` returns seconds that never go back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since: float | None = None

    @property
    def is_on(self) -> bool:
        """Whether the database was gone when it was last used."""
        return self._since is not None

    def goes_on(self, error: DatabaseError) -> None:
        """Take note of an error, and forget the connection. Raises it once it lasts too long."""
        now = self._clock()
        if self._since is None:
            self._since = now
            logger.error("The database is unavailable (%s). Outcomes are kept meanwhile.", error)
        elif now - self._since > LONGEST_OUTAGE_SECONDS:
            raise error
        self.forget_connection()

    def forget_connection(self) -> None:
        """Have the next query open a connection of its own."""
        with suppress(DatabaseError):
            connection.close()

    def is_over(self) -> None:
        """Take note that the database could be used."""
        self._since = None
