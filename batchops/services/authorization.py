"""Whether a person may do something to a change, and whether the hour allows it."""

from __future__ import annotations

import datetime as dt
import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, ParamSpec, TypeVar
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import Q, Sum
from django.utils import timezone

from batchops import audit, permissions
from batchops.audit import denials
from batchops.models import Action, Change
from batchops.models.batch import counted
from batchops.services.errors import NotAllowed
from batchops.services.holds import covered

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
THRESHOLD_SPAN: Final = dt.timedelta(hours=1)
"""Over so long the batches that a person changes are added up."""
LOOK_AHEAD_MINUTES: Final = 8 * 24 * 60
_WINDOW: Final = re.compile(
    r"(?P<first>[a-z]{3})(?:-(?P<last>[a-z]{3}))?\s+"
    r"(?P<start>\d{1,2}:\d{2})\s*-\s*(?P<end>\d{1,2}:\d{2})\Z"
)

MISSING: Final = {
    permissions.REQUEST_CHANGE: (
        "You may not request changes. Ask an administrator for the role “Operator”."
    ),
    permissions.EXPAND_OUTREACH: (
        "You may not let outreach reach more people (resume, extend, raise a rate). "
        "Ask an operator who may."
    ),
    permissions.CONTROL_CHANGE: "You may not stop, continue or retry changes.",
    permissions.APPROVE_CHANGE: "You may not approve or reject changes.",
    permissions.VIEW_BATCHES: "You may not see batches. Ask an administrator for a role.",
    permissions.OVERRIDE_HOLDS: (
        "You may not lift the holds of others. Ask their owners, or somebody who may."
    ),
    permissions.KEEP_CHANNELS: "You may not keep the channels by which notices are sent.",
    permissions.KEEP_FREEZES: "You may not freeze releases, nor end a freeze.",
    permissions.SET_TIME_ZONE: "You may not set the time zone of a campaign.",
    permissions.RUN_SYNC: "You may not sync with the vendor.",
    permissions.EXPORT_TRAIL: "You may not export the audit trail. Ask for the role “Auditor”.",
    permissions.REVIEW_TRAIL: "You may not review the audit trail. Ask for the role “Auditor”.",
    permissions.ARCHIVE_TRAIL: "You may not archive the audit trail.",
    permissions.ACKNOWLEDGE_TRAIL: "You may not acknowledge a fault of the audit trail.",
}
_OF_CHANGES: Final = frozenset(
    {
        permissions.REQUEST_CHANGE,
        permissions.EXPAND_OUTREACH,
        permissions.CONTROL_CHANGE,
        permissions.APPROVE_CHANGE,
        permissions.OVERRIDE_HOLDS,
        "",
    }
)


def require(user: User, permission: str, actor: audit.Actor, change: Change | None = None) -> None:
    """Raise NotAllowed unless the person has the permission."""
    if user.is_active and user.has_perm(permission):
        return
    raise denied(MISSING[permission], actor, change, permission)


def denied(
    message: str, actor: audit.Actor, change: Change | None, permission: str = ""
) -> NotAllowed:
    """The error for a denied try; `records_denials` puts its fact into the trail."""
    detail = {"why": message, "permission": permission}
    if change is None or change._state.adding:
        action = Action.CHANGE_DENIED if permission in _OF_CHANGES else Action.ACCESS_DENIED
        fact = audit.Fact(action, actor, outcome="denied", detail=detail)
    else:
        fact = audit.Fact.about_change(
            Action.CHANGE_DENIED, actor, change, outcome="denied", detail=detail
        )
    return NotAllowed(message, fact)


def records_denials(service: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Record a denied try once what the service had begun is rolled back.

    So that no denial is ever rolled back with something else, such a service is never called in
    a transaction; RuntimeError says so.
    """

    @functools.wraps(service)
    def wrapper(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        if denials.is_in_transaction():
            raise RuntimeError(f"{service.__name__} is called in a transaction.")
        try:
            return service(*args, **kwargs)
        except NotAllowed as error:
            if error.fact is not None:
                denials.record(error.fact)
                error.fact = None
            raise

    return wrapper


def require_any(user: User, actor: audit.Actor, change: Change | None = None) -> None:
    """Raise NotAllowed unless the person may request changes of some kind."""
    if not (user.is_active and user.has_perm(permissions.EXPAND_OUTREACH)):
        require(user, permissions.REQUEST_CHANGE, actor, change)


def require_for(change: Change, user: User, actor: audit.Actor) -> None:
    """Raise NotAllowed unless the person may request or continue this change."""
    require(user, _permission_for(change), actor, change)


def may_request(change: Change, user: User) -> bool:
    """Whether the person may request or continue this change."""
    return user.is_active and user.has_perm(_permission_for(change))


def _permission_for(change: Change) -> str:
    return permissions.EXPAND_OUTREACH if change.expands_outreach else permissions.REQUEST_CHANGE


@dataclass(frozen=True, slots=True)
class Window:
    """Hours of some weekdays (Monday is 0) in which resuming is allowed."""

    days: frozenset[int]
    start: dt.time
    end: dt.time

    def contains(self, moment: dt.datetime) -> bool:
        return moment.weekday() in self.days and self.start <= moment.time() < self.end


def resume_windows(text: str | None = None) -> tuple[Window, ...]:
    """The windows of `RESUME_WINDOWS`, such as "mon-fri 08:00-18:00; sat 10:00-14:00".

    Raises ValueError that quotes the part that cannot be read.
    """
    text = settings.RESUME_WINDOWS if text is None else text
    return tuple(_window(part.strip()) for part in text.lower().split(";") if part.strip())


def window_words() -> str:
    """The hours of the settings in which resuming is allowed, in words; empty for all."""
    if not settings.RESUME_WINDOWS:
        return ""
    return f"{settings.RESUME_WINDOWS} ({settings.TIME_ZONE})"


def resume_allowed_at(moment: dt.datetime) -> bool:
    """Whether resuming is allowed at an instant; always, where no window is set."""
    windows = resume_windows()
    local = moment.astimezone(ZoneInfo(settings.TIME_ZONE))
    return not windows or any(window.contains(local) for window in windows)


def next_resume_opening(after: dt.datetime) -> dt.datetime:
    """The first instant from `after` on at which resuming is allowed, to the minute."""
    windows, zone = resume_windows(), ZoneInfo(settings.TIME_ZONE)
    moment = after
    for _ in range(LOOK_AHEAD_MINUTES):
        local = moment.astimezone(zone)
        if not windows or any(window.contains(local) for window in windows):
            return moment
        moment = moment.replace(second=0, microsecond=0) + dt.timedelta(minutes=1)
    return moment


def approval_reason(change: Change) -> str:
    """Why another person has to approve, in words; empty when nobody has to.

    An emergency pause never waits for it.
    """
    if change.priority == Change.Priority.EMERGENCY:
        return ""
    if covered.lifts_protected(change):
        return "It lifts protected holds of others."
    if settings.APPROVAL_FOR == "all":
        return "Every change needs the approval of another person."
    if settings.APPROVAL_FOR == "expanding" and change.expanding_count:
        return "It lets outreach reach more people."
    threshold = settings.APPROVAL_THRESHOLD
    if not threshold or not change.acting_count:
        return ""
    if change.acting_count > threshold:
        return f"It changes {change.acting_count:,} batches, more than {threshold:,}."
    before = _not_approved_lately(change)
    if before + change.acting_count > threshold:
        return (
            f"It changes {counted(change.acting_count)}; with the {before:,} that "
            f"{change.requested_by_name} changed within the hour that is more than {threshold:,}."
        )
    return ""


def lock_person(user: User) -> None:
    """Let a person confirm one change at a time, so that two halves count as one whole.

    Taken before the change itself is locked.
    """
    if settings.APPROVAL_THRESHOLD:
        list(User.objects.select_for_update(no_key=True).filter(pk=user.pk))


def _not_approved_lately(change: Change) -> int:
    """How many batches the person changed lately without another person's approval."""
    lately = Change.objects.filter(
        requested_by=change.requested_by_id,
        confirmed_at__gt=timezone.now() - THRESHOLD_SPAN,
        approval_required=False,
    ).exclude(Q(pk=change.pk) | Q(priority=Change.Priority.EMERGENCY))
    return lately.aggregate(number=Sum("acting_count"))["number"] or 0


def _window(text: str) -> Window:
    match = _WINDOW.match(text)
    try:
        if match is None:
            raise ValueError
        first = DAYS.index(match["first"])
        last = DAYS.index(match["last"] or match["first"])
        days = frozenset((first + step) % 7 for step in range((last - first) % 7 + 1))
        start = dt.time.fromisoformat(match["start"].zfill(5))
        end = (
            dt.time.max if match["end"] == "24:00" else dt.time.fromisoformat(match["end"].zfill(5))
        )
    except ValueError:
        raise ValueError(f"{text!r} is not a window such as “mon-fri 08:00-18:00”.") from None
    if start >= end:
        raise ValueError(f"{text!r} ends before it starts; write one window for each day.")
    return Window(days, start, end)
