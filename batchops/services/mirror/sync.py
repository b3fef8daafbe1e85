"""Syncs the vendor's campaigns and batches into the mirror: all of them, or what changed lately.

A list may be wrong in ways that its status 200 does not show. So a sync claims no more than it can
know: what lacks too many of the known batches fails, and a sync of what changed lately that is in
doubt whether it saw that becomes one of everything.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Max, Q
from django.utils import timezone

from batchops import audit
from batchops.models import Action, Batch, BatchCount, KnownStatus, SyncRun
from batchops.services import vendor
from batchops.services.bulk import in_chunks
from batchops.services.mirror import list_pages, shared_ids, single_reads, store
from batchops.services.mirror.evidence import read_lag
from batchops.services.mirror.list_pages import Fetched
from batchops.services.mirror.shared_ids import Sightings
from batchops.syllable.client import SyllableClient
from batchops.syllable.errors import (
    RateLimited,
    ReplyLost,
    SyllableError,
    Unauthorized,
    Unavailable,
)
from batchops.syllable.records import BatchRecord

logger = logging.getLogger(__name__)

READS_AT_ONCE: Final = 100
OVERLAP: Final = dt.timedelta(minutes=5)
"""How far an incremental sync looks back behind the latest change that the last sync saw, besides
the time that reads may lag, and how far ahead of the clock a date may lie before it is taken for
wrong."""
LOST_AFTER: Final = dt.timedelta(minutes=2)
"""A running sync without a sign of life for this long has lost its process."""
RETRY_AFTER: Final = {
    SyncRun.Kind.FULL: dt.timedelta(minutes=5),
    SyncRun.Kind.INCREMENTAL: dt.timedelta(seconds=30),
}
"""How long after a sync that failed the next of at least its kind may begin by itself."""
MISSING_FLOOR: Final = 20
"""So many batches may always be missing on the list, however few are known."""
MAX_FAILED_READS: Final = 20
"""Batches that could not be read one by one, before the vendor counts as down."""
MAX_NOTES: Final = 50
LIVE_FIELDS: Final = (
    "alive_at",
    "kind",
    "batches_seen",
    "created",
    "changed",
    "missing",
    "unreadable",
    "campaigns_seen",
    "notes",
)
"""What is written while a sync runs; its state is another's to write once it counts as lost."""

Progress = Callable[[int, int | None], None]
"""Called with the batches seen so far and the total, where the vendor tells it."""


class AlreadyRunning(Exception):
    """Another sync is under way; there is only ever one."""


class ListIncomplete(SyllableError):
    """The vendor's list of batches lacks too many of the known batches, despite its status 200."""


@dataclass(slots=True)
class _Sync:
    """A sync under way. `newest` is the latest believable `last_updated_at` on the list."""

    run: SyncRun
    progress: Progress
    accept_missing: bool
    client: SyllableClient = field(init=False)
    sightings: Sightings = field(default_factory=Sightings)
    unreadable: set[str] = field(default_factory=set)
    total: int | None = None
    newest: dt.datetime | None = None
    has_seen_all: bool = False
    failed_reads: int = 0
    unknown: set[str] = field(default_factory=set)

    def has_seen(self, batch_id: str) -> bool:
        """Whether the list showed it, readable or not."""
        return batch_id in self.sightings.campaigns or batch_id in self.unreadable

    def alive(self) -> None:
        """Give a sign of life, at most one a second."""
        now = timezone.now()
        if (now - self.run.alive_at).total_seconds() >= 1:
            self.run.alive_at = now
            self.run.save(update_fields=LIVE_FIELDS)

    def note(self, *texts: str) -> None:
        self.run.notes = [*self.run.notes, *texts][:MAX_NOTES]


def record_request(actor: audit.Actor, kind: str, **more: object) -> None:
    """Record that a person asks the vendor: for a sync of a kind, or to refresh some batches."""
    detail = {"kind": kind, **more}
    audit.record_now(audit.Fact(Action.SYNC_REQUESTED, actor, detail=detail))


def run_sync(
    kind: SyncRun.Kind,
    *,
    requested_by: str = "",
    progress: Progress = lambda *_: None,
    accept_missing: bool = False,
) -> SyncRun:
    """Sync from the vendor and return the finished run, which says how far it saw.

    With `accept_missing`, any number of batches may be missing on the list; each is asked for by
    its id. Raises AlreadyRunning when another sync is under way, and `SyllableError` when the
    vendor fails or its list lacks too much; the run then holds the error, and what was read
    before that is kept.
    """
    run = _begin(kind, requested_by)
    work = _Sync(run, progress, accept_missing)
    try:
        work.client = vendor.client()
        _sync_campaigns(work)
        if kind == SyncRun.Kind.FULL:
            _sync_all(work)
        elif doubt := _sync_recent(work):
            work.note(f"Became a full sync: {doubt}.")
            run.kind = SyncRun.Kind.FULL
            _sync_all(work)
    except SyllableError as error:
        _end(work, str(error), key_rejected=isinstance(error, Unauthorized))
        raise
    except BaseException as error:
        _end(work, f"{type(error).__name__}: the sync was interrupted.")
        raise
    _end(work)
    return run


def is_due(kind: SyncRun.Kind, interval: int) -> bool:
    """Whether the last good sync of at least this kind began `interval` seconds ago or more.

    One that failed is tried again sooner, though not at once; and a list that fails as a whole
    keeps nobody from syncing what changed lately.
    """
    runs = SyncRun.objects.all()
    if kind == SyncRun.Kind.FULL:
        runs = runs.filter(kind=kind)
    last = runs.aggregate(
        tried=Max("started_at"), good=Max("started_at", filter=Q(state=SyncRun.State.DONE))
    )
    now = timezone.now()
    pause = min(dt.timedelta(seconds=interval), RETRY_AFTER[kind])
    if last["tried"] is not None and dt.timedelta() <= now - last["tried"] < pause:
        return False
    return last["good"] is None or now - last["good"] >= dt.timedelta(seconds=interval)


def _begin(kind: SyncRun.Kind, requested_by: str) -> SyncRun:
    now = timezone.now()
    SyncRun.objects.filter(state=SyncRun.State.RUNNING, alive_at__lt=now - LOST_AFTER).update(
        state=SyncRun.State.FAILED, finished_at=now, error="The process that ran the sync was lost."
    )
    try:
        with transaction.atomic():
            return SyncRun.objects.create(
                kind=kind, requested_by=requested_by, started_at=now, alive_at=now
            )
    except IntegrityError:
        raise AlreadyRunning("Another sync is under way; try again in a moment.") from None


def _end(work: _Sync, error: str = "", *, key_rejected: bool = False) -> None:
    run = work.run
    before = SyncRun.objects.exclude(pk=run.pk).exclude(state=SyncRun.State.RUNNING).first()
    run.state = SyncRun.State.FAILED if error else SyncRun.State.DONE
    run.error = error
    run.key_rejected = key_rejected
    run.finished_at = timezone.now()
    work.note(*(f"Unknown {what}" for what in sorted(work.unknown)))
    if not error:
        _record_how_far_it_saw(work)
    with transaction.atomic():
        run.save()
        failed_before = before is not None and before.state == SyncRun.State.FAILED
        if bool(error) != failed_before:
            action = Action.SYNC_FAILED if error else Action.SYNC_RECOVERED
            audit.record(audit.Fact(action, audit.SYSTEM, detail={"error": error}))
    if error:
        logger.warning("%s sync failed: %s", run.get_kind_display(), error)


def _record_how_far_it_saw(work: _Sync) -> None:
    """Leave to the next sync where to begin, and to people since when everything is known."""
    run = work.run
    last = _last_good()
    before = last.fully_synced_at if last else None
    run.fully_synced_at = run.started_at if work.has_seen_all else before
    if work.newest is not None and run.finished_at is not None:
        # What changed while the list was read may be older than the newest that it showed.
        run.newest_at = work.newest - (run.finished_at - run.started_at)


def _last_good() -> SyncRun | None:
    return SyncRun.objects.filter(state=SyncRun.State.DONE).first()


def _sync_campaigns(work: _Sync) -> None:
    for fetched in list_pages.all_campaigns(work.client, work.alive):
        store.apply_campaigns(fetched.page.items, fetched.sent_at)
        for item in fetched.page.items:
            work.unknown.update(f"field {name} of campaigns" for name in item.unknown_fields)
        work.run.campaigns_seen += len(fetched.page.items)
        work.note(*(f"Campaign: {reason}" for reason in fetched.page.unreadable))
        work.alive()


# Everything ----------------------------------------------------------------------------------


def _sync_all(work: _Sync) -> None:
    started_at = timezone.now()
    if _walk_all(work):
        # Batches that moved up meanwhile may have been passed over.
        _walk_all(work)
    shown = work.sightings.batches + work.run.unreadable
    work.has_seen_all = work.total is None or work.total <= shown
    if not work.has_seen_all:
        work.note(f"The list shows {shown:,} batches but reports a total of {work.total:,}.")
    _read_absent(work, started_at)
    _review_shared_ids(work, started_at)


def _walk_all(work: _Sync) -> bool:
    """Read the whole list; whether it became shorter meanwhile."""
    totals = []
    for fetched in list_pages.all_batches(work.client, work.alive):
        _apply_page(work, fetched, whole=True)
        totals.append(fetched.page.total_count)
    known = [total for total in totals if total is not None]
    return bool(known) and known[-1] < known[0]


def _read_absent(work: _Sync, started_at: dt.datetime) -> None:
    """Ask by id for the batches that the list did not show. Raises ListIncomplete."""
    present = Batch.objects.present()
    known = BatchCount.objects.present().total()
    unseen = present.filter(observed_at__lt=started_at).values_list("batch_id", flat=True)
    absent = [name for name in unseen.order_by("pk").iterator(2000) if not work.has_seen(name)]
    if len(absent) > _allowed_missing(known) and not work.accept_missing:
        raise ListIncomplete(
            f"The vendor's list of batches leaves out {len(absent):,} of the {known:,} that it had "
            "before. So many at once look like a fault of the list, so none was marked as missing. "
            "If they are really gone, run: manage.py sync --full --accept-missing"
        )
    left_out = 0
    for chunk in in_chunks(absent, READS_AT_ONCE):
        readings = single_reads.read(work.client, chunk, work.alive)
        work.run.missing += readings.missing
        left_out += readings.present
        _note_failed_reads(work, readings.errors)
        work.alive()
    if left_out and not work.sightings.campaigns:
        raise ListIncomplete(
            "The vendor's list of batches is empty, yet the vendor still has "
            f"{left_out:,} of the {known:,} when asked for them by their ids."
        )
    if left_out:
        work.note(f"The list left out {left_out:,} batches that the vendor still has.")


def _allowed_missing(known: int) -> int:
    """How many of the known batches a list may lack before it counts as incomplete."""
    return max(MISSING_FLOOR, known * settings.SYNC_MAX_MISSING_PERCENT // 100)


def _note_failed_reads(work: _Sync, errors: dict[str, SyllableError]) -> None:
    """Note batches that cannot be read; raises when that is due to the vendor, not to them."""
    for batch_id, error in errors.items():
        work.run.unreadable += 1
        work.note(f"{batch_id} cannot be read: {error}")
        work.failed_reads += isinstance(error, RateLimited | ReplyLost | Unavailable)
        if work.failed_reads > MAX_FAILED_READS:
            raise error


def _review_shared_ids(work: _Sync, walked_at: dt.datetime) -> None:
    """Raise and end the alarms about ids, and follow batches that are in another campaign now."""
    shared_ids.raise_alarms(work.sightings.shared)
    for batch_id, (record, sent_at) in work.sightings.strangers.items():
        if batch_id not in work.sightings.shared:
            store.follow_to_campaign(record, sent_at)
    shared_ids.end_alarms(work.sightings, work.unreadable, walked_at)


# What changed lately -------------------------------------------------------------------------


def _sync_recent(work: _Sync) -> str:
    """Read what changed since the last sync, the latest first.

    Returns why that is in doubt, or nothing. No date is taken for granted: those ahead of the
    clock are passed over, and the list may show what has none first or last.
    """
    last = _last_good()
    since = last.newest_at - OVERLAP - read_lag() if last and last.newest_at else None
    if since is None or since > timezone.now():
        return "no earlier sync says where to begin"
    known = BatchCount.objects.present().total()
    dates: list[dt.datetime] = []
    totals: list[int] = []
    for fetched in list_pages.recent_batches(work.client, work.alive):
        _apply_page(work, fetched)
        items, total = fetched.page.items, fetched.page.total_count
        dates = dates[-1:] + [item.last_updated_at for item in items if item.last_updated_at]
        totals = totals[-1:] + [total for total in [total] if total is not None]
        if dates != sorted(dates, reverse=True):
            return "the list was not ordered by date"
        if totals and totals[-1] < totals[0]:
            return "batches disappeared while the list was read"
        if totals and totals[-1] < known - _allowed_missing(known):
            return "the list is much shorter than the mirror"
        if dates and dates[-1] < since:
            return _reason_to_doubt(work, dates[-1])
    if known > len(work.sightings.campaigns) + len(work.unreadable):
        return "the list ended too early"
    return ""


def _reason_to_doubt(work: _Sync, oldest: dt.datetime) -> str:
    """Why known batches leave a doubt that a list down to `oldest` does not show."""
    present = Batch.objects.present()
    undated = present.filter(last_updated_at=None)
    if any(not work.has_seen(name) for name in undated.values_list("pk", flat=True).iterator()):
        return "some batches have no date of their last update"
    # What changed again is further up; only what the list lags behind could be further down.
    between = present.filter(last_updated_at__gt=oldest, last_updated_at__lt=work.newest)
    if any(not work.has_seen(name) for name in between.values_list("pk", flat=True).iterator()):
        return "the list leaves out batches that it showed before"
    return ""


# Pages ---------------------------------------------------------------------------------------


def _apply_page(work: _Sync, fetched: Fetched[BatchRecord], *, whole: bool = False) -> None:
    """Write one page into the mirror and count it; `whole`: it is one of all pages."""
    page, run = fetched.page, work.run
    result = store.apply_page(
        page.items, fetched.sent_at, work.sightings.strangers if whole else None
    )
    work.sightings.add(page.items)
    work.unreadable |= page.unreadable_ids
    work.total = page.total_count if page.total_count is not None else work.total
    work.newest = max(_believable(page.items, fetched.sent_at, work.newest), default=None)
    for item in page.items:
        work.unknown.update(f"field {name}" for name in item.unknown_fields)
        if item.status and item.status not in KnownStatus.values:
            work.unknown.add(f"status {item.status}")
    run.batches_seen = len(work.sightings.campaigns)
    run.created += result.created
    run.changed += result.changed
    run.unreadable += len(page.unreadable)
    work.note(*page.unreadable)
    work.alive()
    work.progress(run.batches_seen, work.total)


def _believable(
    items: Iterable[BatchRecord], sent_at: dt.datetime, newest: dt.datetime | None
) -> list[dt.datetime]:
    dates = [newest, *(item.last_updated_at for item in items)]
    return [date for date in dates if date is not None and date <= sent_at + OVERLAP]
