"""Claims items, dispatches them in fair order, and writes what came of them.

One thread runs it. It alone uses the database, and a database that is gone for a while costs it
no outcome; the dispatcher's threads alone talk to the vendor.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, connection
from django.utils import timezone

from batchops.models import Change, ChangeState
from batchops.services.bulk import update_in_order
from batchops.services.changes import lifecycle
from batchops.services.push import verdicts
from batchops.services.push.assignments import Assignment, Outcome
from batchops.services.push.attempt import halting
from batchops.services.push.dispatcher import Dispatcher, running_clock
from batchops.services.push.outages import Kind, Outages
from batchops.services.push.outcome_buffer import GROUP_SIZE, OutcomeBuffer
from batchops.services.push.supply import Supply
from batchops.services.push.verdicts import Denials, GiveUp, TryAgain, WaitForVendor
from batchops.services.runs import leases, run_state
from batchops.syllable.client import SyllableClient

logger = logging.getLogger(__name__)


LOOK_SECONDS: Final = 0.2
"""How often it is looked for changes that are new or due, and for what has to make way."""
POLL_SECONDS: Final = 0.05
"""Longest time the engine waits for outcomes before it looks around."""
PAGE_POLL_SECONDS: Final = 0.005
"""The same while list pages come in."""
PROGRESS_SECONDS: Final = 1.0
"""How often what people see of the progress is brought up to date."""
STOP_CHECK_SECONDS: Final = 0.5
"""How often it is looked whether a change was stopped."""
SWEEP_SECONDS: Final = 1.0
"""How often it is looked for lapsed leases, and for changes that have ended unnoticed."""
DATABASE_PATIENCE_SECONDS: Final = 600.0
"""So long a database may be gone before the engine ends; what it knows is lost only then."""
DATABASE_RETRY_SECONDS: Final = 0.25
"""Time between two tries to use a database that is gone."""
LAST_WRITE_SECONDS: Final = 4.0
"""So long the last outcomes are tried to be written when the engine ends."""


class Interval:
    """Tells when something is due that happens every so many seconds."""

    def __init__(self, seconds: float, *, at_once: bool = False) -> None:
        self._seconds = seconds
        self._last = float("-inf") if at_once else time.monotonic()

    def is_due(self) -> bool:
        now = time.monotonic()
        if now - self._last < self._seconds:
            return False
        self._last = now
        return True


class Engine:
    """Claims, dispatches and settles until nothing is left that can be done now.

    `only_emergency`: leaves all but emergency changes to others. `is_asked_to_end` is asked in
    each round.
    """

    def __init__(
        self,
        client: SyllableClient,
        max_in_flight: int | None = None,
        *,
        only_emergency: bool = False,
        is_asked_to_end: Callable[[], bool] = lambda: False,
    ) -> None:
        maximum = max_in_flight or settings.SYLLABLE_MAX_IN_FLIGHT
        self.only_emergency = only_emergency
        self.is_asked_to_end = is_asked_to_end
        self.lease = leases.new_lease()
        self.dispatcher = Dispatcher(client, maximum)
        self._lease_from(running_clock())
        self.supply = Supply(self.dispatcher, self.lease, maximum, only_emergency=only_emergency)
        self.outages = Outages(maximum)
        self.denials = Denials()
        self.buffer = OutcomeBuffer(self.lease)
        self.waits: dict[UUID, tuple[str, str]] = {}
        self.go_on: set[UUID] = set()
        self.is_back = False
        self.renewed_at = time.monotonic()
        self.database_gone_since: float | None = None
        self.looking = Interval(LOOK_SECONDS, at_once=True)
        self.renewing = Interval(settings.PUSH_LEASE_SECONDS / 4)
        self.stop_checking = Interval(STOP_CHECK_SECONDS)
        self.sweeping = Interval(SWEEP_SECONDS, at_once=True)
        self.telling = Interval(PROGRESS_SECONDS)

    def run(self) -> None:
        """Work until there is nothing left to do now, or until asked to end.

        Raises DatabaseError when the database is gone for longer than can be borne.
        """
        self.dispatcher.start()
        try:
            while not self.is_asked_to_end() and self._go_on():
                self._collect(PAGE_POLL_SECONDS if self.supply.preflights else POLL_SECONDS)
                self.dispatcher.send_due()
        finally:
            self._close()
        leases.wake_at_next_lapse()

    def _go_on(self) -> bool:
        """One round with the database; whether there may be more to do."""
        try:
            self._take_unknown()
            claimed = self._tend()
            more = bool(claimed or self.supply.held or self.supply.preflights) or self._has_more()
        except DatabaseError as error:
            self._bear(error)
            return True
        self.database_gone_since = None
        return more

    def _take_unknown(self) -> None:
        """Once the database is back: work on what was claimed when it went."""
        if self.database_gone_since is not None:
            leases.take_unknown(self.lease, self.supply.held.keys())

    def _tend(self) -> int:
        """All that uses the database; returns how many items were claimed."""
        if self.buffer.is_due(len(self.supply.held)):
            self._write()
        self._apply_waits()
        for change, error in self.supply.advance_preflights():
            words = self.outages.words(Kind.READ, error.message)
            self._wait_or_halt(change, halting(error), words)
        if self.renewing.is_due():
            self._renew()
        if self.stop_checking.is_due():
            self._check_stops()
        if self.sweeping.is_due():
            self._sweep()
        if self.telling.is_due():
            self._tell()
        if self.looking.is_due():
            self.supply.look()
            self._give_back(self.supply.in_the_way(), "Made way for something more urgent.")
        return self._refill()

    def _refill(self) -> int:
        claimed = self.supply.refill()
        unsent, self.supply.unsent = self.supply.unsent, []
        self.buffer.settle(unsent)
        return claimed

    # Outcomes ---------------------------------------------------------------------------------

    def _collect(self, seconds: float) -> None:
        """Take the outcomes that have come in, waiting a moment for the first."""
        for outcome in self.dispatcher.outcomes(seconds, GROUP_SIZE):
            self._take(outcome)
        if denied := self.denials.of_the_key():
            self._halt_for_key(denied)
        self.buffer.settle(self.denials.of_the_batches(len(self.supply.held) - len(self.buffer)))

    def _take(self, outcome: Outcome) -> None:
        for kind in outcome.served:
            self._note_served(kind, outcome)
        assignment = outcome.assignment
        if outcome.failed is not None:
            self._judge(outcome, outcome.failed)
        elif outcome.halt:
            self.waits[assignment.change_id] = (outcome.halt, "")
            self.buffer.give_back([assignment], outcome.halt)
        elif outcome.put_back:
            self.buffer.give_back([assignment], "")
        elif outcome.denied and not assignment.was_denied:
            self.denials.add(outcome)
        else:
            self.buffer.settle([outcome])

    def _note_served(self, kind: Kind, outcome: Outcome) -> None:
        assignment = outcome.assignment
        tries = len(assignment.tries) if kind is Kind.WRITE else assignment.failed_reads + 1
        was_down = self.outages.served(kind, first_try=tries <= 1)
        if kind is Kind.WRITE:
            self.buffer.settle(self.denials.accepted())
        # A probe may be served its read, and fail after all.
        is_through = outcome.state is not None
        self.is_back = self.is_back or was_down or (assignment.is_probe and is_through)
        if is_through:
            self.go_on.add(assignment.change_id)

    def _judge(self, outcome: Outcome, kind: Kind) -> None:
        claimant = self.supply.claimant(outcome.assignment.change_id)
        judged = verdicts.verdict(self.outages, outcome, kind, is_hurried=claimant.narrows)
        match judged:
            case TryAgain(assignment, seconds):
                self.supply.held[assignment.item_id] = assignment
                self.dispatcher.send_later(claimant, assignment, seconds)
                # Others are served, so the rest of the change need not wait for this batch.
                self.go_on.add(assignment.change_id)
            case WaitForVendor(assignment, reason):
                self.waits[assignment.change_id] = ("", reason)
                self.buffer.give_back([assignment], reason)
            case GiveUp(final):
                self.buffer.settle([final])

    def _halt_for_key(self, denied: list[Outcome]) -> None:
        reason = verdicts.denied_in_a_row(denied)
        for outcome in denied:
            self.waits[outcome.assignment.change_id] = (reason, "")
        self.buffer.give_back(
            [replace(outcome.assignment, was_denied=True) for outcome in denied], reason
        )

    def _write(self) -> None:
        """Write what is known, let go of its items, and end the changes that are through."""
        ended: set[UUID] = set()
        for assignments in self.buffer.write(self.supply.changes):
            self.supply.let_go(assignments)
            ended |= {one.change_id for one in assignments}
        for key in ended:
            if not self.supply.holds(key):
                lifecycle.finish(self.supply.changes[key])

    def _give_back(self, assignments: Iterable[Assignment], why: str) -> None:
        if given_back := list(assignments):
            self.buffer.give_back(given_back, why)
            self._write()

    # Waiting, halting, stopping ---------------------------------------------------------------

    def _apply_waits(self) -> None:
        """Let changes wait, halt or go on, as their outcomes have shown."""
        for key in self.go_on - self.waits.keys():
            run_state.answered([self.supply.changes[key]])
        self.go_on.clear()
        for key, (halt, wait) in list(self.waits.items()):
            # What went well before must not look like the end of this.
            self._write()
            self._wait_or_halt(self.supply.changes[key], halt, wait)
            del self.waits[key]
        if self.is_back:
            run_state.hurry_those_who_wait()
            self.is_back = False

    def _wait_or_halt(self, change: Change, halt: str, wait: str) -> None:
        if halt:
            run_state.halt(change, halt)
            self._check_stops()
        else:
            run_state.wait(change, wait)
            unsent = self.dispatcher.take_back(lambda a: a.change_id == change.pk)
            self._give_back(unsent, wait)

    def _renew(self) -> None:
        """Keep the leases alive, and forget what another worker has taken over.

        What is under way of that is held until its outcome has come in.
        """
        began = running_clock()
        lost = leases.renew(self.lease, self.supply.held.keys())
        self.renewed_at = time.monotonic()
        self.dispatcher.lost = lost
        if lost:
            self.supply.let_go(self.dispatcher.take_back(lambda one: one.item_id in lost))
            logger.warning("%d leases were lost to another worker.", len(lost))
        self._lease_from(began)

    def _lease_from(self, began: float) -> None:
        self.dispatcher.leased_until = began + settings.PUSH_LEASE_SECONDS

    def _check_stops(self) -> None:
        """Let go of the items of changes that were stopped or have halted."""
        sending = {one.change_id for one in self.supply.held.values() if not one.read_only}
        if not sending:
            return
        ended = run_state.no_longer_sending(sending)
        off = {change.pk for change in ended}
        unsent = self.dispatcher.take_back(lambda a: a.change_id in off and not a.read_only)
        self._give_back(unsent, "Stopped, or halted.")
        for change in ended:
            lifecycle.sweep_stopped(change)

    # Progress and end -------------------------------------------------------------------------

    def _tell(self) -> None:
        """Keep what people see of the speed and the counts up to date."""
        limit = self.dispatcher.limit
        pace = {"limit": limit.limit, "maximum": limit.maximum, "reason": limit.reason}
        running = self.supply.changes
        for change in running.values():
            lifecycle.refresh_counts(change)
        update_in_order(
            Change.objects.filter(pk__in=list(running), state=ChangeState.RUNNING), pace=pace
        )

    def _sweep(self) -> None:
        """Take over what dead workers held, start what is due, end what ended unnoticed."""
        leases.take_lapsed(but=self.lease)
        if not self.only_emergency:
            lifecycle.queue_due()
            self._end_unnoticed()

    def _end_unnoticed(self) -> None:
        """Changes whose last item another worker settled, or that had nothing to send."""
        for change in leases.settled_but_not_ended(timezone.now()):
            if self.supply.prepare(change):
                lifecycle.finish(change)

    def _has_more(self) -> bool:
        """Whether there is still something to do now, though nothing is held."""
        self._write()
        for change in self.supply.changes.values():
            lifecycle.refresh_counts(change)
        if not self.only_emergency:
            self._end_unnoticed()
        self.supply.look()
        return leases.has_pending(timezone.now(), only_emergency=self.only_emergency)

    def _bear(self, error: DatabaseError) -> None:
        """Go on without a database for a while: keep what is known, and send nothing new for long.

        Raises the error when it lasts too long.
        """
        now = time.monotonic()
        if self.database_gone_since is None:
            self.database_gone_since = now
            logger.error("The database cannot be used (%s). Outcomes are kept meanwhile.", error)
        elif now - self.database_gone_since > DATABASE_PATIENCE_SECONDS:
            raise error
        with suppress(DatabaseError):
            connection.close()
        if now - self.renewed_at > settings.PUSH_LEASE_SECONDS / 2:
            # Others may soon take over what is held, and must not find it being sent.
            self.buffer.give_back(self.dispatcher.take_back(), "The database was gone.")
        self._collect(DATABASE_RETRY_SECONDS)

    def _close(self) -> None:
        """Let what is under way settle, give back the rest, and end the threads."""
        unsent = self.dispatcher.close(longest_request_seconds())
        for outcome in self.dispatcher.outcomes():
            self._take(outcome)
        self.buffer.settle(self.denials.of_the_batches(0))
        self.buffer.give_back([*unsent, *self.dispatcher.take_back()], "The worker was ended.")
        self._write_the_last()
        for reading in self.supply.preflights.values():
            with suppress(DatabaseError):
                reading.close()

    def _write_the_last(self) -> None:
        deadline = time.monotonic() + LAST_WRITE_SECONDS
        while True:
            try:
                self._take_unknown()
                self._write()
                self._apply_waits()
                return
            except DatabaseError as error:
                with suppress(DatabaseError):
                    connection.close()
                if time.monotonic() > deadline:
                    logger.error(
                        "%d outcomes could not be written (%s): reading will settle them.",
                        len(self.buffer),
                        error,
                    )
                    return
            time.sleep(DATABASE_RETRY_SECONDS)


def longest_request_seconds() -> float:
    """How long a request that is under way may take to settle."""
    return settings.SYLLABLE_CONNECT_TIMEOUT + settings.SYLLABLE_TIMEOUT
