"""The push engine: makes confirmed changes so at the vendor, and settles every single item.

One engine runs in a process. It claims items, hands them to a dispatcher's threads that talk to
the vendor, and writes their outcomes in groups; the threads never use the database.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from http import HTTPStatus
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, close_old_connections
from django.db.models import QuerySet
from django.utils import timezone

from batchops.models import Change, ChangeItem
from batchops.services import changes, claims, identity, preflight, runs, settle, vendor
from batchops.services.assignments import MAX_TRIES, Assignment, Outcome
from batchops.services.attempts import halting
from batchops.services.bulk import update_in_order
from batchops.services.dispatch import Dispatcher
from batchops.services.effects import unsendable
from batchops.services.errors import ChangeError
from batchops.syllable.client import SyllableClient
from batchops.syllable.errors import Misconfigured, SyllableError
from batchops.syllable.pacing import backoff

logger = logging.getLogger(__name__)

State, ItemState = Change.State, ChangeItem.State

GROUP_SIZE: Final = 200
"""Outcomes written in one transaction, at the most."""
GROUP_SECONDS: Final = 0.25
"""Longest time an outcome waits to be written."""
HELD_PER_REQUEST: Final = 16
"""Items held by the engine for each request that may be in flight."""
LOOK_SECONDS: Final = 0.05
"""Longest time the engine waits for outcomes before it looks around."""
PAGE_LOOK_SECONDS: Final = 0.005
"""The same while list pages come in."""
WATCH_SECONDS: Final = 0.5
"""How often it is looked whether a change was stopped."""
TELL_SECONDS: Final = 1.0
"""How often what people see of the progress is brought up to date."""
LAPSE_SECONDS: Final = 5.0
"""How often it is looked for items of workers that died."""
RETRY_CAP_SECONDS: Final = 8.0
MAX_ROUNDS: Final = 3
"""How often an item may use up its tries while the vendor answers nobody, before it has failed."""

_driving = threading.Lock()
_call_again = threading.Event()
_stop_asked: Callable[[], bool] = lambda: False  # noqa: E731


def drive(*, only_emergency: bool = False) -> None:
    """Work until there is nothing left to do now; returns at once where an engine runs already.

    `only_emergency`: of emergency changes alone.

    Raises DatabaseError when the database cannot be used. Nothing is lost by that: the leases
    lapse, and the next call finds out what became of their items.
    """
    _call_again.set()
    while _call_again.is_set() and not _stop_asked():
        if not _driving.acquire(blocking=False):
            return
        try:
            _call_again.clear()
            _run_engine(only_emergency)
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


def longest_request_seconds() -> float:
    """How long a request that is under way may take to settle."""
    return settings.SYLLABLE_CONNECT_TIMEOUT + settings.SYLLABLE_TIMEOUT


def _run_engine(only_emergency: bool) -> None:
    try:
        # The engine tries again by itself, all threads together.
        Engine(vendor.client(read_attempts=1), only_emergency=only_emergency).run()
    except Misconfigured as error:
        for change in claims.runnable(timezone.now()):
            changes.halt(change, f"{error.message} Mend the settings, then continue.")
    except DatabaseError as error:
        logger.error("The database cannot be used (%s). Nothing is lost: it goes on later.", error)
        close_old_connections()
        raise


class Rhythm:
    """Tells when something is due that happens every so many seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._last = time.monotonic()

    def is_due(self) -> bool:
        now = time.monotonic()
        if now - self._last < self._seconds:
            return False
        self._last = now
        return True


class Engine:
    """Claims, dispatches and settles until nothing is left that can be done now."""

    def __init__(
        self, client: SyllableClient, maximum: int | None = None, *, only_emergency: bool = False
    ) -> None:
        self.only_emergency = only_emergency
        self.maximum = maximum or settings.SYLLABLE_MAX_IN_FLIGHT
        self.dispatcher = Dispatcher(client, self.maximum)
        self.lease = claims.new_lease()
        self.capacity = self.maximum * HELD_PER_REQUEST
        self.changes: dict[UUID, Change] = {}
        self.held: dict[int, Assignment] = {}
        self.settled: list[Outcome] = []
        self.oldest_settled = 0.0
        self.refill_at = self.answered_at = float("-inf")
        self.failures_in_a_row = 0
        self.read_each: set[UUID] = set()
        self.refreshes: dict[UUID, preflight.Refresh] = {}
        self.watching = Rhythm(WATCH_SECONDS)
        self.renewing = Rhythm(settings.PUSH_LEASE_SECONDS / 4)
        self.taking_lapsed = Rhythm(LAPSE_SECONDS)
        self.telling = Rhythm(TELL_SECONDS)

    def run(self) -> None:
        """Work until there is nothing left to do now, or until asked to stop."""
        self.dispatcher.start()
        try:
            claims.take_lapsed(but=self.lease)
            while not _stop_asked():
                claimed = self._refill()
                self._collect(0.0 if claimed else self._patience())
                self._tend()
                if not (claimed or self.held or self.refreshes or self._has_more()):
                    break
        finally:
            self._close()
        claims.wake_at_next_lapse()

    def _tend(self) -> None:
        """What has to happen regularly."""
        self.dispatcher.send_due()
        if self._is_flush_due():
            self._flush()
        self._advance_refreshes()
        if self.renewing.is_due():
            self._renew()
        if self.watching.is_due():
            self._watch()
        if self.taking_lapsed.is_due():
            claims.take_lapsed(but=self.lease)
        if self.telling.is_due():
            self._tell()

    def _patience(self) -> float:
        return PAGE_LOOK_SECONDS if self.refreshes else LOOK_SECONDS

    def _is_flush_due(self) -> bool:
        count = len(self.settled)
        if not count:
            return False
        nothing_to_wait_for = count == len(self.held)
        is_old = time.monotonic() - self.oldest_settled >= GROUP_SECONDS
        return count >= GROUP_SIZE or nothing_to_wait_for or is_old

    # Claiming ---------------------------------------------------------------------------------

    def _refill(self) -> int:
        """Claim items where there is room; returns how many."""
        room = self.capacity - len(self.held)
        if room < self.capacity // 4 or time.monotonic() < self.refill_at:
            return 0
        claimed = self._claim_up_to(room)
        if not claimed:
            self.refill_at = time.monotonic() + self._patience()
        return claimed

    def _claim_up_to(self, room: int) -> int:
        claimed = 0
        now = timezone.now()
        for change in self._runnable(now):
            if claimed >= room:
                break
            if self._prepare(change):
                claimed += self._claim(change, room - claimed)
            elif change.pk in self.refreshes:
                seen = self.refreshes[change.pk].take_seen()
                claimed += self._claim(change, room - claimed, among=seen)
        if claimed or self.only_emergency:
            return claimed
        for change in claims.unsettled_of_stopped(now):
            if changes.sweep_stopped(change):
                claimed += self._claim(change, room)
        return claimed

    def _runnable(self, now: dt.datetime) -> QuerySet[Change]:
        lowest = Change.Priority.EMERGENCY if self.only_emergency else Change.Priority.NORMAL
        return claims.runnable(now).filter(priority__gte=lowest)

    def _prepare(self, change: Change) -> bool:
        """Start a change, and bring the mirror up to date for it; whether it can be claimed."""
        try:
            return runs.start(change) and self._is_fresh(change)
        except ChangeError as error:
            changes.halt(change, error.message)
        return False

    def _is_fresh(self, change: Change) -> bool:
        now = timezone.now()
        if _is_urgent(change) or preflight.is_fresh(change, now):
            return True
        if change.pk in self.refreshes:
            return False
        if change.pk in self.read_each or preflight.reads_each(change):
            self.read_each.add(change.pk)
            return True
        if preflight.take_turn(change, now):
            self.refreshes[change.pk] = preflight.Refresh(change, vendor.client())
        return False

    def _advance_refreshes(self) -> None:
        for key, refresh in list(self.refreshes.items()):
            try:
                if not refresh.step():
                    continue
            except SyllableError as error:
                self._wait_or_halt(refresh.change, halting(error), error.message)
            self.refreshes.pop(key).close()

    def _claim(self, change: Change, room: int, among: Collection[str] | None = None) -> int:
        """Take items and send them; `among` names the batches that were just compared."""
        is_probe = change.waiting_since is not None
        if is_probe and any(held.change_id == change.pk for held in self.held.values()):
            return 0
        size = 1 if is_probe else room
        items = claims.claim(change, self.lease, size, least_tried=is_probe, among=among)
        if items:
            self.changes[change.pk] = change
        patch, compared_at = change.patch, self._compared_at(change)
        names = identity.names() if items else frozenset()
        for item in items:
            assignment = Assignment.of(item, change, patch, compared_at, names)
            self.held[item.pk] = assignment
            if message := unsendable(item.batch):
                self._settled(Outcome(assignment, ItemState.SKIPPED, message=message))
            else:
                self.dispatcher.send(assignment)
        return len(items)

    def _compared_at(self, change: Change) -> dt.datetime | None:
        """When list pages were last read for a change; None: each batch is read by itself."""
        if change.pk in self.read_each:
            return None
        refresh = self.refreshes.get(change.pk)
        return refresh.started_at if refresh else change.preflight_at

    # Outcomes ---------------------------------------------------------------------------------

    def _collect(self, seconds: float) -> None:
        """Take the outcomes that have come in, waiting a moment for the first."""
        for outcome in self.dispatcher.outcomes(seconds, GROUP_SIZE):
            self._take(outcome)

    def _take(self, outcome: Outcome) -> None:
        assignment = outcome.assignment
        self._note_answer(outcome)
        if outcome.exhausted and self._may_be_down(assignment):
            outcome = replace(outcome, state=None, wait=outcome.message)
        elif outcome.retry and self.failures_in_a_row >= max(self.maximum, MAX_TRIES):
            outcome = replace(outcome, retry=False, wait=outcome.message)
        if outcome.state is not None:
            self._settled(outcome)
        elif outcome.retry:
            self._retry_later(assignment)
        elif outcome.put_back:
            self._give_back([assignment])
        else:
            self._postpone(outcome)

    def _note_answer(self, outcome: Outcome) -> None:
        """A vendor that answers nobody is down; one that asks to slow down is not."""
        if outcome.answered:
            self.answered_at = time.monotonic()
            self.failures_in_a_row = 0
        elif outcome.retry and outcome.http_status != HTTPStatus.TOO_MANY_REQUESTS:
            self.failures_in_a_row += 1

    def _may_be_down(self, assignment: Assignment) -> bool:
        """Whether the vendor, not the batch, may be why tries were used up."""
        return self.answered_at < assignment.began and assignment.rounds < MAX_ROUNDS

    def _settled(self, outcome: Outcome) -> None:
        if not self.settled:
            self.oldest_settled = time.monotonic()
        self.settled.append(outcome)

    def _retry_later(self, assignment: Assignment) -> None:
        failures = len(assignment.tries) + assignment.failed_reads
        self.held[assignment.item_id] = assignment
        self.dispatcher.send_later(assignment, backoff(failures, base=0.25, cap=RETRY_CAP_SECONDS))

    def _flush(self) -> None:
        """Write the settled outcomes, and let go of their items."""
        outcomes, self.settled = self.settled, []
        if not outcomes:
            return
        settle.settle(outcomes, self.changes, self.lease)
        for outcome in outcomes:
            self.held.pop(outcome.assignment.item_id, None)
        answered = {o.assignment.change_id for o in outcomes if o.answered}
        runs.answered(self.changes[key] for key in answered)

    def _postpone(self, outcome: Outcome) -> None:
        """Nothing can be done for an item now, nor, probably, for the others."""
        # What went well before must not look like the end of this.
        self._flush()
        assignment = outcome.assignment
        self._give_back([assignment], outcome.wait or outcome.halt, counted=outcome.exhausted)
        self._wait_or_halt(self.changes[assignment.change_id], outcome.halt, outcome.wait)

    # Waiting, halting, stopping ---------------------------------------------------------------

    def _wait_or_halt(self, change: Change, halt: str, wait: str) -> None:
        if halt:
            runs.halt(change, halt)
            self._watch()
        else:
            runs.wait(change, wait)
            self._give_back(self.dispatcher.take_back(), wait)

    def _renew(self) -> None:
        """Keep the leases alive, and forget what another worker has taken over."""
        lost = claims.renew(self.lease, self.held.keys())
        if lost:
            self.dispatcher.take_back(lambda assignment: assignment.item_id in lost)
            logger.warning("%d leases were lost to another worker.", len(lost))
        for key in lost:
            self.held.pop(key)

    def _watch(self) -> None:
        """Let go of the items of changes that were stopped or have halted."""
        sending = {held.change_id for held in self.held.values() if not held.read_only}
        if not sending:
            return
        ended = runs.no_longer_sending(sending)
        off = frozenset(change.pk for change in ended)
        self.dispatcher.call_off(off)
        if off:
            unsent = self.dispatcher.take_back(lambda a: a.change_id in off and not a.read_only)
            self._give_back(unsent, "Stopped, or halted.")
        for change in ended:
            changes.sweep_stopped(change)

    def _give_back(
        self, assignments: Iterable[Assignment], why: str = "", *, counted: bool = False
    ) -> None:
        """Make items pending again; those that were sent keep that in the trail."""
        unsent: list[Assignment] = []
        tried: list[Assignment] = []
        for assignment in assignments:
            (tried if counted or assignment.tries else unsent).append(assignment)
        claims.give_back(self.lease, [assignment.item_id for assignment in unsent])
        settle.put_off(tried, self.changes, self.lease, why, counted=counted)
        for assignment in (*unsent, *tried):
            self.held.pop(assignment.item_id, None)

    # Progress and end -------------------------------------------------------------------------

    def _tell(self) -> None:
        """Keep what people see of the speed and the counts up to date."""
        limit = self.dispatcher.limit
        pace = {"limit": limit.limit, "maximum": limit.maximum, "reason": limit.reason}
        for change in self.changes.values():
            changes.refresh_counts(change)
        update_in_order(
            Change.objects.filter(pk__in=list(self.changes), state=State.RUNNING), pace=pace
        )

    def _has_more(self) -> bool:
        """End the changes that are through; whether there is still something to do now."""
        self._flush()
        for change in self.changes.values():
            if not changes.finish(change):
                changes.refresh_counts(change)
        self.changes.clear()
        now = timezone.now()
        more = not self.only_emergency and claims.unsettled_of_stopped(now).exists()
        for change in self._runnable(now):
            if change.items.filter(state=ItemState.PENDING).exists():
                more = True
            elif self._prepare(change):
                changes.finish(change)
        if more:
            time.sleep(LOOK_SECONDS)
        return more

    def _close(self) -> None:
        """Let what is under way settle, give back the rest, and end the threads."""
        unsent = self.dispatcher.close(longest_request_seconds())
        for outcome in self.dispatcher.outcomes():
            self._take(outcome)
        self._flush()
        self._give_back([*unsent, *self.dispatcher.take_back()], "The worker was ended.")
        for refresh in self.refreshes.values():
            refresh.close()


def _is_urgent(change: Change) -> bool:
    return change.priority == Change.Priority.EMERGENCY
