"""What a failed request means for its item: try again, wait with the others, or give it up."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Final

from batchops.models import ItemState
from batchops.services.push.assignments import Assignment, Outcome
from batchops.services.push.outages import Kind, Outages
from batchops.syllable.limits import backoff

RETRY_BASE_SECONDS: Final = 0.25
RETRY_CAP_SECONDS: Final = 20.0
"""Longest wait before an item is tried again, by batchops's own account."""
RETRY_AFTER_CAP_SECONDS: Final = 30.0
"""The same by the vendor's account, whatever it asks for."""
HURRIED_RETRY_AFTER_CAP_SECONDS: Final = 2.0
"""The same for what narrows outreach."""
DENIALS_IN_A_ROW: Final = 5
"""So many different batches refused for the key's sake, and none accepted, mean the key."""
DENIALS_KEPT_SECONDS: Final = 5.0
"""Longest time a denial is kept to see whether other batches are denied too."""


@dataclass(frozen=True, slots=True)
class TryAgain:
    """After so many seconds."""

    assignment: Assignment
    seconds: float


@dataclass(frozen=True, slots=True)
class WaitForVendor:
    """With all others of the change: the vendor serves nobody. `reason` is for people."""

    assignment: Assignment
    reason: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The batch itself is the reason."""

    outcome: Outcome


Verdict = TryAgain | WaitForVendor | GiveUp


def verdict(outages: Outages, outcome: Outcome, kind: Kind, *, is_hurried: bool) -> Verdict:
    """Judge a failed request of a kind, and take it into account for what follows."""
    assignment = _dated(outcome.assignment, kind, outcome.began)
    since = assignment.failing_since[kind]
    tries = _hard_tries(assignment, kind)
    throttled = outcome.http_status == 429
    outages.failed(kind, since, first_try=tries == 1, throttled=throttled)
    if outages.is_down(kind, probing=assignment.is_probe):
        return WaitForVendor(assignment, outages.words(kind, outcome.message))
    if outages.is_to_blame(kind, since, tries):
        if kind is Kind.READ:
            state = ItemState.FAILED
            return GiveUp(replace(outcome, assignment=assignment, failed=None, state=state))
        return TryAgain(replace(assignment, is_last_look=True), 0.0)
    return TryAgain(assignment, _seconds(outcome, tries, is_hurried))


def _dated(assignment: Assignment, kind: Kind, began: float) -> Assignment:
    """The assignment, with since when it fails."""
    since = dict(assignment.failing_since)
    if kind is Kind.READ and assignment.failed_reads <= 1:
        # The read before was answered.
        since.pop(kind, None)
    since.setdefault(kind, began)
    return replace(assignment, failing_since=since)


def _hard_tries(assignment: Assignment, kind: Kind) -> int:
    """How often it failed; being asked to slow down is no failure."""
    if kind is Kind.READ:
        return assignment.failed_reads
    return sum(word != "429" for word in assignment.tries)


def _seconds(outcome: Outcome, tries: int, is_hurried: bool) -> float:
    own = backoff(tries, base=RETRY_BASE_SECONDS, cap=RETRY_CAP_SECONDS)
    cap = HURRIED_RETRY_AFTER_CAP_SECONDS if is_hurried else RETRY_AFTER_CAP_SECONDS
    return max(own, min(outcome.retry_after or 0.0, cap))


class Denials:
    """Batches refused for the key's sake, kept until it is clear whether the key is meant.

    One batch may well be denied alone. Many in a row, while none is accepted, are the key's doing:
    it may read and not write.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: list[Outcome] = []
        self._since = 0.0
        self._is_key = False

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, outcome: Outcome) -> None:
        if not self._kept:
            self._since = self._clock()
        self._kept.append(outcome)
        self._is_key = self._is_key or len(self._kept) >= DENIALS_IN_A_ROW

    def accepted(self) -> list[Outcome]:
        """The vendor accepted an update; returns the denials, each of which stands for itself."""
        self._is_key = False
        return self._taken()

    def of_the_key(self) -> list[Outcome]:
        """The denials that the key is to blame for, as far as that is clear."""
        return self._taken() if self._is_key else []

    def of_the_batches(self, held: int) -> list[Outcome]:
        """The denials that stand for themselves, for an engine that holds so many items."""
        late = self._clock() - self._since >= DENIALS_KEPT_SECONDS
        return self._taken() if not self._is_key and (late or len(self._kept) >= held) else []

    def _taken(self) -> list[Outcome]:
        kept, self._kept = self._kept, []
        return kept


def denied_in_a_row(denials: Collection[Outcome]) -> str:
    """Why a change halts whose key is accepted, but denied batch after batch."""
    last = list(denials)[-1]
    what = "changes of" if last.assignment.tries else "reads of single"
    return (
        f"The vendor accepts the key for lists, but denied {len(denials)} {what} batches in a row "
        f"({last.http_status}: {last.message}) If the key should be allowed that, see to it first. "
        "Continue: what is denied again counts as refused."
    )
