"""A change while it runs: its start, whether it may go on, and its waits for the vendor."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterable
from typing import Final
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from batchops import audit, permissions
from batchops.models import RUNNABLE_STATES, Action, Change, ChangeState
from batchops.release_windows import openings
from batchops.services import wake
from batchops.services.bulk import update_in_order
from batchops.services.changes import approvals, lifecycle
from batchops.services.errors import ChangeError
from batchops.services.holds import moves
from batchops.syllable.errors import Misconfigured, Redirected, SyllableError, Unauthorized

logger = logging.getLogger(__name__)


WAITS_SECONDS: Final = (5, 10, 20, 30, 60)
"""How long a change waits for a vendor that is down, at first and later on."""
LONGER_AFTER: Final = dt.timedelta(seconds=15)
"""After so much time of waiting the next longer wait is due."""
GIVE_UP_AFTER: Final = dt.timedelta(hours=24)
"""A vendor that is down for this long halts what lets outreach reach more people: whether that is
still wanted, a person decides. What narrows outreach waits for as long as it takes."""


def start(change: Change) -> bool:
    """Set a queued change running; whether it runs. At a closed hour it is postponed.

    Raises ChangeError when a freeze has begun since, when what was approved is no longer what
    would run, or when nobody who may do so stands behind it any more.
    """
    if change.state == ChangeState.RUNNING:
        _require_not_frozen(change)
        return True
    if not approvals.require(change):
        return False
    check_requester(change)
    if lifecycle.postpone(change):
        return False
    if change.patch.paused is False or change.source == Change.Source.UNDO:
        moves.lift_without_resuming(change)
    with transaction.atomic():
        started = Change.objects.filter(pk=change.pk, state=ChangeState.QUEUED).update(
            state=ChangeState.RUNNING, started_at=timezone.now()
        )
        change.refresh_from_db()
        if started:
            audit.record(
                audit.Fact.about_change(
                    Action.CHANGE_STARTED, audit.Actor.system_for(change), change
                )
            )
    return change.state == ChangeState.RUNNING


def _require_not_frozen(change: Change) -> None:
    """Raise ChangeError when a freeze began while outreach was being let reach more people."""
    now = timezone.now()
    if change.expanding_count and openings.frozen_by(change, now) is not None:
        raise ChangeError(f"{openings.why_closed(change, now)} Continue it after that, or stop it.")


def check_requester(change: Change) -> None:
    """Raise ChangeError when nobody who may do so stands behind outreach that would start."""
    if not change.expanding_count:
        return
    person = change.responsible
    if person is None or not person.is_active:
        raise ChangeError("The account of its author is no longer active.")
    if not person.has_perm(permissions.EXPAND_OUTREACH):
        raise ChangeError("Its author may no longer let outreach reach more people.")


def no_longer_sending(change_ids: Iterable[UUID]) -> list[Change]:
    """Which of these changes were stopped or have halted; halts those left without an author."""
    current = Change.objects.filter(pk__in=list(change_ids)).select_related(
        "requested_by", "proceeded_by"
    )
    return [change for change in current if not _may_go_on(change)]


def _may_go_on(change: Change) -> bool:
    if change.is_halted or change.state not in RUNNABLE_STATES:
        return False
    try:
        check_requester(change)
    except ChangeError as error:
        halt(change, error.message)
        return False
    return True


def halt(change: Change, reason: str, actor: audit.Actor = audit.SYSTEM) -> bool:
    """Send nothing more until a person goes on with it; False when it was halted already.

    What a stopped change may have sent waits for the vendor instead.
    """
    if change.state == ChangeState.STOPPED:
        wait(change, reason)
        return False
    with transaction.atomic():
        halted = Change.objects.filter(
            pk=change.pk, halted_reason="", state__in=RUNNABLE_STATES
        ).update(halted_reason=reason)
        if halted:
            audit.record(
                audit.Fact.about_change(
                    Action.CHANGE_HALTED, actor, change, outcome="halted", detail={"why": reason}
                )
            )
    return bool(halted)


def halt_reason(error: SyllableError) -> str:
    """Why nothing more may be sent until a person has looked; empty for other errors."""
    match error:
        case Unauthorized():
            return (
                f"The vendor does not accept the key ({error.http_status}). Fix it, then continue."
            )
        case Redirected():
            return (
                f"The vendor's address answers with a redirect to {error.target_host}. "
                "Nothing was sent there. Fix SYLLABLE_BASE_URL, then continue."
            )
        case Misconfigured():
            return f"{error.message} Fix the settings, then continue."
        case _:
            return ""


def denied_in_a_row(number: int, status: int | None, message: str, *, of_updates: bool) -> str:
    """Why a change halts whose key is accepted for lists, but denied batch after batch."""
    what = "changes to" if of_updates else "reads of single"
    return (
        f"The vendor accepts the key for lists, but denied {number} {what} batches in a row "
        f"({status}: {message}). If the key should be allowed to do this, fix that first. "
        "If you continue, what is denied again counts as refused."
    )


def wait(change: Change, reason: str) -> None:
    """The vendor is down: try again later by itself, with a single request first."""
    now = timezone.now()
    change.refresh_from_db(fields=["waiting_since", "waiting_until"])
    if change.waiting_until and change.waiting_until > now:
        return
    since = change.waiting_since or now
    has_long_waited = now - since > GIVE_UP_AFTER and change.state != ChangeState.STOPPED
    if has_long_waited and change.expanding_count:
        halt(change, f"The vendor has been down since {since:%d %b %H:%M} UTC: {reason}")
        return
    step = min(int(max(now - since, dt.timedelta()) / LONGER_AFTER), len(WAITS_SECONDS) - 1)
    change.waiting_reason, change.waiting_since = reason, since
    change.waiting_until = now + dt.timedelta(seconds=WAITS_SECONDS[step])
    change.save(update_fields=["waiting_reason", "waiting_since", "waiting_until"])
    wake.workers(at=change.waiting_until)
    logger.warning("Change %s waits for the vendor: %s", change.short_id, reason)


def retry_waiting() -> None:
    """The vendor answers again: whoever still waits for it tries now, a single request first."""
    now = timezone.now()
    waiting = Change.objects.filter(waiting_until__gt=now)
    update_in_order(waiting, waiting_until=now)


def end_wait(changes: Iterable[Change]) -> None:
    """The vendor answers again: these changes wait for it no more."""
    for change in changes:
        if change.waiting_since is None:
            continue
        change.waiting_reason, change.waiting_since, change.waiting_until = "", None, None
        change.save(update_fields=["waiting_reason", "waiting_since", "waiting_until"])
        logger.info("Change %s continues: the vendor answers again.", change.short_id)
