"""Whether a change may release at an instant, and when it may next."""

from __future__ import annotations

import datetime as dt
from typing import Final

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from batchops.models import Change, ChangeItem
from batchops.release_windows.models import Freeze
from batchops.services import authorization
from batchops.services.errors import ResumeWindowClosed

MOST_FREEZES_IN_A_ROW: Final = 500
"""So many are looked through for the next opening; each ends within a year."""


def freezes_of(change: Change) -> QuerySet[Freeze]:
    """Those for all campaigns, and those for a campaign of its batches."""
    items = ChangeItem.objects.filter(change=change, batch__campaign=OuterRef("campaign"))
    return Freeze.objects.filter(Q(campaign=None) | Exists(items)).select_related("campaign")


def frozen_by(change: Change, moment: dt.datetime) -> Freeze | None:
    """The freeze that holds a change back at an instant, the one that ends last."""
    return freezes_of(change).at(moment).order_by("-ends_at").first()  # type: ignore[attr-defined,no-any-return]


def is_open(change: Change, moment: dt.datetime) -> bool:
    """Whether a change may let outreach reach more people at an instant."""
    return authorization.resume_allowed_at(moment) and frozen_by(change, moment) is None


def next_opening(change: Change, after: dt.datetime) -> dt.datetime:
    """The first instant from `after` on at which a change may release."""
    moment = authorization.next_resume_opening(after)
    for _ in range(MOST_FREEZES_IN_A_ROW):
        freeze = frozen_by(change, moment)
        if freeze is None:
            break
        moment = authorization.next_resume_opening(freeze.ends_at)
    return moment


def why_closed(change: Change, moment: dt.datetime) -> str:
    """Why a change may not release at an instant, in words; empty when it may."""
    freeze = frozen_by(change, moment)
    if freeze is not None:
        zone = timezone.get_current_timezone()
        return (
            f"Frozen until {freeze.ends_at.astimezone(zone):%a %d %b %Y %H:%M %Z} by "
            f"{freeze.owner_name} ({freeze.where}): {freeze.reason}"
        )
    if authorization.resume_allowed_at(moment):
        return ""
    return f"Resuming and extending are allowed only {authorization.window_words()}."


def require_open(change: Change, moment: dt.datetime | None = None) -> None:
    """Raise ResumeWindowClosed when a change that reaches more people would start at a bad time."""
    if change.expanding_count and (why := why_closed(change, moment or timezone.now())):
        raise ResumeWindowClosed(f"{why} Schedule the change for later.", "starts_at")
