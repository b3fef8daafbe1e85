"""What differs for an approver since they last looked at a change; kept in their session."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, Final

from django.http import HttpRequest
from django.utils import timezone

from batchops.admin.ui import times
from batchops.models import Change

KEY: Final = "visits"
VISITS_KEPT: Final = 30
NOTHING: Final = "none"


@dataclass(frozen=True, slots=True)
class Moved:
    """One term of a change, as it was at the last visit and as it is now."""

    label: str
    before: str
    after: str


def begin(request: HttpRequest, change: Change, differing: int) -> None:
    """Remember what the change is like at this visit, and what it was like at the one before.

    `differing` is the number of its batches that are no longer as when it was drafted.
    """
    visits: dict[str, Any] = request.session.get(KEY, {})
    former = visits.pop(str(change.pk), None)
    this = {"at": timezone.now().isoformat(), "terms": _terms(change, differing)}
    if former:
        this["former"] = {"at": former["at"], "terms": former["terms"]}
    latest = list(visits.items())[-(VISITS_KEPT - 1) :]
    request.session[KEY] = {**dict(latest), str(change.pk): this}


def at(request: HttpRequest, change: Change) -> dt.datetime | None:
    """When the person looked at it before this visit; None when they never did."""
    former = _former(request, change)
    return dt.datetime.fromisoformat(former["at"]) if former else None


def differences(request: HttpRequest, change: Change, differing: int) -> list[Moved]:
    """What has moved since that visit."""
    former = _former(request, change)
    if not former:
        return []
    return [
        Moved(label, former["terms"].get(label, NOTHING), now)
        for label, now in _terms(change, differing).items()
        if former["terms"].get(label, NOTHING) != now
    ]


def _former(request: HttpRequest, change: Change) -> Any:
    return request.session.get(KEY, {}).get(str(change.pk), {}).get("former")


def _terms(change: Change, differing: int) -> dict[str, str]:
    return {
        "Batches": f"{change.item_count:,}",
        "Will be changed": f"{change.acting_count:,}",
        "No longer as they were when it was drafted": f"{differing:,}",
        "Reason": change.reason or NOTHING,
        "Reference": change.reference or NOTHING,
        "Starts": _instant(change.starts_at),
        "Paused until": _instant(change.resume_at),
        "Answers for it": change.responsible_name,
    }


def _instant(moment: dt.datetime | None) -> str:
    return times.utc_words(moment) if moment else NOTHING
