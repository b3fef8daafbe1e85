"""What a thread of the push engine is given, and what it hands back: plain values, no database."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from django.utils import timezone

from batchops.models import Change, ChangeItem, ChangeState, ItemState
from batchops.services.mirror.evidence import Known
from batchops.services.push.outages import Kind
from batchops.syllable.patch import BatchPatch, Values
from batchops.syllable.records import BatchRecord

NO_CLEAR_ANSWER: Final = "Sent, without a clear answer so far."
"""What an item says that left, and whose outcome is open."""
DENIED_SO_FAR: Final = "Denied, as were others; that may be for the sake of the key."
"""What an item says that was denied when its change halted for the key's sake."""


@dataclass(frozen=True, slots=True)
class Found:
    """A batch as a GET showed it whose request left at `sent_at` (UTC)."""

    record: BatchRecord
    sent_at: dt.datetime


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a thread is to do: one item, and what is known of its batch.

    `known` is what the mirror holds, compared with the vendor by reads sent after `compared_at`;
    None: read the batch first. `before` is what the person saw, `expected` the same with what our
    own earlier changes have made of it since. `own_names` are those that changes made with our key
    are shown under. `rounds` counts how often the item was taken up, this time included.
    `in_doubt`: an earlier try may have been carried out, and with `was_sent` has left for certain.
    `was_denied`: a person went on with it after that. `read_only`: the change was stopped, so only
    find out what became of it. `tries` holds how each PUT of this round was answered,
    `failed_reads` how many GETs in a row were not. `found` is what a GET showed that is provably no
    older than what was known. `base` is what was provably there before anything of this item was
    sent; where it is not `judged`, others may have moved the fields that are left alone. `began` is
    a moment of the monotonic clock.
    """

    item_id: int
    change_id: uuid.UUID
    batch_id: str
    patch: BatchPatch
    before: Values
    expected: Values
    known: Known
    compared_at: dt.datetime | None = None
    own_names: frozenset[str] = frozenset()
    campaign_id: int | None = None
    rounds: int = 1
    in_doubt: bool = False
    was_sent: bool = False
    was_denied: bool = False
    read_only: bool = False
    urgent: bool = False
    tries: tuple[str, ...] = ()
    failed_reads: int = 0
    found: Found | None = None
    base: Values | None = None
    judged: bool = True
    failing_since: Mapping[Kind, float] = field(default_factory=dict)
    is_last_look: bool = False
    is_probe: bool = False

    @classmethod
    def of(
        cls,
        item: ChangeItem,
        change: Change,
        patch: BatchPatch,
        compared_at: dt.datetime | None,
        own_names: frozenset[str],
        expected: Values | None = None,
    ) -> Assignment:
        """What is to be done for an item that was just claimed; `patch` is the change's."""
        return cls(
            item_id=item.pk,
            change_id=change.pk,
            batch_id=item.batch_id,
            patch=patch if item.patch_json is None else item.requested(change),
            before=item.before,
            expected=expected or item.before,
            known=Known.of(item.batch),
            compared_at=compared_at,
            own_names=own_names,
            campaign_id=item.batch.campaign_id,
            rounds=item.attempts,
            in_doubt=item.attempts > 1,
            was_sent=item.message == NO_CLEAR_ANSWER,
            was_denied=item.message == DENIED_SO_FAR,
            read_only=change.state == ChangeState.STOPPED,
            is_probe=change.waiting_since is not None,
            urgent=change.priority == Change.Priority.EMERGENCY,
        )

    @property
    def may_be_sent(self) -> bool:
        """Whether it may be sent once more, to learn from the reply."""
        return not (self.read_only or self.is_last_look)

    def tried(self, word: str, *, may_have_applied: bool) -> Assignment:
        """The same after one more PUT, answered so."""
        tried = replace(self, tries=(*self.tries, word))
        if not may_have_applied:
            return tried
        return replace(tried, in_doubt=True, known=self.known.doubted())


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an attempt came to: a settled state, or what else has to happen.

    Exactly one of `state`, `failed`, `halt` and `put_back` is set: how it ended, the kind of
    request that failed and may be tried again (`retry_after` seconds later, if the vendor said so),
    why nothing more may be sent, or that it is for later. `denied`: refused for the key's sake,
    though the key is accepted elsewhere. `looked`: a read was answered on the way. `began`: the
    moment (monotonic clock) at which a failure's attempt began. `record` is the batch as the vendor
    showed it, seen at `seen_at`: for a write the reply's arrival, for a read its departure.
    """

    assignment: Assignment
    state: ItemState | None = None
    failed: Kind | None = None
    halt: str = ""
    put_back: bool = False
    denied: bool = False
    looked: bool = False
    message: str = ""
    http_status: int | None = None
    retry_after: float | None = None
    began: float = 0.0
    record: BatchRecord | None = None
    seen_at: dt.datetime = field(default_factory=timezone.now)
    unrequested: tuple[str, ...] = ()
    gone: bool = False

    @property
    def served(self) -> tuple[Kind, ...]:
        """The kinds of request to which the vendor gave an answer for this batch."""
        reads = (Kind.READ,) if self.looked else ()
        answered = self.assignment.tries[-1:] == ("200",)
        refused = (
            self.state == ItemState.REFUSED and bool(self.assignment.tries) and not self.denied
        )
        # Also what was carried out and never answered was served.
        carried_out = self.state == ItemState.APPLIED
        return (*reads, Kind.WRITE) if answered or refused or carried_out else reads

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
    def _seen_updated_at(self) -> dt.datetime | None:
        found = self.assignment.found
        return found.record.last_updated_at if found else self.assignment.known.last_updated_at
