"""Reads batches one by one into the mirror: for what no list shows, and for few at a time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from django.utils import timezone

from batchops.services import mirror
from batchops.services.list_pages import Alive, result_of
from batchops.syllable.client import SyllableClient
from batchops.syllable.errors import NotFound, SyllableError
from batchops.syllable.records import BatchRecord

READS_AT_A_TIME: Final = 4


@dataclass(slots=True)
class Readings:
    """What came of it: how many are gone and were so marked, how many live on, what failed."""

    missing: int = 0
    present: int = 0
    errors: dict[str, SyllableError] = field(default_factory=dict)


def read(client: SyllableClient, batch_ids: Sequence[str], alive: Alive = lambda: None) -> Readings:
    """GET batches, write what they show, and tombstone those that the vendor does not know.

    The error of one batch keeps no other from being read.
    """

    def answer(batch_id: str) -> tuple[BatchRecord | SyllableError, dt.datetime]:
        sent_at = timezone.now()
        try:
            return client.get_batch(batch_id).record, sent_at
        except SyllableError as error:
            return error, sent_at

    readings, gone = Readings(), dict[str, dt.datetime]()
    with ThreadPoolExecutor(READS_AT_A_TIME, "read") as pool:
        futures = [pool.submit(answer, batch_id) for batch_id in batch_ids]
        answers = [result_of(future, alive) for future in futures]
    for batch_id, (found, sent_at) in zip(batch_ids, answers, strict=True):
        if isinstance(found, NotFound):
            gone[batch_id] = sent_at
        elif isinstance(found, SyllableError):
            readings.errors[batch_id] = found
        else:
            mirror.apply_page([found], sent_at)
            readings.present += found.deleted_at is None
    if gone:
        readings.missing = mirror.mark_missing(list(gone), min(gone.values()))
    return readings
