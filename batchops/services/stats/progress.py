"""How far a change has come: numbers for the bar, words for people, JSON for the script."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Count, Q, QuerySet
from django.utils import timezone

from batchops.models import (
    ENDED_STATES,
    RUNNABLE_STATES,
    SUCCESS_STATES,
    TROUBLE_STATES,
    UNSETTLED_STATES,
    Change,
    ChangeItem,
    ChangeState,
    ItemState,
)
from batchops.models.batch import counted
from batchops.models.change_item import total
from batchops.services import heartbeats
from batchops.services.changes import freezing, lifecycle

RATE_SPAN: Final = dt.timedelta(seconds=15)
"""How far back the rate looks."""
MESSAGES_SHOWN: Final = 12
READ_BACK_WITHIN: Final = dt.timedelta(minutes=5)
"""For how long after its end the page watches for the reading back."""
UNCONFIRMED, UNREQUESTED = "not_confirmed", "unrequested"
NOT_SENT: Final = (ItemState.SKIPPED, ItemState.STOPPED)


@dataclass(frozen=True, slots=True)
class MessageCount:
    """One message about batches, from the vendor or from batchops, and how many have it."""

    number: int
    state: str
    http_status: int | None
    message: str

    @property
    def text(self) -> str:
        message = self.message or str(ItemState(self.state).label)
        return f"{self.http_status} {message}" if self.http_status else message


@dataclass(frozen=True, slots=True)
class Progress:
    """A change at one moment. `rate` is settled batches a second; `counts` add up to `total`.

    `undone` are the batches on which later changes put back what this one did.
    `silence` says why nothing of it is being sent, where no worker runs that could; else empty.
    """

    change: Change
    counts: Mapping[str, int]
    confirmed: int
    not_confirmed: int
    unrequested: int
    rate: float
    messages: tuple[MessageCount, ...]
    silence: str = ""
    undone: int = 0

    @property
    def total(self) -> int:
        return total(self.counts)

    @property
    def settled(self) -> int:
        return self.total - self.unsettled

    @property
    def unsettled(self) -> int:
        return self._sum(UNSETTLED_STATES)

    @property
    def trouble(self) -> int:
        return self._sum(TROUBLE_STATES)

    @property
    def well(self) -> int:
        return self._sum(SUCCESS_STATES)

    @property
    def undoable(self) -> int:
        """On how many batches it can be undone still."""
        return max(0, self.counts.get(ItemState.APPLIED, 0) - self.undone)

    @property
    def percent(self) -> int:
        return 100 * self.settled // self.total if self.total else 0

    @property
    def remaining(self) -> dt.timedelta | None:
        """An estimate from the rate of the last seconds, or else from what the vendor allows."""
        rate = self.rate or self.allowed_per_second
        if not rate or self.change.state != ChangeState.RUNNING or self.silence:
            return None
        return dt.timedelta(seconds=self.unsettled / rate)

    @property
    def ends_at(self) -> dt.datetime | None:
        """When it will have ended, by the same estimate."""
        return timezone.now() + self.remaining if self.remaining is not None else None

    @property
    def took(self) -> dt.timedelta | None:
        """How long it has run, or ran."""
        begun = self.change.started_at
        return (self.change.finished_at or timezone.now()) - begun if begun else None

    @property
    def allowed_per_second(self) -> float | None:
        """Requests a second that the vendor allows, as far as that is what takes the time."""
        if self.change.state != ChangeState.RUNNING or self.silence:
            return None
        allowed: float | None = self.change.in_flight.get("allowed_per_second")
        return allowed

    @property
    def tone(self) -> str:
        """How it stands: good, info, warn or bad."""
        if self.change.is_open:
            return self._tone_while_open()
        if self.change.state == ChangeState.FINISHED:
            if self.trouble or self.not_confirmed or self.unrequested:
                return "warn"
            return "info" if self.undone else "good"
        return "warn"

    @property
    def headline(self) -> str:
        """One sentence on how it stands; an end with failures is never called plain success."""
        state = self.change.state
        if state == ChangeState.FINISHED:
            return self._finished()
        if state == ChangeState.STOPPED:
            words = f"Stopped: {self.well:,} done, {self._sum(NOT_SENT):,} not sent"
            return words + self._undone_since
        if self.change.is_halted and self.change.is_open:
            return f"Halted at {self.settled:,} of {self.total:,}: it needs a person"
        if self.silence and state in RUNNABLE_STATES:
            return f"At {self.settled:,} of {self.total:,}. {self.silence}"
        if self.change.waiting_reason and self.change.is_open:
            return f"Waiting for the vendor at {self.settled:,} of {self.total:,}"
        if state == ChangeState.RUNNING:
            return f"Running: {self.settled:,} of {self.total:,} settled"
        if state == ChangeState.QUEUED and self.change.priority == Change.Priority.EMERGENCY:
            return "Queued: a worker, or else the web server itself, starts it within seconds"
        return _BEFORE_START.get(state, str(ChangeState(state).label))

    @property
    def waiting(self) -> str:
        """What it waits for, since when, and with how many batches; empty when it does not."""
        change = self.change
        if not (change.waiting_reason and change.waiting_since and change.is_open):
            return ""
        return (
            f"{change.waiting_reason} So since {change.waiting_since:%d %b %H:%M} UTC; "
            f"{self.unsettled:,} left, tried again at least every minute."
        )

    @property
    def title(self) -> str:
        """A few characters for the tab of the browser."""
        if self.change.state == ChangeState.RUNNING:
            return f"{self.percent} %"
        if self.change.state == ChangeState.FINISHED and self.trouble:
            return f"{self.trouble:,} not done"
        return str(ChangeState(self.change.state).label)

    @property
    def is_live(self) -> bool:
        """Whether something may still move without a person."""
        return self.change.is_open or self._is_read_back_due()

    def to_json(self) -> dict[str, Any]:
        """What the script of the page, or any other program, is told."""
        change = self.change
        return {
            "id": str(change.pk),
            "state": change.state,
            "headline": self.headline,
            "title": self.title,
            "tone": self.tone,
            "counts": dict(self.counts),
            "total": self.total,
            "settled": self.settled,
            "percent": self.percent,
            "rate_per_second": round(self.rate, 1),
            "remaining_seconds": round(self.remaining.total_seconds()) if self.remaining else None,
            "confirmed": self.confirmed,
            "not_confirmed": self.not_confirmed,
            "unrequested": self.unrequested,
            "nothing_is_sent": self.silence,
            "halted": change.halted_reason,
            "waiting": change.waiting_reason,
            "waiting_until": lifecycle.iso(change.waiting_until),
            "in_flight": change.in_flight,
            "allowed_per_second": self.allowed_per_second,
            "messages": [
                {"number": one.number, "http_status": one.http_status, "message": one.message}
                for one in self.messages
            ],
            "live": self.is_live,
        }

    def _sum(self, states: Any) -> int:
        return sum(self.counts.get(state, 0) for state in states)

    def _tone_while_open(self) -> str:
        if self.change.is_halted or (self.silence and self.change.state in RUNNABLE_STATES):
            return "bad"
        waits = self.change.waiting_reason or self.change.state == ChangeState.AWAITING_APPROVAL
        return "warn" if waits else "info"

    def _finished(self) -> str:
        if self.trouble:
            are = "is" if self.trouble == 1 else "are"
            words = f"Finished, but {self.trouble:,} of {self.total:,} {are} not as requested"
            return words + self._undone_since
        asked = self.total - self._sum(NOT_SENT)
        words = f"Finished: {self.well:,} of {asked:,} as requested"
        if self.not_confirmed:
            words += f", {self.not_confirmed:,} of them not confirmed"
        return words + self._undone_since

    @property
    def _undone_since(self) -> str:
        """What it came to is not what is so now, once another change has put it back."""
        return f"; undone since on {counted(self.undone)}" if self.undone else ""

    def _is_read_back_due(self) -> bool:
        change = self.change
        return (
            change.started_at is not None
            and change.read_back_at is None
            and change.finished_at is not None
            and timezone.now() - change.finished_at < READ_BACK_WITHIN
        )


_BEFORE_START: Final[dict[str, str]] = {
    ChangeState.AWAITING_APPROVAL: "Waiting for another person's approval",
    ChangeState.SCHEDULED: "Scheduled",
    ChangeState.QUEUED: "Queued: starts as soon as a worker is free",
}


def progress(change: Change) -> Progress:
    """Look at a change now, in five queries."""
    since = timezone.now() - RATE_SPAN
    running = change.state == ChangeState.RUNNING
    recent = change.items.filter(settled_at__gte=since).count() if running else 0
    elapsed = (timezone.now() - change.started_at).total_seconds() if change.started_at else 0.0
    applied = change.items.filter(state=ItemState.APPLIED)
    seen = applied.aggregate(
        confirmed=Count("id", filter=Q(confirmation=ChangeItem.Confirmation.CONFIRMED)),
        not_confirmed=Count("id", filter=Q(confirmation=ChangeItem.Confirmation.NOT_CONFIRMED)),
        unrequested=Count("id", filter=~Q(unrequested=[])),
    )
    return Progress(
        change=change,
        counts=lifecycle.counts(change),
        rate=recent / max(1.0, min(RATE_SPAN.total_seconds(), elapsed)),
        messages=messages(change),
        silence=_silence(change),
        undone=_undone(change),
        **seen,
    )


def _undone(change: Change) -> int:
    ended = change.state in ENDED_STATES
    return freezing.undone(change).values("batch_id").distinct().count() if ended else 0


def _silence(change: Change) -> str:
    """Why nothing of an open change is being sent; an emergency needs no worker."""
    if change.state in (ChangeState.STOPPED, ChangeState.FINISHED):
        waits = change.read_back_at is None and change.started_at is not None
    else:
        waits = change.is_open and change.priority != Change.Priority.EMERGENCY
    return heartbeats.workers().silence if waits else ""


def messages(change: Change) -> tuple[MessageCount, ...]:
    """What was said of batches that did not get what was asked, the most frequent first."""
    rows = (
        change.items.filter(state__in=(*TROUBLE_STATES, ItemState.SKIPPED))
        .values_list("state", "http_status", "message")
        .annotate(number=Count("id"))
        .order_by("-number", "message")[:MESSAGES_SHOWN]
    )
    return tuple(MessageCount(number, state, http, said) for state, http, said, number in rows)


def outcome_rows(change: Change, outcome: str = "", text: str = "") -> QuerySet[ChangeItem]:
    """The batches of a change by what became of them, and by a part of their id or message."""
    items = change.items.select_related("batch").order_by("id")
    if outcome in ItemState.values:
        items = items.filter(state=outcome)
    elif outcome == UNCONFIRMED:
        items = items.filter(
            state=ItemState.APPLIED, confirmation=ChangeItem.Confirmation.NOT_CONFIRMED
        )
    elif outcome == UNREQUESTED:
        items = items.exclude(unrequested=[])
    if text:
        items = items.filter(Q(batch__batch_id__icontains=text) | Q(message__icontains=text))
    return items
