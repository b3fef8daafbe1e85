"""Claims items, dispatches them in fair order, and records what came of them.

One thread runs it. It alone uses the database, and a database that is gone for a while costs it
no outcome; the dispatcher's threads alone talk to the vendor.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from typing import Final, assert_never
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError
from django.utils import timezone

from batchops.models import Change, ChangeState
from batchops.services.attempts.assignments import Assignment, Mode, RequestKind
from batchops.services.attempts.dispatcher import Dispatcher
from batchops.services.attempts.outcomes import Halt, PutBack, Report, Settled
from batchops.services.bulk import update_in_order
from batchops.services.changes import lifecycle
from batchops.services.push.database_outage import DatabaseOutage
from batchops.services.push.intervals import Interval
from batchops.services.push.lease_keeper import LeaseKeeper
from batchops.services.push.outcome_buffer import GROUP_SIZE, OutcomeBuffer
from batchops.services.push.policy import Decision, Policy, Retry, Wait
from batchops.services.push.supply import Supply
from batchops.services.runs import leases, run_state
from batchops.syllable.client import SyllableClient

logger = logging.getLogger(__name__)

CHANGE_POLL_SECONDS: Final = 0.2
"""How often to ask for changes that are new or due, and for what has to make way."""
OUTCOME_POLL_SECONDS: Final = 0.05
"""Longest time the engine waits for outcomes before it goes on with the rest."""
PAGE_POLL_SECONDS: Final = 0.005
"""The same while list pages come in."""
PROGRESS_SECONDS: Final = 1.0
"""How often what people see of the progress is brought up to date."""
STOP_CHECK_SECONDS: Final = 0.5
"""How often to ask whether a change was stopped."""
LEASE_SWEEP_SECONDS: Final = 1.0
"""How often to ask for expired leases, and for changes that have ended unnoticed."""
DATABASE_RETRY_SECONDS: Final = 0.25
"""Time between two tries to use a database that is gone."""
LAST_WRITE_SECONDS: Final = 4.0
"""So long the last outcomes are tried to be written when the engine ends."""


class Engine:
    """Claims, dispatches and records until nothing is left that can be done now.

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
        self.dispatcher = Dispatcher(client, maximum)
        self.lease = LeaseKeeper(self.dispatcher)
        self.supply = Supply(
            self.dispatcher, self.lease.name, maximum, only_emergency=only_emergency
        )
        self.policy = Policy(maximum)
        self.buffer = OutcomeBuffer(self.lease.name)
        self.outage = DatabaseOutage()
        self.polling_changes = Interval(CHANGE_POLL_SECONDS, at_once=True)
        self.checking_stops = Interval(STOP_CHECK_SECONDS)
        self.sweeping = Interval(LEASE_SWEEP_SECONDS, at_once=True)
        self.showing_progress = Interval(PROGRESS_SECONDS)

    def run(self) -> None:
        """Work until there is nothing left to do now, or until asked to end.

        Raises DatabaseError when the database is gone for too long.
        """
        self.dispatcher.start()
        try:
            while not self.is_asked_to_end() and self._round():
                is_reading = self.supply.gate.is_reading
                self._collect(PAGE_POLL_SECONDS if is_reading else OUTCOME_POLL_SECONDS)
                self.dispatcher.send_due()
        finally:
            self._close()
        leases.wake_at_next_expiry()

    def _round(self) -> bool:
        """One round with the database; whether there may be more to do."""
        try:
            self._reclaim_unknown()
            claimed = self._use_database()
            more = bool(claimed or self.supply.leased) or self.supply.gate.is_reading
            more = more or self._has_more()
        except DatabaseError as error:
            self._do_without_database(error)
            return True
        self.outage.is_over()
        return more

    def _use_database(self) -> int:
        """All that needs the database; returns how many items were claimed."""
        if self.buffer.is_due(len(self.supply.leased)):
            self._write()
        self._apply_to_changes()
        self._compare()
        self._renew()
        if self.checking_stops.is_due():
            self._check_stops()
        if self.sweeping.is_due():
            self._sweep()
        if self.showing_progress.is_due():
            self._show_progress()
        if self.polling_changes.is_due():
            self.supply.poll()
            self._give_back(self.supply.preempted(), "Made way for something more urgent.")
        claimed = self.supply.refill()
        unsent, self.supply.unsent = self.supply.unsent, []
        self.buffer.add(unsent)
        return claimed

    # Items ------------------------------------------------------------------------------------

    def _collect(self, seconds: float) -> None:
        """Take the reports that have come in, waiting a moment for the first."""
        self._process(self.dispatcher.reports(seconds, GROUP_SIZE))
        under_way = len(self.supply.leased) - len(self.buffer)
        self._apply(self.policy.decide_denials(under_way))

    def _process(self, reports: Iterable[Report]) -> None:
        for report in reports:
            claimant = self.supply.claimant(report.outcome.assignment.change_id)
            self._apply(self.policy.decide(report, narrows_outreach=claimant.narrows))

    def _apply(self, decisions: Iterable[Decision]) -> None:
        for decision in decisions:
            match decision:
                case Settled():
                    self.buffer.add([decision])
                case Retry(assignment, seconds):
                    self.supply.leased[assignment.item_id] = assignment
                    claimant = self.supply.claimant(assignment.change_id)
                    self.dispatcher.send_later(claimant, assignment, seconds)
                case Wait(assignment, reason) | Halt(assignment, reason):
                    self.buffer.give_back([assignment, *self._unsent_of(assignment)], reason)
                case PutBack(assignment):
                    self.buffer.give_back([assignment], "")
                case _:
                    assert_never(decision)

    def _unsent_of(self, assignment: Assignment) -> list[Assignment]:
        """What else of its change was not sent yet, taken back from the dispatcher."""
        return self.dispatcher.take_back(lambda one: one.change_id == assignment.change_id)

    def _write(self) -> None:
        """Write what is known, forget its items, and end the changes that are through."""
        ended: set[UUID] = set()
        for assignments in self.buffer.write(self.supply.changes):
            self.supply.forget(assignments)
            ended |= {one.change_id for one in assignments}
        for key in ended:
            if not self.supply.has_leased(key):
                lifecycle.finish(self.supply.changes[key])

    def _give_back(self, assignments: Iterable[Assignment], why: str) -> None:
        if given_back := list(assignments):
            self.buffer.give_back(given_back, why)
            self._write()

    def _reclaim_unknown(self) -> None:
        """Once the database is back: work on what was claimed when it went."""
        if self.outage.is_on:
            leases.reclaim_unknown(self.lease.name, self.supply.leased.keys())

    def _renew(self) -> None:
        """Forget what another worker has taken over, but for what is under way."""
        if lost := self.lease.renew_when_due(self.supply.leased.keys()):
            self.supply.forget(self.dispatcher.take_back(lambda one: one.item_id in lost))

    # Changes ----------------------------------------------------------------------------------

    def _apply_to_changes(self) -> None:
        """Let changes wait, halt or go on, as their outcomes have shown."""
        policy = self.policy
        run_state.end_wait(
            self.supply.changes[key] for key in policy.answered - policy.held_up.keys()
        )
        policy.answered.clear()
        for key, decision in list(policy.held_up.items()):
            # What went well before must not look like the end of this.
            self._write()
            change = self.supply.changes[key]
            match decision:
                case Halt(_, reason):
                    self._halt(change, reason)
                case Wait(_, reason):
                    self._wait(change, reason)
                case _:
                    assert_never(decision)
            del policy.held_up[key]
        if policy.is_back:
            run_state.retry_waiting()
            policy.is_back = False

    def _compare(self) -> None:
        """Go on with comparing the mirror; where the vendor gives no list, the change waits."""
        for change, error in self.supply.gate.advance():
            if reason := run_state.halt_reason(error):
                self._halt(change, reason)
            else:
                self._wait(change, self.policy.outages.words(RequestKind.READ, error.message))

    def _halt(self, change: Change, reason: str) -> None:
        run_state.halt(change, reason)
        self._check_stops()

    def _wait(self, change: Change, reason: str) -> None:
        run_state.wait(change, reason)
        self._give_back(self.dispatcher.take_back(lambda one: one.change_id == change.pk), reason)

    def _check_stops(self) -> None:
        """Give back the items of changes that were stopped or have halted."""
        sending = {
            one.change_id for one in self.supply.leased.values() if one.mode is not Mode.READ_ONLY
        }
        if not sending:
            return
        ended = run_state.no_longer_sending(sending)
        off = {change.pk for change in ended}
        unsent = self.dispatcher.take_back(
            lambda one: one.change_id in off and one.mode is not Mode.READ_ONLY
        )
        self._give_back(unsent, "The change was stopped or halted.")
        for change in ended:
            lifecycle.sweep_stopped(change)

    def _show_progress(self) -> None:
        """Keep what people see of the speed and the counts up to date."""
        limit = self.dispatcher.limit
        in_flight = {
            "limit": limit.limit,
            "maximum": limit.maximum,
            "reason": limit.reason,
            "allowed_per_second": self.dispatcher.allowed_per_second,
        }
        running = self.supply.changes
        for change in running.values():
            lifecycle.refresh_counts(change)
        update_in_order(
            Change.objects.filter(pk__in=list(running), state=ChangeState.RUNNING),
            in_flight=in_flight,
        )

    def _sweep(self) -> None:
        """Take over what dead workers leased, start what is due, end what ended unnoticed."""
        leases.reclaim_expired(but=self.lease.name)
        if not self.only_emergency:
            lifecycle.queue_due()
            self._end_unnoticed()

    def _end_unnoticed(self) -> None:
        """Changes whose last item another worker settled, or that had nothing to send."""
        for change in leases.settled_but_not_ended(timezone.now()):
            if self.supply.prepare(change):
                lifecycle.finish(change)

    def _has_more(self) -> bool:
        """Whether there is still something to do now, though nothing is leased."""
        self._write()
        for change in self.supply.changes.values():
            lifecycle.refresh_counts(change)
        if not self.only_emergency:
            self._end_unnoticed()
        self.supply.poll()
        return leases.has_pending(timezone.now(), only_emergency=self.only_emergency)

    # A database that is gone, and the end -----------------------------------------------------

    def _do_without_database(self, error: DatabaseError) -> None:
        """Keep what becomes known, and send nothing new for long. Raises once it lasts too long."""
        self.outage.goes_on(error)
        if self.lease.is_half_over():
            # Others may soon take over what is leased, and must not find it being sent.
            self.buffer.give_back(self.dispatcher.take_back(), "The database was unavailable.")
        self._collect(DATABASE_RETRY_SECONDS)

    def _close(self) -> None:
        """Let what is under way settle, give back the rest, and end the threads."""
        unsent = self.dispatcher.close(longest_request_seconds())
        self._process(self.dispatcher.reports())
        self._apply(self.policy.decide_denials(0))
        self.buffer.give_back([*unsent, *self.dispatcher.take_back()], "The worker was shut down.")
        self._write_the_last()
        self.supply.gate.close()

    def _write_the_last(self) -> None:
        deadline = time.monotonic() + LAST_WRITE_SECONDS
        while True:
            try:
                self._reclaim_unknown()
                self._write()
                self._apply_to_changes()
                return
            except DatabaseError as error:
                self.outage.forget_connection()
                if time.monotonic() > deadline:
                    logger.error(
                        "%d outcomes could not be written (%s): reading the batches will tell.",
                        len(self.buffer),
                        error,
                    )
                    return
            time.sleep(DATABASE_RETRY_SECONDS)


def longest_request_seconds() -> float:
    """How long a request that is under way may take to settle."""
    return settings.SYLLABLE_CONNECT_TIMEOUT + settings.SYLLABLE_TIMEOUT
