"""Brings the mirror up to date before a change is sent, so that nothing is overwritten unseen.

Many batches are read through list pages; few are read one by one, right before each is sent.
"""

from __future__ import annotations

import datetime as dt
import math
import queue
import threading
import time
from enum import Enum, auto
from typing import Final

from django.db.models import Q
from django.utils import timezone

from batchops.models import BatchCount, Change, ItemState
from batchops.services import vendor
from batchops.services.bulk import in_chunks
from batchops.services.mirror import list_pages, single_reads, store
from batchops.services.runs import leases
from batchops.syllable.client import SyllableClient
from batchops.syllable.records import BatchRecord

FEW: Final = 50
"""Up to this many batches are read one by one."""
FRESH_FOR: Final = dt.timedelta(minutes=5)
"""How long a comparison with the vendor is relied on while a change runs."""
PAGES_WAITING: Final = 4
"""Pages that may wait to be written, so that memory stays bounded."""
READ_AT_ONCE: Final = 4
"""Batches that were on no page and are read in one step."""
POLL_SECONDS: Final = 0.1


class End(Enum):
    """What the vendor was asked for, when all of it has come."""

    OF_PAGES = auto()
    OF_SINGLE_READS = auto()


Message = list_pages.Fetched[BatchRecord] | list[single_reads.Answer] | End | BaseException
"""From the thread that asks the vendor to the steps: first all pages, then what was on none."""


def reads_each(change: Change) -> bool:
    """Whether each batch is read right before it is sent, instead of through list pages."""
    return better_one_by_one(change.items.filter(state=ItemState.PENDING).count())


def better_one_by_one(batches: int) -> bool:
    """Whether that many batches are read with fewer requests one by one than by list pages."""
    per_page = list_pages.batches_per_page(vendor.client())
    return batches <= max(FEW, math.ceil(BatchCount.objects.all().total() / per_page))


def is_fresh(change: Change, now: dt.datetime) -> bool:
    """Whether the mirror was compared with the vendor lately enough for this change."""
    return change.preflight_at is not None and abs(now - change.preflight_at) < FRESH_FOR


def take_turn(change: Change, now: dt.datetime) -> bool:
    """Let one worker alone compare the mirror with the vendor for a change."""
    free = (
        Q(preflight_lease_until=None)
        | Q(preflight_lease_until__lt=now)
        # Written before the clock was set back.
        | Q(preflight_lease_until__gt=now + leases.LONGEST_LEASE)
    )
    turn = Change.objects.filter(free, pk=change.pk)
    return bool(turn.update(preflight_lease_until=now + leases.lease_time()))


class Preflight:
    """Reads all list pages into the mirror, in steps between which other work goes on.

    A thread asks the vendor; the steps, which use the database and never wait, are the caller's.
    `unread` holds the batches that were on no page and could not be read either: each has to be
    read before it is sent.
    """

    def __init__(self, change: Change, client: SyllableClient) -> None:
        self.change = change
        self._client = client
        self.started_at = timezone.now()
        self._renewed = time.monotonic()
        self._seen: set[str] = set()
        self._just_seen: list[str] = []
        self.unread: set[str] = set()
        self._absent: queue.SimpleQueue[list[str]] = queue.SimpleQueue()
        self._messages: queue.Queue[Message] = queue.Queue(PAGES_WAITING)
        self._closed = threading.Event()
        threading.Thread(target=self._fetch, name="preflight", daemon=True).start()

    def step(self) -> bool:
        """Write what has been read meanwhile; whether all is done.

        Raises `SyllableError` when the vendor gives no list.
        """
        self._keep_turn()
        try:
            message = self._messages.get_nowait()
        except queue.Empty:
            return False
        match message:
            case list_pages.Fetched(page, sent_at):
                store.apply_page(page.items, sent_at)
                self._just_seen += [item.batch_id for item in page.items]
                self._seen.update(self._just_seen)
            case End.OF_PAGES:
                self._absent.put(self._on_no_page())
            case list():
                self.unread.update(single_reads.write(message).errors)
            case End.OF_SINGLE_READS:
                self.change.preflight_at = self.started_at
                Change.objects.filter(pk=self.change.pk).update(preflight_at=self.started_at)
            case BaseException():
                raise message
        return message is End.OF_SINGLE_READS

    def take_seen(self) -> list[str]:
        """The batches compared since the last call: they need not wait for the others."""
        seen, self._just_seen = self._just_seen, []
        return seen

    def close(self) -> None:
        """Stop what is under way, and let another worker have its turn."""
        self._closed.set()
        self._absent.put([])
        Change.objects.filter(pk=self.change.pk).update(preflight_lease_until=None)

    def _keep_turn(self) -> None:
        now = time.monotonic()
        if now - self._renewed > leases.lease_time().total_seconds() / 4:
            self._renewed = now
            until = timezone.now() + leases.lease_time()
            Change.objects.filter(pk=self.change.pk).update(preflight_lease_until=until)

    def _on_no_page(self) -> list[str]:
        waiting = self.change.items.filter(state=ItemState.PENDING)
        batch_ids = waiting.values_list("batch_id", flat=True).iterator(2_000)
        return [batch_id for batch_id in batch_ids if batch_id not in self._seen]

    def _fetch(self) -> None:
        try:
            for fetched in list_pages.all_batches(self._client):
                if not self._send(fetched):
                    return
            self._send(End.OF_PAGES)
            for chunk in in_chunks(self._absent.get(), READ_AT_ONCE):
                if not self._send(single_reads.ask(self._client, chunk)):
                    return
            self._send(End.OF_SINGLE_READS)
        except BaseException as error:  # noqa: BLE001  the next step raises it
            self._send(error)

    def _send(self, message: Message) -> bool:
        while not self._closed.is_set():
            try:
                self._messages.put(message, timeout=POLL_SECONDS)
            except queue.Full:
                continue
            return True
        return False
