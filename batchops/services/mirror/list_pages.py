"""Walks over the vendor's lists, page by page, to an end that hangs on none of its claims.

A vendor may refuse large pages (422) or cut them, claim totals that are wrong, repeat itself, or
change while it is read. None of that is documented, so none of it is assumed away: a walk falls
back to smaller pages and remembers the size for all other walks, reads on until nothing new comes,
and never without end.
"""

from __future__ import annotations

import datetime as dt
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from django.conf import settings
from django.utils import timezone

from batchops.syllable.client import SyllableClient
from batchops.syllable.errors import MalformedReply, NotFound, Refused
from batchops.syllable.records import BatchRecord, CampaignRecord, Page

PAGES_AT_A_TIME: Final = 4
PAGE_SIZES: Final = (1000, 500, 200, 100, 50, 25, 10, 5, 1)
"""What is tried, one after the other, where the vendor refuses a larger page."""
REMEMBERED_SECONDS: Final = 86_400.0
"""For how long a size that the vendor refused is not tried again."""
RECENT_PAGE_SIZE: Final = 100
CAMPAIGN_PAGE_SIZE: Final = 100
PAGES_WITHOUT_NEWS: Final = 3
"""So many in a row end a walk. One alone may be due to batches that moved up meanwhile."""
MAX_PAGES: Final = 20_000
MAX_WALKS: Final = 20
"""How often a walk begins anew because page sizes changed under it."""
ALIVE_SECONDS: Final = 5.0

Record = TypeVar("Record")
Result = TypeVar("Result")
Fetch = Callable[[int, int], Page[Record]]
"""Requests a page by its number, counted from 0, and its size."""
Alive = Callable[[], None]
"""Called every few seconds while a request is under way, and never from another thread."""

_largest: dict[tuple[str, str], tuple[int, float]] = {}
"""The largest page by address and list, and when it was learnt (monotonic), in this process."""


@dataclass(frozen=True, slots=True)
class Fetched(Generic[Record]):
    """A page, and when the request for it was sent (UTC)."""

    page: Page[Record]
    sent_at: dt.datetime


class _SizeChanged(Exception):
    """The vendor cuts its pages to another size than at the beginning of the walk."""


def all_batches(
    client: SyllableClient, alive: Alive = lambda: None
) -> Iterator[Fetched[BatchRecord]]:
    """Every page of the batch list, by batch id, a few fetched at a time and yielded in order."""

    def fetch(number: int, size: int) -> Page[BatchRecord]:
        return client.list_batches(page=number, limit=size, order_by="batch_id")

    source = (client.base_url, "batches")
    return _walk(fetch, source, settings.SYLLABLE_PAGE_SIZE, PAGES_AT_A_TIME, alive)


def recent_batches(
    client: SyllableClient, alive: Alive = lambda: None
) -> Iterator[Fetched[BatchRecord]]:
    """The pages of the batch list, what was changed last first, each fetched when it is wanted."""

    def fetch(number: int, size: int) -> Page[BatchRecord]:
        return client.list_batches(
            page=number, limit=size, order_by="last_updated_at", descending=True
        )

    wanted = min(RECENT_PAGE_SIZE, settings.SYLLABLE_PAGE_SIZE)
    return _walk(fetch, (client.base_url, "batches"), wanted, 1, alive)


def all_campaigns(
    client: SyllableClient, alive: Alive = lambda: None
) -> Iterator[Fetched[CampaignRecord]]:
    """Every page of the list of campaigns, one after the other."""

    def fetch(number: int, size: int) -> Page[CampaignRecord]:
        return client.list_campaigns(page=number, limit=size)

    return _walk(fetch, (client.base_url, "campaigns"), CAMPAIGN_PAGE_SIZE, 1, alive)


def batches_per_page(client: SyllableClient) -> int:
    """How many batches one request for a list page brings, as far as is known."""
    return page_size((client.base_url, "batches"), settings.SYLLABLE_PAGE_SIZE)


def result_of(future: Future[Result], alive: Alive) -> Result:
    """Wait for what another thread does, and give signs of life meanwhile."""
    while True:
        try:
            return future.result(ALIVE_SECONDS)
        except TimeoutError:
            if future.done():
                raise
            alive()


def page_size(source: tuple[str, str], wanted: int) -> int:
    """The size to ask for: what is wanted, unless the vendor refused that lately."""
    size, learnt_at = _largest.get(source, (wanted, 0.0))
    is_known = time.monotonic() - learnt_at < REMEMBERED_SECONDS
    return min(size, wanted) if is_known else wanted


def _walk(
    fetch: Fetch[Record], source: tuple[str, str], wanted: int, at_a_time: int, alive: Alive
) -> Iterator[Fetched[Record]]:
    """Walk with the largest pages that the vendor gives.

    A walk whose pages change their size begins anew: pages may come twice, none is left out.
    """
    refused: Refused | None = None
    with ThreadPoolExecutor(at_a_time, "pages") as pool:

        def submit(number: int, size: int) -> Future[Fetched[Record]]:
            return pool.submit(_fetched, fetch, number, size)

        for _ in range(MAX_WALKS):
            size = page_size(source, wanted)
            try:
                first = result_of(submit(0, size), alive)
            except Refused:
                if size <= PAGE_SIZES[-1]:
                    raise
                smaller = next(one for one in PAGE_SIZES if one < size)
                _largest[source] = (smaller, time.monotonic())
                refused = None
                continue
            if refused is not None:
                # The first page has that size: it was not the size that was refused.
                raise refused
            try:
                yield from _until_nothing_new(first, submit, size, at_a_time, alive)
            except Refused as error:
                refused = error
            except _SizeChanged:
                continue
            else:
                return
    raise refused or MalformedReply("The sizes of the vendor's pages keep changing.")


def _until_nothing_new(
    first: Fetched[Record],
    submit: Callable[[int, int], Future[Fetched[Record]]],
    asked: int,
    at_a_time: int,
    alive: Alive,
) -> Iterator[Fetched[Record]]:
    told = first.page.page_size
    size = told if _rows(first.page) <= told < asked else asked
    claimed = first.page.total_pages or 1
    seen: set[object] = set()
    without_news = 0
    under_way: deque[Future[Fetched[Record]]] = deque()
    fetched = first
    try:
        for number in range(MAX_PAGES):
            is_last_claimed = number + 1 >= claimed
            if fetched.page.page_size != told and not is_last_claimed:
                raise _SizeChanged
            yield fetched
            names = {*map(_identity, fetched.page.items), *fetched.page.unreadable_ids}
            without_news = 0 if names - seen else without_news + 1
            seen |= names
            if without_news >= PAGES_WITHOUT_NEWS or (is_last_claimed and not _rows(fetched.page)):
                return
            following = number + 1 + len(under_way)
            while not under_way or (following < claimed and len(under_way) < at_a_time):
                under_way.append(submit(following, size))
                following += 1
            try:
                fetched = result_of(under_way.popleft(), alive)
            except NotFound:
                if not is_last_claimed:
                    raise
                return
            except (Refused, MalformedReply):
                # As where a page beyond the last is given the number of the last.
                if not is_last_claimed or first.page.total_pages is None:
                    raise
                return
    finally:
        for future in under_way:
            future.cancel()
    raise MalformedReply(f"The vendor's list has no end: {MAX_PAGES:,} pages were read.")


def _fetched(fetch: Fetch[Record], number: int, size: int) -> Fetched[Record]:
    sent_at = timezone.now()
    return Fetched(fetch(number, size), sent_at)


def _rows(page: Page[Record]) -> int:
    return len(page.items) + len(page.unreadable)


def _identity(record: object) -> object:
    """What tells a record from all others: a batch id is unique in its campaign only."""
    if isinstance(record, BatchRecord):
        return record.batch_id, record.campaign_id
    return record.id if isinstance(record, CampaignRecord) else record
