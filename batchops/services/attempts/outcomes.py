"""What an attempt comes to: exactly one of five. Plain values, to be matched exhaustively."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field

from django.utils import timezone

from batchops.models import ItemState
from batchops.services.attempts.assignments import Assignment, RequestKind
from batchops.syllable.records import BatchRecord


@dataclass(frozen=True, slots=True)
class Settled:
    """How an item ended.

    `record` is the batch as the vendor showed it, seen at `seen_at`: for an update the reply's
    arrival, for a read its departure. `gone`: the vendor does not know the batch.
    """

    assignment: Assignment
    state: ItemState
    message: str = ""
    http_status: int | None = None
    record: BatchRecord | None = None
    seen_at: dt.datetime = field(default_factory=timezone.now)
    unrequested: tuple[str, ...] = ()
    gone: bool = False

    @property
    def by_reply(self) -> bool:
        """Whether the record is the reply to an update, not to a read."""
        return self.assignment.tries[-1:] == ("200",) and self.record is not None

    @property
    def moved_it(self) -> bool:
        """Whether the reply itself proves that this very update changed the batch."""
        shown, seen = self.record and self.record.last_updated_at, self._seen_updated_at
        known = self.assignment.known
        return (
            self.state == ItemState.APPLIED
            and self.by_reply
            and not known.is_in_doubt
            and bool(shown and seen and shown > seen)
            and not self.assignment.patch.is_satisfied_by(self.assignment.base or known.values)
        )

    @property
    def shows_updates_served(self) -> bool:
        """Whether the vendor gave an answer to an update, or carried one out unanswered."""
        answered = self.assignment.tries[-1:] == ("200",)
        refused = self.state == ItemState.REFUSED and bool(self.assignment.tries)
        return answered or refused or self.state == ItemState.APPLIED

    @property
    def _seen_updated_at(self) -> dt.datetime | None:
        found = self.assignment.found
        return found.record.last_updated_at if found else self.assignment.known.last_updated_at


@dataclass(frozen=True, slots=True)
class Denied:
    """Refused as if for the key's sake, though the key is accepted elsewhere.

    `refusal` is how the item ends, should the batch be meant and not the key.
    """

    refusal: Settled

    @property
    def assignment(self) -> Assignment:
        return self.refusal.assignment


@dataclass(frozen=True, slots=True)
class Failed:
    """A request failed and may be tried again, `retry_after` seconds later if the vendor said so.

    `began` is the moment of the monotonic clock at which the attempt began.
    """

    assignment: Assignment
    kind: RequestKind
    message: str
    http_status: int | None
    retry_after: float | None
    began: float


@dataclass(frozen=True, slots=True)
class Halt:
    """Nothing more may be sent of its change until a person has looked; `reason` says why."""

    assignment: Assignment
    reason: str


@dataclass(frozen=True, slots=True)
class PutBack:
    """It is for later, or for another worker."""

    assignment: Assignment


Outcome = Settled | Denied | Failed | Halt | PutBack


@dataclass(frozen=True, slots=True)
class Report:
    """What an attempt came to, and the kinds of request that the vendor served on the way."""

    outcome: Outcome
    served: tuple[RequestKind, ...] = ()

    @classmethod
    def of(cls, outcome: Outcome, *, after_reading: bool) -> Report:
        """`after_reading`: the attempt began with a read."""
        reads = (RequestKind.READ,) if after_reading else ()
        match outcome:
            case Halt() | Denied() | Failed(kind=RequestKind.READ):
                return cls(outcome)
            case Settled() if outcome.shows_updates_served:
                return cls(outcome, (*reads, RequestKind.UPDATE))
            case _:
                return cls(outcome, reads)
