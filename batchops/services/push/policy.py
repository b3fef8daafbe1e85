"""What follows from what an attempt came to: a decision for its item, and for its change."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final, assert_never
from uuid import UUID

from batchops.models import ItemState
from batchops.services.attempts.assignments import Assignment, Mode, RequestKind
from batchops.services.attempts.outcomes import (
    Denied,
    Failed,
    Halt,
    Outcome,
    PutBack,
    Report,
    Settled,
)
from batchops.services.push.denials import Denials
from batchops.services.push.outages import Outages
from batchops.services.runs import run_state
from batchops.syllable.limits import backoff

RETRY_BASE_SECONDS: Final = 0.25
RETRY_CAP_SECONDS: Final = 20.0
"""Longest wait before an item is tried again, by batchops's own account."""
RETRY_AFTER_CAP_SECONDS: Final = 30.0
"""The same by the vendor's account, whatever it asks for."""
NARROWING_RETRY_AFTER_CAP_SECONDS: Final = 2.0
"""The same for what narrows outreach."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Try an item again after so many seconds."""

    assignment: Assignment
    seconds: float


@dataclass(frozen=True, slots=True)
class Wait:
    """Put an item back, to wait with all others of its change; `reason` is for people."""

    assignment: Assignment
    reason: str


Decision = Settled | Retry | Wait | Halt | PutBack


class Policy:
    """Decides about items one by one, from what came of all of them.

    What it has learnt of whole changes is kept until it was applied: those that are `held_up`, and
    why, those that go on since the vendor has `answered`, and whether it `is_back` for everybody.
    `at_once` is how many requests may be under way together; `clock` returns seconds that never go
    back.
    """

    def __init__(self, at_once: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.outages = Outages(at_once, clock)
        self.denials = Denials(clock)
        self.held_up: dict[UUID, Wait | Halt] = {}
        self.answered: set[UUID] = set()
        self.is_back = False

    def decide(self, report: Report, *, narrows_outreach: bool) -> Iterator[Decision]:
        """What becomes of an item, and of those that were waiting for news of it.

        `narrows_outreach`: so does its change, which is tried again sooner.
        """
        outcome = report.outcome
        for kind in report.served:
            yield from self._served(kind, outcome)
        match outcome:
            case Failed():
                yield self._noted(self._judged(outcome, narrows_outreach=narrows_outreach))
            case Denied(refusal) if refusal.assignment.was_denied:
                yield refusal
            case Denied():
                self.denials.add(outcome)
            case Settled() | Halt() | PutBack():
                yield self._noted(outcome)
            case _:
                assert_never(outcome)

    def decide_denials(self, leased: int) -> Iterator[Decision]:
        """What becomes of batches that were denied, for an engine that has so many items leased."""
        if denied := self.denials.of_the_key():
            last = denied[-1].refusal
            reason = run_state.denied_in_a_row(
                len(denied), last.http_status, last.message, of_updates=bool(last.assignment.tries)
            )
            for one in denied:
                yield self._noted(Halt(replace(one.assignment, was_denied=True), reason))
        yield from (one.refusal for one in self.denials.of_the_batches(leased))

    def _served(self, kind: RequestKind, outcome: Outcome) -> Iterator[Decision]:
        assignment = outcome.assignment
        tries = assignment.failed_reads + 1 if kind is RequestKind.READ else len(assignment.tries)
        was_down = self.outages.served(kind, first_try=tries <= 1)
        if kind is RequestKind.UPDATE:
            yield from (one.refusal for one in self.denials.accepted())
        # A probe may be served its read, and fail after all.
        is_through = isinstance(outcome, Settled)
        self.is_back = self.is_back or was_down or (assignment.is_probe and is_through)
        if is_through:
            self.answered.add(assignment.change_id)

    def _judged(self, failed: Failed, *, narrows_outreach: bool) -> Settled | Retry | Wait:
        """Whose fault a failure is, and so what follows from it."""
        kind, assignment = failed.kind, _dated(failed)
        since, tries = assignment.failing_since[kind], _hard_tries(assignment, kind)
        throttled = failed.http_status == 429
        self.outages.failed(kind, since, first_try=tries == 1, throttled=throttled)
        is_down = self.outages.is_down(kind, probing=assignment.is_probe)
        match is_down, self.outages.is_batch_at_fault(kind, since, tries), kind:
            case True, _, _:
                return Wait(assignment, self.outages.words(kind, failed.message))
            case False, True, RequestKind.READ:
                return Settled(
                    assignment, ItemState.FAILED, failed.message, http_status=failed.http_status
                )
            case False, True, _:
                return Retry(replace(assignment, mode=Mode.LAST_LOOK), 0.0)
            case _:
                return Retry(assignment, _seconds(failed, tries, narrows_outreach=narrows_outreach))

    def _noted(self, decision: Decision) -> Decision:
        """Take into account what a decision means for the whole change."""
        match decision:
            case Wait() | Halt():
                self.held_up[decision.assignment.change_id] = decision
            case Retry(assignment):
                # Others are served, so the rest of the change need not wait for this batch.
                self.answered.add(assignment.change_id)
            case Settled() | PutBack():
                pass
            case _:
                assert_never(decision)
        return decision


def _dated(failed: Failed) -> Assignment:
    """The assignment, with since when it fails."""
    assignment, kind = failed.assignment, failed.kind
    since = dict(assignment.failing_since)
    if kind is RequestKind.READ and assignment.failed_reads <= 1:
        # The read before was answered.
        since.pop(kind, None)
    since.setdefault(kind, failed.began)
    return replace(assignment, failing_since=since)


def _hard_tries(assignment: Assignment, kind: RequestKind) -> int:
    """How often it failed; being asked to slow down is no failure."""
    if kind is RequestKind.READ:
        return assignment.failed_reads
    return sum(word != "429" for word in assignment.tries)


def _seconds(failed: Failed, tries: int, *, narrows_outreach: bool) -> float:
    own = backoff(tries, base=RETRY_BASE_SECONDS, cap=RETRY_CAP_SECONDS)
    cap = NARROWING_RETRY_AFTER_CAP_SECONDS if narrows_outreach else RETRY_AFTER_CAP_SECONDS
    return max(own, min(failed.retry_after or 0.0, cap))
