"""One batch at the vendor: look, compare, send, and read what came of it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Final, assert_never

from django.utils import timezone

from batchops.models import ItemState
from batchops.services.attempts.assignments import Assignment, Found, Mode, RequestKind
from batchops.services.attempts.conclusions import (
    already_so,
    applied_unseen,
    foreseen,
    of_another_batch,
    was_carried_out,
    with_found,
)
from batchops.services.attempts.outcomes import (
    Denied,
    Failed,
    Halt,
    Outcome,
    PutBack,
    Report,
    Settled,
)
from batchops.services.runs.run_state import halt_reason
from batchops.syllable.client import SyllableClient
from batchops.syllable.errors import (
    MalformedReply,
    NotFound,
    Redirected,
    Refused,
    ReplyLost,
    SyllableError,
    Unauthorized,
)
from batchops.syllable.limits import InFlightLimit

UNREACHABLE: Final = "unreachable"
"""A try that never left; every other try may have been received by the vendor."""


class Attempt:
    """An assignment on its way to the vendor, carried one step further.

    `is_leased` is asked right before anything is sent: a process that stood still for longer than
    its lease must not send what others may have overtaken meanwhile.
    """

    def __init__(
        self,
        client: SyllableClient,
        limit: InFlightLimit,
        assignment: Assignment,
        is_leased: Callable[[], bool] = lambda: True,
    ) -> None:
        self._client = client
        self._limit = limit
        self._assignment = assignment
        self._is_leased = is_leased
        self._began = time.monotonic()

    def carry_out(self) -> Report:
        """Go as far as the assignment's mode allows. Never raises a vendor's error."""
        assignment = self._assignment
        match assignment.mode:
            case Mode.SEND_AT_ONCE:
                return Report.of(self._send(), after_reading=False)
            case Mode.COMPARE_AND_SEND if assignment.compared_at and not assignment.in_doubt:
                return Report.of(foreseen(assignment) or self._send(), after_reading=False)
            case Mode.COMPARE_AND_SEND:
                return Report.of(self._look_first(), after_reading=True)
            case Mode.LAST_LOOK | Mode.READ_ONLY:
                return Report.of(self._settle_by_reading(), after_reading=True)
            case _:
                assert_never(assignment.mode)

    # Sending ----------------------------------------------------------------------------------

    def _look_first(self) -> Outcome:
        sent_at = timezone.now()
        try:
            record = self._client.get_batch(self._assignment.batch_id).record
        except NotFound as error:
            gone = self._assignment.known.is_gone_by(sent_at)
            return self._unreadable(error) if gone else self._send()
        except SyllableError as error:
            return self._unreadable(error)
        assignment = self._assignment
        if (outcome := of_another_batch(assignment, record)) is not None:
            return replace(outcome, seen_at=sent_at, http_status=200)
        if was_carried_out(assignment, record):
            self._limit.succeeded()
            return replace(applied_unseen(assignment, record), seen_at=sent_at, http_status=200)
        if assignment.known.is_proven_by(record, sent_at):
            assignment = self._assignment = with_found(assignment, Found(record, sent_at))
        if (outcome := foreseen(assignment)) is not None:
            self._limit.succeeded()
            return replace(outcome, seen_at=sent_at, http_status=200)
        return self._send()

    def _send(self) -> Outcome:
        assignment = self._assignment
        if not self._is_leased():
            return PutBack(assignment)
        if assignment.base is None:
            # What was known before the first try stays what unrequested changes are judged by.
            known = assignment.known
            assignment = replace(assignment, base=known.values, judged=not known.is_in_doubt)
        self._assignment = assignment = replace(assignment, failed_reads=0)
        try:
            record = self._client.update_batch(assignment.batch_id, assignment.patch)
        except SyllableError as error:
            return self._failed_try(error)
        self._limit.succeeded()
        base = assignment.base
        unrequested = (
            assignment.patch.unrequested(base, record) if base and assignment.judged else ()
        )
        unmet = assignment.patch.unmet_by(record)
        message = (
            f"The vendor accepted it, but did not change: {', '.join(unmet)}." if unmet else ""
        )
        if unrequested:
            message = (
                f"{message} Changed without being requested: {', '.join(unrequested)}.".strip()
            )
        return Settled(
            assignment.tried("200", may_have_applied=False),
            ItemState.NOT_APPLIED if unmet else ItemState.APPLIED,
            message=message,
            http_status=200,
            record=record,
            unrequested=unrequested,
        )

    def _failed_try(self, error: SyllableError) -> Outcome:
        self._assignment = self._assignment.tried(
            _word(error), may_have_applied=error.may_have_applied
        )
        if isinstance(error, Unauthorized | Redirected):
            return self._denied(error, RequestKind.UPDATE)
        if isinstance(error, NotFound | Refused):
            return self._refused(error)
        return self._failed(error, RequestKind.UPDATE)

    # What came of it --------------------------------------------------------------------------

    def _failed(self, error: SyllableError, kind: RequestKind, message: str = "") -> Failed:
        """A request failed, and may be tried again."""
        retry_after = getattr(error, "retry_after", None)
        if error.http_status == 503:
            # Let all threads of the process go slower when the vendor is overloaded.
            self._limit.throttled(retry_after, http_status=503)
        return Failed(
            self._assignment,
            kind,
            message=message or error.message,
            http_status=error.http_status,
            retry_after=retry_after,
            began=self._began,
        )

    def _denied(self, error: Unauthorized | Redirected, kind: RequestKind) -> Outcome:
        """The key or the address seems wrong; one cheap read tells whether only for this batch."""
        try:
            self._client.list_batches(limit=1)
        except (Unauthorized, Redirected) as proof:
            return Halt(self._assignment, halt_reason(proof))
        except SyllableError:
            return self._failed(error, kind)
        if isinstance(error, Redirected):
            return self._failed(error, kind)
        words = error.words or "no reason"
        if kind is RequestKind.UPDATE:
            message = f"The vendor does not allow this batch to be changed: {words}"
            outcome = self._refused(Refused(message, http_status=error.http_status))
            match outcome:
                case Settled(state=ItemState.REFUSED):
                    return Denied(outcome)
                case _:
                    return outcome
        state = ItemState.REFUSED
        message = f"The vendor does not allow this batch to be read: {words}"
        if self._assignment.in_doubt:
            state = ItemState.FAILED
            message += " Whether an earlier try was carried out is not known."
        return Denied(
            Settled(self._assignment, state, message=message, http_status=error.http_status)
        )

    def _refused(self, error: SyllableError) -> Outcome:
        """The vendor said no. A GET tells whether the batch is gone, or an earlier try did it."""
        assignment = self._assignment
        refused = Settled(
            assignment, ItemState.REFUSED, message=error.message, http_status=error.http_status
        )
        if not (isinstance(error, NotFound) or assignment.in_doubt):
            return refused
        sent_at = timezone.now()
        try:
            record = self._client.get_batch(assignment.batch_id).record
        except NotFound:
            return replace(refused, gone=True)
        except SyllableError as unreadable:
            return self._unreadable(unreadable)
        if was_carried_out(assignment, record):
            return replace(applied_unseen(assignment, record), seen_at=sent_at, http_status=200)
        if not assignment.known.is_proven_by(record, sent_at):
            unknown = " Whether an earlier try was carried out is not known yet."
            return replace(refused, message=refused.message + (unknown * assignment.in_doubt))
        assignment = with_found(assignment, Found(record, sent_at))
        if assignment.patch.is_satisfied_by(record) and (known := already_so(assignment, record)):
            return replace(known, seen_at=sent_at, http_status=200)
        return replace(refused, record=record, seen_at=sent_at)

    def _settle_by_reading(self) -> Outcome:
        """Tries are used up, or the change was stopped: a GET decides what became of it."""
        sent_at = timezone.now()
        try:
            record = self._client.get_batch(self._assignment.batch_id).record
        except SyllableError as error:
            return self._unreadable(error)
        outcome = _settled_by(self._assignment, Found(record, sent_at))
        if isinstance(outcome, PutBack):
            return outcome
        return replace(outcome, seen_at=sent_at, http_status=200)

    def _unreadable(self, error: SyllableError) -> Outcome:
        """The batch could not be read: it is gone, the key is refused, or the vendor is down."""
        assignment = self._assignment
        if isinstance(error, Unauthorized | Redirected):
            return self._denied(error, RequestKind.READ)
        if isinstance(error, NotFound):
            return Settled(
                assignment,
                ItemState.REFUSED if assignment.tries else ItemState.SKIPPED,
                message="The vendor no longer knows this batch.",
                http_status=error.http_status,
                gone=True,
            )
        message = f"The batch cannot be read: {error.message}"
        self._assignment = replace(assignment, failed_reads=assignment.failed_reads + 1)
        if isinstance(error, Refused):
            return Settled(
                self._assignment,
                ItemState.FAILED,
                message=message,
                http_status=error.http_status,
            )
        return self._failed(error, RequestKind.READ, message)


def _settled_by(assignment: Assignment, found: Found) -> Settled | PutBack:
    record, is_stopped = found.record, assignment.mode is Mode.READ_ONLY
    if was_carried_out(assignment, record):
        return applied_unseen(assignment, record)
    if assignment.known.is_proven_by(record, found.sent_at):
        assignment = with_found(assignment, found)
        if assignment.patch.is_satisfied_by(record) and (known := already_so(assignment, record)):
            return known
    elif is_stopped:
        # It must not be sent again, and no answer proves anything yet.
        return PutBack(assignment)
    if is_stopped:
        message = "Stopped; the batch is not as requested."
        return Settled(assignment, ItemState.STOPPED, message=message, record=record)
    shown = assignment.found.record if assignment.found else None
    return Settled(assignment, ItemState.FAILED, message=_given_up(assignment), record=shown)


def _given_up(assignment: Assignment) -> str:
    """That it failed while others were served, and how each try was answered, in words."""
    known = assignment.found is not None or not assignment.in_doubt
    begins = "Not done" if known else "No clear answer"
    times = Counter(assignment.tries)
    words = ", ".join(f"{number} times {word}" for word, number in times.items())
    since = assignment.failing_since.get(RequestKind.UPDATE, 0.0)
    minutes = (time.monotonic() - since) / 60
    return (
        f"{begins} after {len(assignment.tries)} tries in {minutes:.0f} minutes ({words}), "
        "while the vendor carried out changes to other batches."
    )


def _word(error: SyllableError) -> str:
    """How a try was answered, for the trail."""
    if isinstance(error, ReplyLost):
        return "no reply"
    if isinstance(error, MalformedReply):
        return "unreadable reply"
    return str(error.http_status or UNREACHABLE)
