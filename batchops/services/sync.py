"""Pulls the vendor's campaigns and batches into the mirror: all of them, or what changed lately."""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Final

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Max
from django.utils import timezone

from batchops.models import Action, Batch, KnownStatus, SyncRun
from batchops.services import audit, mirror, vendor
from batchops.syllable.client import SyllableClient
from batchops.syllable.errors import NotFound, Refused, SyllableError, Unauthorized
from batchops.syllable.records import BatchRecord, Page

logger = logging.getLogger(__name__)

PAGES_AT_A_TIME: Final = 4
SMALLEST_PAGE: Final = 25
"""The vendor's default page size, taken to be always allowed (vendor OpenAPI, limit)."""
OVERLAP: Final = dt.timedelta(minutes=5)
"""How far an incremental pull looks back behind the newest known `last_updated_at`."""
DEAD_AFTER: Final = dt.timedelta(minutes=2)
"""A running pull without a sign of life for this long has lost its process."""
MAX_NOTES: Final = 50

Progress = Callable[[int, int | None], None]
"""Called with the batches seen so far and the total, where the vendor tells it."""


class AlreadyRunning(Exception):
    """Another pull is under way; there is only ever one."""


@dataclass(slots=True)
class _Pull:
    """A pull under way."""

    client: SyllableClient
    run: SyncRun
    progress: Progress
    seen: set[str] = field(default_factory=set)
    total: int | None = None
    unknown: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Fetched:
    """A page, and when the request for it was sent."""

    page: Page[BatchRecord]
    sent_at: dt.datetime


def record_request(actor: audit.Actor, kind: str, **more: object) -> None:
    """Record that a person asks the vendor: for a pull of a kind, or for some batches anew."""
    detail = {"kind": kind, **more}
    audit.record_now(audit.Fact(Action.SYNC_REQUESTED, actor, detail=detail))


def pull(
    kind: SyncRun.Kind, *, asked_by: str = "", progress: Progress = lambda *_: None
) -> SyncRun:
    """Pull from the vendor and return the finished run; a failed pull leaves the mirror as it was.

    Raises AlreadyRunning when another pull is under way, and `SyllableError` when the vendor
    fails; the run then holds the error.
    """
    run = _begin(kind, asked_by)
    work = _Pull(vendor.client(), run, progress)
    try:
        _pull_campaigns(work)
        if kind == SyncRun.Kind.FULL:
            _pull_all(work)
        else:
            _pull_recent(work)
    except SyllableError as error:
        _end(work, str(error), key_rejected=isinstance(error, Unauthorized))
        raise
    except BaseException as error:
        _end(work, f"{type(error).__name__}: the pull was broken off.")
        raise
    _end(work)
    return run


def is_due(kind: SyncRun.Kind, interval: int) -> bool:
    """Whether the last good pull of at least this kind began `interval` seconds ago or more."""
    done = SyncRun.objects.filter(state=SyncRun.State.DONE)
    if kind == SyncRun.Kind.FULL:
        done = done.filter(kind=kind)
    last = done.aggregate(last=Max("started_at"))["last"]
    return last is None or timezone.now() - last >= dt.timedelta(seconds=interval)


def refresh(batch_ids: Sequence[str]) -> None:
    """Read a few batches anew, one GET each. Raises `SyllableError` when the vendor fails."""
    client = vendor.client()
    read_each(client, batch_ids)


def _begin(kind: SyncRun.Kind, asked_by: str) -> SyncRun:
    now = timezone.now()
    SyncRun.objects.filter(state=SyncRun.State.RUNNING, alive_at__lt=now - DEAD_AFTER).update(
        state=SyncRun.State.FAILED, finished_at=now, error="The process that pulled was lost."
    )
    try:
        with transaction.atomic():
            return SyncRun.objects.create(
                kind=kind, asked_by=asked_by, started_at=now, alive_at=now
            )
    except IntegrityError:
        raise AlreadyRunning("Another pull is under way; try again in a moment.") from None


def _end(work: _Pull, error: str = "", *, key_rejected: bool = False) -> None:
    run = work.run
    before = SyncRun.objects.exclude(pk=run.pk).exclude(state=SyncRun.State.RUNNING).first()
    run.state = SyncRun.State.FAILED if error else SyncRun.State.DONE
    run.error = error
    run.key_rejected = key_rejected
    run.finished_at = timezone.now()
    run.notes += [f"Unknown {what}" for what in sorted(work.unknown)][:MAX_NOTES]
    with transaction.atomic():
        run.save()
        failed_before = before is not None and before.state == SyncRun.State.FAILED
        if bool(error) != failed_before:
            action = Action.SYNC_FAILED if error else Action.SYNC_RECOVERED
            audit.record(audit.Fact(action, audit.SYSTEM, detail={"error": error}))
    if error:
        logger.warning("%s pull failed: %s", run.get_kind_display(), error)


def _pull_campaigns(work: _Pull) -> None:
    page_number = 0
    while True:
        sent_at = timezone.now()
        page = work.client.list_campaigns(page=page_number, limit=100)
        mirror.apply_campaigns(page.items, sent_at)
        work.run.campaigns_seen += len(page.items)
        work.run.notes += [f"Campaign: {reason}" for reason in page.unreadable][:MAX_NOTES]
        page_number += 1
        if not page.items or (page.total_pages is not None and page_number >= page.total_pages):
            return
        if page.total_pages is None and len(page.items) < 100:
            return


def _pull_all(work: _Pull) -> None:
    started_at = timezone.now()
    for fetched in all_pages(work.client):
        _take(work, fetched)
    unseen = (
        Batch.objects.present()
        .filter(observed_at__lt=started_at)
        .values_list("batch_id", flat=True)
        .order_by("batch_id")
        .iterator(2000)
    )
    absent = [batch_id for batch_id in unseen if batch_id not in work.seen]
    for start in range(0, len(absent), 100):
        work.run.missing += read_each(work.client, absent[start : start + 100])
        _sign_of_life(work.run)


def _pull_recent(work: _Pull) -> None:
    newest = Batch.objects.aggregate(newest=Max("last_updated_at"))["newest"]
    since = newest - OVERLAP if newest else None
    limit = min(100, settings.SYLLABLE_PAGE_SIZE)
    page_number = 0
    while True:
        sent_at = timezone.now()
        page = work.client.list_batches(
            page=page_number, limit=limit, order_by="last_updated_at", descending=True
        )
        seen_before = len(work.seen)
        _take(work, Fetched(page, sent_at))
        page_number += 1
        if len(work.seen) == seen_before:
            return
        moments = [item.last_updated_at for item in page.items if item.last_updated_at]
        reached_known = since is not None and (not moments or min(moments) < since)
        if reached_known or not _has_more(page, page_number):
            return


def _take(work: _Pull, fetched: Fetched) -> None:
    """Write one page into the mirror and count it."""
    page, run = fetched.page, work.run
    tally = mirror.apply_page(page.items, fetched.sent_at)
    work.seen.update(item.batch_id for item in page.items)
    work.total = page.total_count if page.total_count is not None else work.total
    for item in page.items:
        work.unknown.update(f"field {name}" for name in item.unknown_fields)
        if item.status and item.status not in KnownStatus.values:
            work.unknown.add(f"status {item.status}")
    run.batches_seen = len(work.seen)
    run.created += tally.created
    run.changed += tally.changed
    run.unreadable += len(page.unreadable)
    run.notes = [*run.notes, *page.unreadable][:MAX_NOTES]
    _sign_of_life(run)
    work.progress(len(work.seen), work.total)


def _sign_of_life(run: SyncRun) -> None:
    now = timezone.now()
    if (now - run.alive_at).total_seconds() >= 1:
        run.alive_at = now
        run.save()


def all_pages(client: SyllableClient) -> Iterator[Fetched]:
    """Every page of the batch list, a few fetched at a time.

    Ends at a page that shows nothing new, whatever total the vendor claims: a list that repeats
    itself would have no end.
    """
    seen: set[str] = set()
    with contextlib.closing(_claimed_pages(client)) as pages:
        for fetched in pages:
            ids = {item.batch_id for item in fetched.page.items}
            if ids <= seen and not fetched.page.unreadable:
                return
            seen |= ids
            yield fetched


def _claimed_pages(client: SyllableClient) -> Generator[Fetched]:
    limit = settings.SYLLABLE_PAGE_SIZE
    first = _first_page(client, limit)
    yield first
    size = first.page.page_size or limit
    known_pages = first.page.total_pages
    next_page = 1
    if known_pages is not None:
        yield from _pages_at_once(client, size, range(1, known_pages))
        next_page = max(1, known_pages)
        # Without a full last page nothing can have been added behind it.
        if first.page.total_count is not None and first.page.total_count % size:
            return
    while True:
        fetched = _fetch(client, next_page, size)
        yield fetched
        next_page += 1
        if not fetched.page.items and not fetched.page.unreadable:
            return


def _first_page(client: SyllableClient, limit: int) -> Fetched:
    """The first page, with a smaller size where the vendor refuses a large one."""
    while True:
        try:
            return _fetch(client, 0, limit)
        except Refused:
            if limit <= SMALLEST_PAGE:
                raise
            limit = max(SMALLEST_PAGE, limit // 2)


def _pages_at_once(client: SyllableClient, limit: int, numbers: range) -> Iterator[Fetched]:
    waiting = iter(numbers)
    under_way: set[Future[Fetched]] = set()
    with ThreadPoolExecutor(PAGES_AT_A_TIME, "pull") as pool:
        try:
            while True:
                while len(under_way) < PAGES_AT_A_TIME and (number := next(waiting, None)):
                    under_way.add(pool.submit(_fetch, client, number, limit))
                if not under_way:
                    return
                done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        finally:
            for future in under_way:
                future.cancel()


def _fetch(client: SyllableClient, number: int, limit: int) -> Fetched:
    sent_at = timezone.now()
    return Fetched(client.list_batches(page=number, limit=limit, order_by="batch_id"), sent_at)


def _has_more(page: Page[BatchRecord], next_page: int) -> bool:
    if page.total_pages is not None:
        return next_page < page.total_pages
    return bool(page.items or page.unreadable)


def read_each(client: SyllableClient, batch_ids: Sequence[str]) -> int:
    """GET batches one by one; tombstone those the vendor does not know. Returns how many."""

    def read(batch_id: str) -> tuple[str, BatchRecord | None, dt.datetime]:
        sent_at = timezone.now()
        try:
            return batch_id, client.get_batch(batch_id).record, sent_at
        except NotFound:
            return batch_id, None, sent_at

    with ThreadPoolExecutor(PAGES_AT_A_TIME, "read") as pool:
        answers = list(pool.map(read, batch_ids))
    for _batch_id, record, sent_at in answers:
        if record is not None:
            mirror.apply_page([record], sent_at)
    return mirror.mark_missing([batch_id for batch_id, record, _ in answers if record is None])
