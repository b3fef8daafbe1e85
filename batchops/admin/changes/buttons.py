"""What a person can do with a change now: by its state, and by what they may."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchops import permissions
from batchops.models import (
    DRAFT_STATES,
    ENDED_STATES,
    OPEN_STATES,
    RUNNABLE_STATES,
    Change,
    ChangeState,
    ItemState,
)
from batchops.models.batch import counted
from batchops.services.authorization import may_request
from batchops.services.stats.progress import Progress
from batchops.syllable.patch import BatchPatch

if TYPE_CHECKING:
    from django.contrib.auth.models import User


@dataclass(frozen=True, slots=True)
class Button:
    """One button: the action behind it, its words with their number, icon and look.

    Looks: main completes what was asked for; pause holds outreach back; danger lets it reach more
    people, and reach does so set apart from the others; plain is none of these. `note` explains.
    """

    action: str
    label: str
    icon: str
    look: str = "plain"
    note: str = ""


def buttons_for(progress: Progress, user: User) -> list[Button]:
    """What goes on with a change or ends it, the most urgent first."""
    found = [_stop(progress, user), _proceed(progress, user), _retry(progress, user)]
    return [button for button in found if button is not None]


def take_back_buttons_for(progress: Progress, user: User, still_paused: int) -> list[Button]:
    """What takes back what a change did; `still_paused` are the batches that it keeps paused."""
    found = [_resume(progress.change, user, still_paused), _undo(progress, user)]
    return [button for button in found if button is not None]


def may_decide(change: Change, user: User) -> bool:
    """Whether the person can approve or reject now."""
    return (
        change.state == ChangeState.AWAITING_APPROVAL
        and user.pk not in change.author_ids
        and user.has_perm(permissions.APPROVE_CHANGE)
    )


def may_move_end(change: Change, user: User, still_paused: int) -> bool:
    """Whether the person can set or move the end of a pause."""
    is_pause = change.patch == BatchPatch(paused=True)
    if not is_pause or change.state in (ChangeState.REJECTED, *DRAFT_STATES):
        return False
    in_force = change.is_open or bool(still_paused)
    return in_force and user.has_perm(permissions.EXPAND_OUTREACH)


def may_cancel_end(change: Change, user: User) -> bool:
    """Whether the person can make a pause last until somebody ends it."""
    return change.resume_at is not None and user.has_perm(permissions.REQUEST_CHANGE)


def _stop(progress: Progress, user: User) -> Button | None:
    change = progress.change
    mine = user.pk in (change.requested_by_id, change.responsible_id)
    if not change.is_open or not (mine or user.has_perm(permissions.CONTROL_CHANGE)):
        return None
    look = "pause" if change.expands_outreach else "plain"
    if change.state in RUNNABLE_STATES:
        return Button("stop", f"Stop: leave {progress.unsettled:,} unsent", "stop", look)
    return Button("stop", f"Cancel: leave {counted(progress.total)} as now", "ban", look)


def _proceed(progress: Progress, user: User) -> Button | None:
    change = progress.change
    if change.state == ChangeState.STOPPED and change.started_at is not None:
        left = progress.counts.get(ItemState.STOPPED, 0)
    elif change.is_halted and change.state in RUNNABLE_STATES:
        left = progress.unsettled
    else:
        return None
    if not left or not user.has_perm(permissions.CONTROL_CHANGE) or not may_request(change, user):
        return None
    if change.approval_required and change.decided_by_id == user.pk:
        return None
    return Button("continue", f"Continue {change.doing} {left:,}", "play", look_of(change))


def _retry(progress: Progress, user: User) -> Button | None:
    change = progress.change
    if not progress.trouble or change.state not in ENDED_STATES:
        return None
    if not user.has_perm(permissions.CONTROL_CHANGE) or not may_request(change, user):
        return None
    return Button("retry", f"Retry {progress.trouble:,}…", "sync", look_of(change))


def look_of(change: Change) -> str:
    """How the button looks that lets a change begin or go on."""
    if change.expands_outreach or change.expires_now:
        return "danger"
    return "pause" if change.patch.paused is True else "main"


def _resume(change: Change, user: User, still_paused: int) -> Button | None:
    if change.state not in ENDED_STATES or not user.has_perm(permissions.EXPAND_OUTREACH):
        return None
    if not still_paused:
        return None
    return Button(
        "resume",
        f"Resume these {still_paused:,}…",
        "play",
        "reach",
        f"Ends this pause: outreach starts again on {counted(still_paused)} that it still keeps "
        "paused. All else about them stays as it is now.",
    )


def _undo(progress: Progress, user: User) -> Button | None:
    change, number = progress.change, progress.undoable
    ended = change.state in ENDED_STATES
    if not number or not ended or not user.has_perm(permissions.REQUEST_CHANGE):
        return None
    if change.followed_by.filter(source=Change.Source.UNDO, state__in=OPEN_STATES).exists():
        return None
    return Button(
        "undo",
        f"Undo on {number:,}…",
        "undo",
        "plain" if change.expands_outreach else "reach",
        "Puts back exactly what each batch had before this change, whatever that was; a batch "
        "that was changed since is left alone.",
    )
