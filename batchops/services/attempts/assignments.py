"""What a thread of the dispatcher is given: plain values, no database."""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from batchops.models import Change, ChangeItem, ChangeState
from batchops.services.mirror.evidence import Known
from batchops.syllable.patch import BatchPatch, Values
from batchops.syllable.records import BatchRecord

NO_CLEAR_ANSWER: Final = "Sent, without a clear answer so far."
"""What an item says that left, and whose outcome is open."""
DENIED_SO_FAR: Final = "Denied, as others were; the key may be the reason."
"""What an item says that was denied when its change halted for the key's sake."""


class RequestKind(enum.StrEnum):
    """What is asked of the vendor, in the words that people read."""

    READ = "reads"
    UPDATE = "changes"

    @property
    def other(self) -> RequestKind:
        return RequestKind.UPDATE if self is RequestKind.READ else RequestKind.READ


class Mode(enum.Enum):
    """How far an attempt may go."""

    COMPARE_AND_SEND = enum.auto()
    SEND_AT_ONCE = enum.auto()
    """An emergency: nothing is read before."""
    LAST_LOOK = enum.auto()
    """It was tried often enough: find out what became of it, and settle it."""
    READ_ONLY = enum.auto()
    """Its change was stopped: only find out what became of it."""

    @classmethod
    def of(cls, change: Change) -> Mode:
        """How items of a change are taken up in its present state."""
        if change.state == ChangeState.STOPPED:
            return cls.READ_ONLY
        is_emergency = change.priority == Change.Priority.EMERGENCY
        return cls.SEND_AT_ONCE if is_emergency else cls.COMPARE_AND_SEND


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
    `was_denied`: a person went on with it after that. `is_probe`: its change waits for the vendor.
    `tries` holds how each PUT of this round was answered, `failed_reads` how many GETs in a row
    were not, `failing_since` moments of the monotonic clock. `found` is what a GET showed that is
    provably no older than what was known. `base` is what was provably there before anything of this
    item was sent; where it is not `judged`, others may have moved the fields that are left alone.
    """

    item_id: int
    change_id: uuid.UUID
    batch_id: str
    patch: BatchPatch
    before: Values
    expected: Values
    known: Known
    mode: Mode = Mode.COMPARE_AND_SEND
    compared_at: dt.datetime | None = None
    own_names: frozenset[str] = frozenset()
    campaign_id: int | None = None
    rounds: int = 1
    in_doubt: bool = False
    was_sent: bool = False
    was_denied: bool = False
    tries: tuple[str, ...] = ()
    failed_reads: int = 0
    found: Found | None = None
    base: Values | None = None
    judged: bool = True
    failing_since: Mapping[RequestKind, float] = field(default_factory=dict)
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
            mode=Mode.of(change),
            compared_at=compared_at,
            own_names=own_names,
            campaign_id=item.batch.campaign_id,
            rounds=item.attempts,
            in_doubt=item.attempts > 1,
            was_sent=item.message == NO_CLEAR_ANSWER,
            was_denied=item.message == DENIED_SO_FAR,
            is_probe=change.waiting_since is not None,
        )

    @property
    def may_be_sent(self) -> bool:
        """Whether it may be sent once more, to learn from the reply."""
        return self.mode in (Mode.COMPARE_AND_SEND, Mode.SEND_AT_ONCE)

    def tried(self, word: str, *, may_have_applied: bool) -> Assignment:
        """The same after one more PUT, answered so."""
        tried = replace(self, tries=(*self.tries, word))
        if not may_have_applied:
            return tried
        return replace(tried, in_doubt=True, known=self.known.doubted())
