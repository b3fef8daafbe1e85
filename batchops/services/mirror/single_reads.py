"""Reads batches one by one into the mirror: for what no list shows, and for few at a time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from django.utils import timezone

from batchops.services.mirror import store
from batchops.services.mirror.list_pages import Alive, result_of
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


@dataclass(frozen=True, slots=True)
class Answer:
    """What a GET that left at `sent_at` (UTC) brought: the batch, or what went wrong."""

    batch_id: str
    found: BatchRecord | SyllableError
    sent_at: dt.datetime


def read(client: SyllableClient, batch_ids: Sequence[str], alive: Alive = lambda: None) -> Readings:
    """GET batches, write what they show, and tombstone those that the vendor does not know.

    The error of one batch keeps no other from being read.
    """
    return write(ask(client, batch_ids, alive))


def ask(
    client: SyllableClient, batch_ids: Sequence[str], alive: Alive = lambda: None
) -> list[Answer]:
    """GET batches, a few at a time. Uses no database."""
    with ThreadPoolExecutor(READS_AT_A_TIME, "read") as pool:
        futures = [pool.submit(ask_one, client, batch_id) for batch_id in batch_ids]
        return [result_of(future, alive) for future in futures]


def ask_one(client: SyllableClient, batch_id: str) -> Answer:
    """GET a batch. Uses no database."""
    sent_at = timezone.now()
    try:
        return Answer(batch_id, client.get_batch(batch_id).record, sent_at)
    except SyllableError as error:
        return Answer(batch_id, error, sent_at)


def write(answers: Sequence[Answer]) -> Readings:
    """Write what was read into the mirror."""
    readings, gone = Readings(), dict[str, dt.datetime]()
    for answer in answers:
        found = answer.found
        if isinstance(found, NotFound):
            gone[answer.batch_id] = answer.sent_at
        elif isinstance(found, SyllableError):
            readings.errors[answer.batch_id] = found
        else:
            store.apply_page([found], answer.sent_at)
            readings.present += found.deleted_at is None
    if gone:
        readings.missing = store.mark_missing(list(gone), min(gone.values()))
    return readings
