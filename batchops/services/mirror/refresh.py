"""Refreshes a few batches while a person waits: for a few seconds, and what was read is stored."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Final

from batchops.services import vendor
from batchops.services.mirror import single_reads
from batchops.syllable.errors import SyllableError, Unauthorized

DEADLINE_SECONDS: Final = 5.0
READS_AT_A_TIME: Final = 8


@dataclass(slots=True)
class Refreshed:
    """What became of it: for how many batches the vendor was asked and answered, what failed."""

    requested: int
    answered: int = 0
    errors: list[SyllableError] = field(default_factory=list)

    @property
    def read(self) -> int:
        return self.answered - len(self.errors)

    @property
    def is_key_rejected(self) -> bool:
        return any(isinstance(error, Unauthorized) for error in self.errors)

    @property
    def is_late(self) -> bool:
        """Whether the time was up before all had been answered."""
        return self.answered < self.requested and not self.is_key_rejected


def refresh(batch_ids: Sequence[str]) -> Refreshed:
    """Read batches again, one GET each, for `DEADLINE_SECONDS`; each reading is stored at once.

    A batch that the vendor does not know is marked as missing. A rejected key ends it.
    """
    ends_at = time.monotonic() + DEADLINE_SECONDS
    result = Refreshed(len(batch_ids))
    client = vendor.quick_client()
    pool = ThreadPoolExecutor(READS_AT_A_TIME, "refresh")
    try:
        waiting = {pool.submit(single_reads.ask_one, client, one) for one in batch_ids}
        while waiting and not result.is_key_rejected:
            left = ends_at - time.monotonic()
            if left <= 0:
                break
            done, waiting = wait(waiting, left, FIRST_COMPLETED)
            result.answered += len(done)
            readings = single_reads.write([future.result() for future in done])
            result.errors += readings.errors.values()
    finally:
        # What is under way ends by its own deadline, and is not waited for.
        pool.shutdown(wait=False, cancel_futures=True)
    return result
