"""One batch at the vendor: look, compare, send, and read what came of it.

Runs in the threads of the push engine and touches no database.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from django.utils import timezone

from batchops.models import ItemState
from batchops.services.push.assignments import Assignment, Found, Outcome
from batchops.services.push.conclusions import (
    already_so,
    applied_unseen,
    foreseen,
    of_another_batch,
    was_carried_out,
    with_found,
)
from batchops.services.push.outages import Kind
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
from batchops.syllable.limits import InFlightLimit

UNREACHABLE: Final = "unreachable"
"""A try that never left; every other try may have been received by the vendor."""


def attempt(
    client: SyllableClient,
    limit: InFlightLimit,
    assignment: Assignment,
    is_ours: Callable[[], bool] = lambda: True,
) -> Outcome:
    """Carry an assignment one step further. Never raises a vendor's error: it is an outcome.

    `is_ours` is asked right before anything is sent: whether its lease lasts still. A process that
    stood still for longer than that must not send what others may have overtaken meanwhile.
    """
    if not assignment.may_be_sent:
        return _looked(_settle_by_reading(client, limit, assignment))
    if assignment.urgent:
        return _send(client, limit, assignment, is_ours)
    if assignment.compared_at is None or assignment.in_doubt:
        return _looked(_look_first(client, limit, assignment, is_ours))
    return foreseen(assignment) or _send(client, limit, assignment, is_ours)


def _looked(outcome: Outcome) -> Outcome:
    """Mark what came of an attempt that began with a read."""
    unanswered = outcome.failed is Kind.READ or outcome.halt or outcome.denied
    return outcome if unanswered else replace(outcome, looked=True)


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


def _look_first(
    client: SyllableClient,
    limit: InFlightLimit,
    assignment: Assignment,
    is_ours: Callable[[], bool],
) -> Outcome:
    sent_at = timezone.now()
    try:
        record = client.get_batch(assignment.batch_id).record
    except NotFound as error:
        if assignment.known.is_gone_by(sent_at):
            return _unreadable(client, limit, assignment, error)
        return _send(client, limit, assignment, is_ours)
    except SyllableError as error:
        return _unreadable(client, limit, assignment, error)
    if (outcome := of_another_batch(assignment, record)) is not None:
        return replace(outcome, seen_at=sent_at, http_status=200)
    if was_carried_out(assignment, record):
        limit.succeeded()
        return replace(applied_unseen(assignment, record), seen_at=sent_at, http_status=200)
    if assignment.known.is_proven_by(record, sent_at):
        assignment = with_found(assignment, Found(record, sent_at))
    if (outcome := foreseen(assignment)) is not None:
        limit.succeeded()
        return replace(outcome, seen_at=sent_at, http_status=200)
    return _send(client, limit, assignment, is_ours)


def _send(
    client: SyllableClient,
    limit: InFlightLimit,
    assignment: Assignment,
    is_ours: Callable[[], bool],
) -> Outcome:
    if not is_ours():
        return Outcome(assignment, put_back=True)
    if assignment.base is None:
        # What was known before the first try stays what unrequested changes are judged by.
        known = assignment.known
        assignment = replace(assignment, base=known.values, judged=not known.is_in_doubt)
    assignment = replace(assignment, failed_reads=0)
    try:
        record = client.update_batch(assignment.batch_id, assignment.patch)
    except SyllableError as error:
        return _failed_try(client, limit, assignment, error)
    limit.succeeded()
    base = assignment.base
    unrequested = assignment.patch.unrequested(base, record) if base and assignment.judged else ()
    unmet = assignment.patch.unmet_by(record)
    message = f"The vendor accepted it, but did not change: {', '.join(unmet)}." if unmet else ""
    if unrequested:
        message = f"{message} Changed without being requested: {', '.join(unrequested)}.".strip()
    return Outcome(
        assignment.tried("200", may_have_applied=False),
        ItemState.NOT_APPLIED if unmet else ItemState.APPLIED,
        message=message,
        http_status=200,
        record=record,
        unrequested=unrequested,
    )


def _failed_try(
    client: SyllableClient, limit: InFlightLimit, assignment: Assignment, error: SyllableError
) -> Outcome:
    tried = assignment.tried(_word(error), may_have_applied=error.may_have_applied)
    if isinstance(error, Unauthorized | Redirected):
        return _denied(client, limit, tried, error, Kind.WRITE)
    if isinstance(error, NotFound | Refused):
        return _refused(client, limit, tried, error)
    return _failed(limit, tried, error, Kind.WRITE)


def _failed(
    limit: InFlightLimit, assignment: Assignment, error: SyllableError, kind: Kind
) -> Outcome:
    """A request failed, and may be tried again."""
    retry_after = getattr(error, "retry_after", None)
    if isinstance(error, RateLimited) or error.http_status == 503:
        # Let all threads of the process go slower when the vendor is overloaded.
        limit.throttled(retry_after, http_status=error.http_status or 429)
    return Outcome(
        assignment,
        failed=kind,
        message=error.message,
        http_status=error.http_status,
        retry_after=retry_after,
    )


def _denied(
    client: SyllableClient,
    limit: InFlightLimit,
    assignment: Assignment,
    error: Unauthorized | Redirected,
    kind: Kind,
) -> Outcome:
    """The key or the address seems wrong; one cheap read tells whether only for this batch."""
    try:
        client.list_batches(limit=1)
    except (Unauthorized, Redirected) as proof:
        return Outcome(assignment, halt=halting(proof), http_status=proof.http_status)
    except SyllableError:
        return _failed(limit, assignment, error, kind)
    if isinstance(error, Redirected):
        return _failed(limit, assignment, error, kind)
    if kind is Kind.WRITE:
        message = f"The vendor does not let this batch be changed: {error.words or 'no reason'}"
        refusal = Refused(message, http_status=error.http_status)
        outcome = _refused(client, limit, assignment, refusal)
        return replace(outcome, denied=outcome.state == ItemState.REFUSED)
    message = f"The vendor does not let this batch be read: {error.words or 'no reason'}"
    if assignment.in_doubt:
        message += " Whether an earlier try was carried out is not known."
    state = ItemState.FAILED if assignment.in_doubt else ItemState.REFUSED
    return Outcome(assignment, state, message=message, http_status=error.http_status, denied=True)


def _refused(
    client: SyllableClient, limit: InFlightLimit, assignment: Assignment, error: SyllableError
) -> Outcome:
    """The vendor said no. A GET tells whether the batch is gone, or an earlier try did it."""
    refused = Outcome(
        assignment, ItemState.REFUSED, message=error.message, http_status=error.http_status
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
    if was_carried_out(assignment, record):
        return replace(applied_unseen(assignment, record), seen_at=sent_at, http_status=200)
    if not assignment.known.is_proven_by(record, sent_at):
        unknown = " Whether an earlier try was carried out is not known yet."
        return replace(refused, message=refused.message + (unknown * assignment.in_doubt))
    assignment = with_found(assignment, Found(record, sent_at))
    if assignment.patch.is_satisfied_by(record) and (known := already_so(assignment, record)):
        return replace(known, seen_at=sent_at, http_status=200)
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
    outcome = _settled_by(assignment, Found(record, sent_at))
    return replace(outcome, seen_at=sent_at, http_status=200)


def _settled_by(assignment: Assignment, found: Found) -> Outcome:
    record = found.record
    if was_carried_out(assignment, record):
        return applied_unseen(assignment, record)
    if assignment.known.is_proven_by(record, found.sent_at):
        assignment = with_found(assignment, found)
        if assignment.patch.is_satisfied_by(record) and (known := already_so(assignment, record)):
            return known
    elif assignment.read_only:
        # It must not be sent again, and no answer proves anything yet.
        return Outcome(assignment, put_back=True)
    if assignment.read_only:
        message = "Stopped; the batch is not as requested."
        return Outcome(assignment, ItemState.STOPPED, message=message, record=record)
    shown = assignment.found.record if assignment.found else None
    return Outcome(assignment, ItemState.FAILED, message=_given_up(assignment), record=shown)


def _given_up(assignment: Assignment) -> str:
    """That it failed while others were served, and how each try was answered, in words."""
    known = assignment.found is not None or not assignment.in_doubt
    begins = "Not done" if known else "No clear answer"
    times = Counter(assignment.tries)
    words = ", ".join(f"{number} times {word}" for word, number in times.items())
    minutes = (time.monotonic() - assignment.failing_since.get(Kind.WRITE, 0.0)) / 60
    return (
        f"{begins} after {len(assignment.tries)} tries in {minutes:.0f} minutes ({words}), "
        "while the vendor carried out changes of other batches."
    )


def _unreadable(
    client: SyllableClient, limit: InFlightLimit, assignment: Assignment, error: SyllableError
) -> Outcome:
    """The batch could not be read: it is gone, the key is refused, or the vendor is down."""
    if isinstance(error, Unauthorized | Redirected):
        return _denied(client, limit, assignment, error, Kind.READ)
    if isinstance(error, NotFound):
        return Outcome(
            assignment,
            ItemState.REFUSED if assignment.tries else ItemState.SKIPPED,
            message="The vendor does not know this batch any more.",
            http_status=error.http_status,
            gone=True,
        )
    assignment = replace(assignment, failed_reads=assignment.failed_reads + 1)
    failed = _failed(limit, assignment, error, Kind.READ)
    message = f"The batch cannot be read: {error.message}"
    if isinstance(error, Refused):
        return replace(failed, failed=None, state=ItemState.FAILED, message=message)
    return replace(failed, message=message)


def _word(error: SyllableError) -> str:
    """How a try was answered, for the trail."""
    if isinstance(error, ReplyLost):
        return "no reply"
    if isinstance(error, MalformedReply):
        return "unreadable reply"
    return str(error.http_status or UNREACHABLE)
