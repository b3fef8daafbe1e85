"""One batch at the vendor: look, compare, send, and read what came of it.

Runs in the threads of the push engine and touches no database.
"""

from __future__ import annotations

import datetime as dt
import time
import uuid
from dataclasses import dataclass, field, replace
from typing import Final

from django.utils import timezone

from batchops.models import ENDED_STATUSES, ChangeItem
from batchops.services.effects import NEEDS_EXPIRY, SHARED_ID, revives
from batchops.syllable.client import SyllableClient
from batchops.syllable.errors import (
    MalformedReply,
    NotFound,
    RateLimited,
    Redirected,
    Refused,
    ReplyLost,
    SyllableError,
    Unauthorized,
)
from batchops.syllable.pacing import InFlightLimit
from batchops.syllable.patch import BatchPatch, Values
from batchops.syllable.records import BatchRecord

State = ChangeItem.State

MAX_TRIES: Final = 5
"""How often a PUT is tried before a GET decides what became of it."""
MAX_READS: Final = 6
"""How often in a row a GET is tried."""
UNREACHABLE: Final = "unreachable"
"""A try that never left; every other try may have been received by the vendor."""


@dataclass(frozen=True, slots=True)
class Found:
    """A batch as a GET showed it whose request left at `sent_at` (UTC)."""

    record: BatchRecord
    sent_at: dt.datetime


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a thread is to do: one item, and what is known of its batch.

    `known` holds the freshest values when they were just read; None: read the batch first.
    `rounds` counts how often the item was taken up, this time included. `in_doubt`: an earlier
    try may have been carried out. `read_only`: the change was stopped, so only find out what
    became of it. `tries` holds how each PUT of this round was answered, `failed_reads` how many
    GETs in a row were not. `found` is how the batch was before anything was sent, where it was
    read. `began` is a moment of the monotonic clock.
    """

    item_id: int
    change_id: uuid.UUID
    batch_id: str
    patch: BatchPatch
    before: Values
    known: Values | None
    known_status: str = ""
    campaign_id: int | None = None
    rounds: int = 1
    in_doubt: bool = False
    read_only: bool = False
    urgent: bool = False
    tries: tuple[str, ...] = ()
    failed_reads: int = 0
    found: Found | None = None
    began: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an attempt came to: a settled state, or what else has to happen.

    Exactly one of `state`, `retry`, `wait`, `halt` and `put_back` is set. `exhausted`: it failed
    because tries were used up, maybe since the vendor is down. `record` is the batch as the
    vendor showed it, seen at `seen_at`: for a write the reply's arrival, for a read its departure.
    """

    assignment: Assignment
    state: ChangeItem.State | None = None
    retry: bool = False
    wait: str = ""
    halt: str = ""
    put_back: bool = False
    exhausted: bool = False
    message: str = ""
    http_status: int | None = None
    record: BatchRecord | None = None
    seen_at: dt.datetime = field(default_factory=timezone.now)
    unasked: tuple[str, ...] = ()
    gone: bool = False

    @property
    def answered(self) -> bool:
        """Whether the vendor is there and does what it should."""
        return self.state is not None and self.http_status is not None and not self.exhausted


def attempt(client: SyllableClient, limit: InFlightLimit, assignment: Assignment) -> Outcome:
    """Carry an assignment one step further. Never raises a vendor's error: it is an outcome."""
    if len(assignment.tries) >= MAX_TRIES or assignment.read_only:
        return _settle_by_reading(client, limit, assignment)
    if assignment.known is None or (assignment.in_doubt and not assignment.urgent):
        return _look_first(client, limit, assignment)
    return foreseen(assignment, assignment.known, assignment.known_status) or _send(
        client, limit, assignment, assignment.known
    )


def foreseen(
    assignment: Assignment, now: Values, status: str, record: BatchRecord | None = None
) -> Outcome | None:
    """The outcome that needs no request: already so, changed meanwhile, ended. None: send it."""
    patch = assignment.patch
    if record is not None and assignment.campaign_id not in (None, record.campaign_id):
        return Outcome(assignment, State.SKIPPED, message=SHARED_ID)
    if record is not None and record.deleted_at is not None:
        return Outcome(assignment, State.SKIPPED, message="Deleted at the vendor.", record=record)
    if assignment.urgent:
        return None
    if patch.is_satisfied_by(now):
        return _already(assignment, record)
    if status in ENDED_STATUSES and not (status == "EXPIRED" and revives(patch)):
        message = f"{status.capitalize()} meanwhile: nothing is sent out any more."
        return Outcome(assignment, State.SKIPPED, message=message, record=record)
    if fields := patch.conflicts(assignment.before, now):
        message = f"Changed meanwhile: {', '.join(fields)}. Review it again."
        return Outcome(assignment, State.CONFLICT, message=message, record=record)
    if patch.auto_call_rate is True and patch.applied_to(now).expires_on is None:
        return Outcome(assignment, State.SKIPPED, message=NEEDS_EXPIRY, record=record)
    return None


def halting(error: SyllableError) -> str:
    """Why nothing more may be sent until a person has looked; empty for other errors."""
    if isinstance(error, Unauthorized):
        return f"The vendor does not accept the key ({error.http_status}). Mend it, then continue."
    if isinstance(error, Redirected):
        return (
            f"The vendor's address answers with a redirect to {error.target_host}. "
            "Nothing was sent there. Mend SYLLABLE_BASE_URL, then continue."
        )
    return ""


def _already(assignment: Assignment, record: BatchRecord | None) -> Outcome:
    if not (assignment.in_doubt or assignment.tries):
        message = "Already so at the vendor."
        return Outcome(assignment, State.UNCHANGED, message=message, record=record)
    known = assignment.known
    return Outcome(
        assignment,
        State.APPLIED,
        message="As asked when read back; the reply to an earlier try was lost.",
        record=record,
        unasked=assignment.patch.unasked(known, record) if known and record else (),
    )


def _look_first(client: SyllableClient, limit: InFlightLimit, assignment: Assignment) -> Outcome:
    sent_at = timezone.now()
    try:
        record = client.get_batch(assignment.batch_id).record
    except SyllableError as error:
        return _unreadable(client, limit, assignment, error)
    now = Values.of(record)
    if not (assignment.in_doubt or assignment.tries):
        # Nothing of ours was sent yet, so what differs from the mirror was done by others.
        assignment = replace(assignment, found=Found(record, sent_at))
    outcome = foreseen(assignment, now, record.status, record)
    if outcome is not None:
        limit.succeeded()
        return replace(outcome, seen_at=sent_at, http_status=200)
    return _send(client, limit, assignment, now)


def _send(
    client: SyllableClient, limit: InFlightLimit, assignment: Assignment, known: Values
) -> Outcome:
    # What was known before the first try stays what unasked changes are judged by.
    base = assignment.known or known
    assignment = replace(assignment, known=base, failed_reads=0)
    try:
        record = client.update_batch(assignment.batch_id, assignment.patch)
    except SyllableError as error:
        return _failed_try(client, limit, assignment, error)
    limit.succeeded()
    unasked = assignment.patch.unasked(base, record)
    unmet = assignment.patch.unmet_by(record)
    message = f"The vendor accepted it, but did not change: {', '.join(unmet)}." if unmet else ""
    if unasked:
        message = f"{message} Moved without being asked to: {', '.join(unasked)}.".strip()
    return Outcome(
        replace(assignment, tries=(*assignment.tries, "200")),
        State.NOT_APPLIED if unmet else State.APPLIED,
        message=message,
        http_status=200,
        record=record,
        unasked=unasked,
    )


def _failed_try(
    client: SyllableClient, limit: InFlightLimit, assignment: Assignment, error: SyllableError
) -> Outcome:
    tried = replace(assignment, tries=(*assignment.tries, _word(error)))
    if reason := halting(error):
        return Outcome(tried, halt=reason, http_status=error.http_status)
    if isinstance(error, NotFound | Refused):
        return _refused(client, limit, tried, error)
    _slow_down(limit, error)
    in_doubt = assignment.in_doubt or error.may_have_applied
    return Outcome(
        replace(tried, in_doubt=in_doubt),
        retry=True,
        message=error.message,
        http_status=error.http_status,
    )


def _refused(
    client: SyllableClient, limit: InFlightLimit, assignment: Assignment, error: SyllableError
) -> Outcome:
    """The vendor said no. A GET tells whether the batch is gone, or an earlier try did it."""
    refused = Outcome(
        assignment, State.REFUSED, message=error.message, http_status=error.http_status
    )
    if not (isinstance(error, NotFound) or assignment.in_doubt):
        return refused
    sent_at = timezone.now()
    try:
        record = client.get_batch(assignment.batch_id).record
    except NotFound:
        return replace(refused, gone=True)
    except SyllableError as unreadable:
        return _unreadable(client, limit, assignment, unreadable)
    if assignment.in_doubt and assignment.patch.is_satisfied_by(record):
        return replace(_already(assignment, record), seen_at=sent_at, http_status=200)
    return replace(refused, record=record, seen_at=sent_at)


def _settle_by_reading(
    client: SyllableClient, limit: InFlightLimit, assignment: Assignment
) -> Outcome:
    """Tries are used up, or the change was stopped: a GET decides what became of it."""
    sent_at = timezone.now()
    try:
        record = client.get_batch(assignment.batch_id).record
    except SyllableError as error:
        return _unreadable(client, limit, assignment, error)
    if assignment.patch.is_satisfied_by(record):
        outcome = _already(assignment, record)
    elif assignment.read_only:
        message = "Stopped; the batch is not as asked."
        outcome = Outcome(assignment, State.STOPPED, message=message, record=record)
    elif assignment.tries[-1] == "429":
        return Outcome(assignment, wait="The vendor lets no more requests through (429).")
    else:
        message = f"Not done after {len(assignment.tries)} tries ({', '.join(assignment.tries)})."
        outcome = Outcome(assignment, State.FAILED, message=message, record=record, exhausted=True)
    return replace(outcome, seen_at=sent_at, http_status=200)


def _unreadable(
    client: SyllableClient, limit: InFlightLimit, assignment: Assignment, error: SyllableError
) -> Outcome:
    """The batch could not be read: it is gone, the key is refused, or the vendor is down."""
    if reason := halting(error):
        return Outcome(assignment, halt=reason, http_status=error.http_status)
    if isinstance(error, NotFound):
        return Outcome(
            assignment,
            State.REFUSED if assignment.tries else State.SKIPPED,
            message="The vendor does not know this batch any more.",
            http_status=error.http_status,
            gone=True,
        )
    message = f"The batch cannot be read: {error.message}"
    if isinstance(error, Refused):
        return Outcome(assignment, State.FAILED, message=message, http_status=error.http_status)
    _slow_down(limit, error)
    assignment = replace(assignment, failed_reads=assignment.failed_reads + 1)
    if assignment.failed_reads < MAX_READS:
        return Outcome(assignment, retry=True, message=message, http_status=error.http_status)
    if isinstance(error, MalformedReply) and _answers(client):
        return Outcome(assignment, State.FAILED, message=message, exhausted=True)
    return Outcome(assignment, wait=error.message, http_status=error.http_status)


def _answers(client: SyllableClient) -> bool:
    """Whether the vendor answers anything at all: if not, this batch is not to blame."""
    try:
        client.list_batches(limit=1)
    except SyllableError:
        return False
    return True


def _word(error: SyllableError) -> str:
    """How a try was answered, for the trail."""
    if isinstance(error, ReplyLost):
        return "no reply"
    if isinstance(error, MalformedReply):
        return "unreadable reply"
    return str(error.http_status or UNREACHABLE)


def _slow_down(limit: InFlightLimit, error: SyllableError) -> None:
    """Let all threads of the process go slower when the vendor is overloaded."""
    if isinstance(error, RateLimited) or error.http_status == 503:
        limit.throttled(getattr(error, "retry_after", None), http_status=error.http_status or 429)
