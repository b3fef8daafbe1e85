"""Reads a few batches anew while a person waits: for a few seconds, and what was read is kept."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Final

from django.utils import timezone

from batchops.services import vendor
from batchops.services.mirror import store
from batchops.syllable.client import SyllableClient
from batchops.syllable.errors import NotFound, SyllableError, Unauthorized
from batchops.syllable.records import BatchRecord

DEADLINE_SECONDS: Final = 5.0
READS_AT_A_TIME: Final = 8

Answer = tuple[str, BatchRecord | SyllableError, dt.datetime]


@dataclass(slots=True)
class Refreshed:
    """What became of it: how many were asked for and read, and what the vendor said last."""

    asked: int
    read: int = 0
    answered: int = 0
    error: SyllableError | None = None

    @property
    def is_late(self) -> bool:
        """Whether the time was up before all had been answered."""
        return self.answered < self.asked and not isinstance(self.error, Unauthorized)


def refresh(batch_ids: Sequence[str]) -> Refreshed:
    """Read batches anew, one GET each, for `DEADLINE_SECONDS`; each reading is kept at once.

    A batch that the vendor does not know is marked as missing. A rejected key ends it.
    """
    ends_at = time.monotonic() + DEADLINE_SECONDS
    result = Refreshed(len(batch_ids))
    client = vendor.quick_client()
    pool = ThreadPoolExecutor(READS_AT_A_TIME, "refresh")
    try:
        waiting = {pool.submit(_read, client, batch_id) for batch_id in batch_ids}
        while waiting and (left := ends_at - time.monotonic()) > 0:
            done, waiting = wait(waiting, left, FIRST_COMPLETED)
            _keep(done, result)
            if isinstance(result.error, Unauthorized):
                break
    finally:
        # What is under way ends by its own deadline, and is not waited for.
        pool.shutdown(wait=False, cancel_futures=True)
    return result


def _read(client: SyllableClient, batch_id: str) -> Answer:
    sent_at = timezone.now()
    try:
        return batch_id, client.get_batch(batch_id).record, sent_at
    except SyllableError as error:
        return batch_id, error, sent_at


def _keep(done: set[Future[Answer]], result: Refreshed) -> None:
    """Write into the mirror what came back."""
    for future in done:
        batch_id, found, sent_at = future.result()
        result.answered += 1
        if isinstance(found, NotFound):
            store.mark_missing([batch_id], sent_at)
        elif isinstance(found, SyllableError):
            result.error = found
            continue
        else:
            store.apply_page([found], sent_at)
        result.read += 1
