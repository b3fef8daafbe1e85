"""The push engine: makes confirmed changes so at the vendor, and settles every single item.

One engine runs in a process. Its coordinator claims items, hands them to a pool of threads that
talk to the vendor, and writes their outcomes in groups; only the coordinator uses the database.
"""

from __future__ import annotations

import datetime as dt
import heapq
import itertools
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from batchops import permissions
from batchops.models import Action, Change, ChangeItem
from batchops.services import audit, changes, claims, drafts, preflight, settle, vendor
from batchops.services.attempts import Assignment, Outcome, attempt, halting
from batchops.services.errors import ChangeError
from batchops.syllable.client import SyllableClient
from batchops.syllable.errors import SyllableError
from batchops.syllable.pacing import InFlightLimit, backoff
from batchops.syllable.patch import Values

logger = logging.getLogger(__name__)

State, ItemState = Change.State, ChangeItem.State

GROUP_SIZE: Final = 200
"""Outcomes written in one transaction, at the most."""
GROUP_SECONDS: Final = 0.25
"""Longest time an outcome waits to be written."""
HELD_PER_REQUEST: Final = 8
"""Items held by the engine for each request that may be in flight."""
WATCH_SECONDS: Final = 0.5
"""How often it is looked whether a change was stopped."""
RETRY_CAP_SECONDS: Final = 8.0
WAITS_SECONDS: Final = (5, 10, 20, 30, 60)
"""How long a change waits for a vendor that is down, the first time, the second, …"""
GIVE_UP_AFTER: Final = dt.timedelta(hours=24)
"""A vendor that is down for this long halts the change, for a person to decide."""

_driving = threading.Lock()
_call_again = threading.Event()
_stop_asked: Callable[[], bool] = lambda: False  # noqa: E731


def drive() -> None:
    """Work until there is nothing left to do now; returns at once where an engine runs already."""
    _call_again.set()
    while _call_again.is_set() and not _stop_asked():
        if not _driving.acquire(blocking=False):
            return
        try:
            _call_again.clear()
            Engine(vendor.client()).run()
        finally:
            _driving.release()


def stop_when(asked: Callable[[], bool]) -> None:
    """Stop claiming, settle what is under way and return, as soon as `asked()` is true."""
    global _stop_asked
    _stop_asked = asked


def wait_until_idle(seconds: float) -> bool:
    """Wait for the engine of this process to return; False when it did not in time."""
    if not _driving.acquire(timeout=seconds):
        return False
    _driving.release()
    return True


class Engine:
    """Claims, dispatches and settles until nothing is left that can be done now."""

    def __init__(self, client: SyllableClient, max_in_flight: int | None = None) -> None:
        maximum = max_in_flight or settings.SYLLABLE_MAX_IN_FLIGHT
        self.client = client
        self.limit = InFlightLimit(maximum)
        self.lease = claims.new_lease()
        self.capacity = maximum * HELD_PER_REQUEST
        self.changes: dict[UUID, Change] = {}
        self.held: dict[int, Assignment] = {}
        self.settled: list[Outcome] = []
        self.oldest_settled = 0.0
        self.delayed: list[tuple[float, int, Assignment]] = []
        self.ready: queue.SimpleQueue[Assignment | None] = queue.SimpleQueue()
        self.outcomes: queue.SimpleQueue[Outcome | BaseException] = queue.SimpleQueue()
        self.order = itertools.count()
        self.probing = False
        self.read_each: set[UUID] = set()
        self.renewed = self.watched = self.lapsed = self.told = time.monotonic()
        self.threads = [
            threading.Thread(target=self._work, name=f"push-{number}", daemon=True)
            for number in range(maximum)
        ]

    def run(self) -> None:
        """Work until there is nothing left to do now, or until asked to stop."""
        for thread in self.threads:
            thread.start()
        claims.take_lapsed()
        try:
            while not _stop_asked():
                claimed = self._refill()
                self._collect(0.0 if claimed else 0.05)
                self.tick()
                if not self.held and not claimed and not self._finish_changes():
                    break
        finally:
            self._close()

    def tick(self) -> None:
        """What has to happen regularly, also while the mirror is refreshed."""
        now = time.monotonic()
        self._dispatch_due(now)
        if self.settled and (
            len(self.settled) >= GROUP_SIZE or now - self.oldest_settled >= GROUP_SECONDS
        ):
            self._flush()
        if now - self.watched >= WATCH_SECONDS:
            self.watched = now
            self._watch()
        if now - self.renewed >= claims.RENEW_EVERY.total_seconds():
            self.renewed = now
            claims.renew(self.lease, list(self.held))
        if now - self.lapsed >= 5:
            self.lapsed = now
            claims.take_lapsed()

    # Threads ----------------------------------------------------------------------------------

    def _work(self) -> None:
        while (assignment := self.ready.get()) is not None:
            self.limit.acquire()
            try:
                self.outcomes.put(attempt(self.client, self.limit, assignment))
            except BaseException as error:  # noqa: BLE001  the coordinator raises it
                self.outcomes.put(error)
            finally:
                self.limit.release()

    # Claiming ---------------------------------------------------------------------------------

    def _refill(self) -> int:
        """Claim items where there is room; returns how many."""
        room = self.capacity - len(self.held)
        if room < self.capacity // 2 or (self.probing and self.held):
            return 0
        size = 1 if self.probing else room
        claimed = 0
        for change in claims.runnable(timezone.now()):
            if claimed >= size:
                break
            if self._prepare(change):
                claimed += self._claim(change, size - claimed)
        for change in claims.in_doubt_of_stopped() if not claimed else ():
            self.changes[change.pk] = change
            claimed += self._claim(change, size, read_only=True)
        return claimed

    def _prepare(self, change: Change) -> bool:
        """Start a change, and bring the mirror up to date for it; whether it can be claimed."""
        try:
            if not _start(change):
                return False
            self.changes[change.pk] = change
            return self._is_fresh(change)
        except ChangeError as error:
            changes.halt(change, error.message)
        except SyllableError as error:
            self._wait_or_halt(change, error)
        return False

    def _is_fresh(self, change: Change) -> bool:
        now = timezone.now()
        if _is_urgent(change) or preflight.is_fresh(change, now):
            return True
        if change.pk in self.read_each or preflight.reads_each(change):
            self.read_each.add(change.pk)
            return True
        if not preflight.take_turn(change, now):
            return False
        preflight.refresh(change, self.client, self.tick)
        return True

    def _claim(self, change: Change, size: int, *, read_only: bool = False) -> int:
        items = claims.claim(change, self.lease, size)
        for item in items:
            assignment = self._assignment(change, item, read_only)
            self.held[item.pk] = assignment
            if item.batch.is_gone:
                message = "Deleted at the vendor, or not known there any more."
                self._settled(Outcome(assignment, ItemState.SKIPPED, message=message))
            else:
                self.ready.put(assignment)
        return len(items)

    def _assignment(self, change: Change, item: ChangeItem, read_only: bool) -> Assignment:
        urgent = _is_urgent(change)
        trusted = urgent or change.pk not in self.read_each
        return Assignment(
            item_id=item.pk,
            change_id=change.pk,
            batch_id=item.batch_id,
            patch=item.wanted(change),
            before=item.before,
            known=Values.of(item.batch) if trusted else None,
            known_status=item.batch.status,
            in_doubt=item.attempts > 1,
            read_only=read_only,
            urgent=urgent,
        )

    # Outcomes ---------------------------------------------------------------------------------

    def _collect(self, timeout: float) -> None:
        """Take the outcomes that have come in, waiting a moment for the first."""
        try:
            outcome = self.outcomes.get(timeout=timeout) if timeout else self.outcomes.get_nowait()
            while True:
                self._take(outcome)
                if len(self.settled) >= GROUP_SIZE:
                    return
                outcome = self.outcomes.get_nowait()
        except queue.Empty:
            return

    def _take(self, outcome: Outcome | BaseException) -> None:
        if isinstance(outcome, BaseException):
            raise outcome
        if outcome.state is not None:
            self._settled(outcome)
        elif outcome.retry:
            self._retry_later(outcome.assignment)
        elif outcome.wait:
            self._give_back([outcome.assignment])
            self._wait(self.changes[outcome.assignment.change_id], outcome.wait)
        else:
            self._give_back([outcome.assignment])
            changes.halt(self.changes[outcome.assignment.change_id], outcome.halt)
            self._watch()

    def _settled(self, outcome: Outcome) -> None:
        if not self.settled:
            self.oldest_settled = time.monotonic()
        self.settled.append(outcome)

    def _retry_later(self, assignment: Assignment) -> None:
        delay = backoff(len(assignment.tries), base=0.25, cap=RETRY_CAP_SECONDS)
        self.held[assignment.item_id] = assignment
        heapq.heappush(self.delayed, (time.monotonic() + delay, next(self.order), assignment))

    def _dispatch_due(self, now: float) -> None:
        while self.delayed and self.delayed[0][0] <= now:
            self.ready.put(heapq.heappop(self.delayed)[2])

    def _flush(self) -> None:
        """Write the settled outcomes, and let go of their items."""
        outcomes, self.settled = self.settled, []
        settle.settle(outcomes, self.changes, self.lease)
        for outcome in outcomes:
            self.held.pop(outcome.assignment.item_id, None)
        if any(outcome.record is not None for outcome in outcomes):
            self._reached(outcomes)
        self._tell_pace()

    def _reached(self, outcomes: list[Outcome]) -> None:
        """The vendor answers again: nothing waits for it any more."""
        self.probing = False
        keys = {outcome.assignment.change_id for outcome in outcomes}
        waiting = [key for key in keys if self.changes[key].waiting_since]
        for key in waiting:
            change = self.changes[key]
            change.waiting_reason, change.waiting_since, change.waiting_until = "", None, None
            change.save(update_fields=["waiting_reason", "waiting_since", "waiting_until"])

    # Waiting, halting, stopping ---------------------------------------------------------------

    def _wait_or_halt(self, change: Change, error: SyllableError) -> None:
        if reason := halting(error):
            changes.halt(change, reason)
        else:
            self._wait(change, error.message)

    def _wait(self, change: Change, reason: str) -> None:
        """The vendor is down: try again later, with a single request first."""
        now = timezone.now()
        self.probing = True
        self._give_back(self._drain())
        change.refresh_from_db(fields=["waiting_since", "waiting_until"])
        since = change.waiting_since or now
        if now - since > GIVE_UP_AFTER:
            changes.halt(change, f"The vendor is down since {since:%d %b %H:%M} UTC: {reason}")
            return
        if change.waiting_until and change.waiting_until > now:
            return
        waits = int((now - since).total_seconds() // 15)
        pause = dt.timedelta(seconds=WAITS_SECONDS[min(waits, len(WAITS_SECONDS) - 1)])
        change.waiting_reason = reason
        change.waiting_since, change.waiting_until = since, now + pause
        change.save(update_fields=["waiting_reason", "waiting_since", "waiting_until"])
        logger.warning("Change %s waits for the vendor: %s", change.short_id, reason)

    def _watch(self) -> None:
        """Let go of the items of changes that were stopped or have halted."""
        if not self.held:
            return
        current = claims.states({a.change_id for a in self.held.values()})
        ended = {
            key
            for key, (state, halted) in current.items()
            if halted or state not in (State.QUEUED, State.RUNNING)
        }
        if ended:
            self._release_unsent(lambda a: a.change_id in ended and not a.read_only)
            for key in ended:
                changes.sweep_stopped(self.changes[key])

    def _release_unsent(self, chosen: Callable[[Assignment], bool]) -> None:
        """Give back what no thread is at work on."""
        kept: list[Assignment] = []
        waiting: list[Assignment] = []
        for assignment in self._drain():
            (waiting if chosen(assignment) else kept).append(assignment)
        for assignment in kept:
            self.ready.put(assignment)
        self._give_back(waiting)

    def _drain(self) -> list[Assignment]:
        """Take back what waits for a thread or for its next try."""
        waiting = [entry[2] for entry in self.delayed]
        self.delayed.clear()
        try:
            while (assignment := self.ready.get_nowait()) is not None:
                waiting.append(assignment)
        except queue.Empty:
            pass
        return waiting

    def _give_back(self, assignments: Iterable[Assignment]) -> None:
        unsent: list[int] = []
        tried: list[int] = []
        for assignment in assignments:
            self.held.pop(assignment.item_id, None)
            (tried if assignment.may_have_been_sent else unsent).append(assignment.item_id)
        claims.give_back(self.lease, unsent, sent=False)
        claims.give_back(self.lease, tried, sent=True)

    # Ending -----------------------------------------------------------------------------------

    def _finish_changes(self) -> bool:
        """End the changes that are through; whether there is still something to do now."""
        self._flush_if_any()
        more = False
        for key, change in list(self.changes.items()):
            changes.refresh_counts(change)
            if changes.finish(change):
                self.changes.pop(key)
        now = timezone.now()
        for change in claims.runnable(now):
            if change.items.filter(state=ItemState.PENDING).exists():
                more = True
            elif not change.items.filter(state=ItemState.SENDING).exists():
                self.changes[change.pk] = change
                more = True
        if more:
            time.sleep(0.05)
        return more

    def _flush_if_any(self) -> None:
        if self.settled:
            self._flush()

    def _tell_pace(self) -> None:
        """Keep what people see of the speed up to date, about once a second."""
        now = time.monotonic()
        if now - self.told < 1:
            return
        self.told = now
        pace: dict[str, Any] = {
            "limit": self.limit.limit,
            "maximum": self.limit.maximum,
            "reason": self.limit.reason,
        }
        Change.objects.filter(pk__in=list(self.changes), state=State.RUNNING).update(pace=pace)

    def _close(self) -> None:
        """Let what is under way settle, give back the rest, and end the threads."""
        unsent = self._drain()
        for _ in self.threads:
            self.ready.put(None)
        deadline = time.monotonic() + settings.SYLLABLE_TIMEOUT + settings.SYLLABLE_CONNECT_TIMEOUT
        for thread in self.threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._give_back(unsent)
        while not self.outcomes.empty():
            self._collect(0.0)
            self._flush_if_any()
        self._give_back([entry[2] for entry in self.delayed])


def _start(change: Change) -> bool:
    """Set a queued change running, if what was approved is still what would run."""
    if change.state == State.RUNNING:
        return True
    if changes.postpone(change):
        return False
    if change.approval_required and drafts.fingerprint(change) != change.approved_fingerprint:
        raise ChangeError("This is not what was approved. Stop it, and draft it anew.")
    _check_requester(change)
    with transaction.atomic():
        started = Change.objects.filter(pk=change.pk, state=State.QUEUED).update(
            state=State.RUNNING, started_at=timezone.now()
        )
        change.refresh_from_db()
        if started:
            audit.record(
                audit.Fact.about_change(
                    Action.CHANGE_STARTED, audit.Actor.of_change(change), change
                )
            )
    return change.state == State.RUNNING


def _check_requester(change: Change) -> None:
    """Raise ChangeError when nobody who may do so stands behind outreach that would start."""
    if not change.releasing_count:
        return
    person = change.proceeded_by or change.requested_by
    if person is None or not person.is_active:
        raise ChangeError("The account of its author is not active any more.")
    if not person.has_perm(permissions.RELEASE_CHANGE):
        raise ChangeError("Its author may not let outreach reach more people any more.")


def _is_urgent(change: Change) -> bool:
    return change.priority == Change.Priority.EMERGENCY
