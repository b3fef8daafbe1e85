"""What a person can do with a change now: by its state, and by what they may."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchops import permissions
from batchops.models import (
    DRAFT_STATES,
    ENDED_STATES,
    RUNNABLE_STATES,
    TROUBLE_STATES,
    Batch,
    Change,
    ChangeState,
    ItemState,
)
from batchops.services.authorization import may_request
from batchops.services.stats.progress import Progress
from batchops.syllable.patch import BatchPatch

if TYPE_CHECKING:
    from django.contrib.auth.models import User


@dataclass(frozen=True, slots=True)
class Button:
    """One button: the action behind it, its word, icon and look (plain, main or danger)."""

    action: str
    label: str
    icon: str
    look: str = "plain"


def buttons_for(progress: Progress, user: User) -> list[Button]:
    """The buttons of a change, the most urgent first."""
    change = progress.change
    found = [
        _stop(change, user),
        _proceed(progress, user),
        _resume(change, user),
        _retry(progress, user),
        _undo(progress, user),
    ]
    return [button for button in found if button is not None]


def may_decide(change: Change, user: User) -> bool:
    """Whether the person can approve or reject now."""
    return (
        change.state == ChangeState.AWAITING_APPROVAL
        and user.pk not in change.author_ids
        and user.has_perm(permissions.APPROVE_CHANGE)
    )


def may_move_end(change: Change, user: User) -> bool:
    """Whether the person can set or move the end of a pause."""
    return _is_pause_in_force(change) and user.has_perm(permissions.EXPAND_OUTREACH)


def may_cancel_end(change: Change, user: User) -> bool:
    """Whether the person can make a pause last until somebody ends it."""
    return change.resume_at is not None and user.has_perm(permissions.REQUEST_CHANGE)


def _stop(change: Change, user: User) -> Button | None:
    mine = user.pk in (change.requested_by_id, change.responsible_id)
    if not change.is_open or not (mine or user.has_perm(permissions.CONTROL_CHANGE)):
        return None
    if change.state in RUNNABLE_STATES:
        return Button("stop", "Stop", "stop", "danger")
    return Button("stop", "Cancel this change", "ban")


def _proceed(progress: Progress, user: User) -> Button | None:
    change = progress.change
    stopped = change.state == ChangeState.STOPPED and change.started_at is not None
    left = stopped and progress.counts.get(ItemState.STOPPED, 0)
    halted = change.is_halted and change.state in RUNNABLE_STATES
    if not (left or halted) or not user.has_perm(permissions.CONTROL_CHANGE):
        return None
    if change.approval_required and change.decided_by_id == user.pk:
        return None
    return Button("continue", "Continue", "play", "main") if may_request(change, user) else None


def _resume(change: Change, user: User) -> Button | None:
    if change.state not in ENDED_STATES or not user.has_perm(permissions.EXPAND_OUTREACH):
        return None
    if not Batch.objects.held_by(change).exists():
        return None
    return Button("resume", "Resume exactly those", "play", "main")


def _retry(progress: Progress, user: User) -> Button | None:
    trouble = sum(progress.counts.get(state, 0) for state in TROUBLE_STATES)
    if not trouble or progress.change.state not in ENDED_STATES:
        return None
    if not user.has_perm(permissions.CONTROL_CHANGE) or not may_request(progress.change, user):
        return None
    return Button("retry", f"Retry failed ({trouble:,})", "sync")


def _undo(progress: Progress, user: User) -> Button | None:
    applied = progress.counts.get(ItemState.APPLIED, 0)
    ended = progress.change.state in ENDED_STATES
    if not applied or not ended or not user.has_perm(permissions.REQUEST_CHANGE):
        return None
    return Button("undo", "Undo", "undo")


def _is_pause_in_force(change: Change) -> bool:
    if change.patch != BatchPatch(paused=True) or change.state in (
        ChangeState.REJECTED,
        *DRAFT_STATES,
    ):
        return False
    return change.is_open or Batch.objects.held_by(change).exists()
