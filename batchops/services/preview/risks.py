"""What a person should know before they confirm, in words."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from batchops.models import Campaign, Change, ChangeItem, ItemState
from batchops.models.batch import counted
from batchops.services.mirror import freshness
from batchops.services.mirror.campaign_calendar import CampaignCalendar
from batchops.syllable.patch import CLEAR

Shares = Sequence[tuple[Campaign, int]]


@dataclass(frozen=True, slots=True)
class Risk:
    """One thing to know; `grave` when people may be reached, or not be reached, because of it."""

    message: str
    grave: bool = False


def risks_of(change: Change, acting: int, campaigns: Shares) -> tuple[Risk, ...]:
    """The risks of a draft that changes `acting` batches of these campaigns."""
    found = (
        _expands_outreach(change),
        _ends_at_once(change, acting),
        _takes_expiry_from_automatic_rates(change),
        _cuts_hours(change, campaigns),
        _many(acting),
        _left_out(change),
        _sharing_ids(change),
        _old_mirror(),
    )
    return tuple(risk for risk in found if risk is not None)


def _expands_outreach(change: Change) -> Risk | None:
    number = change.expanding_count
    if not number:
        return None
    resumes = change.patch.paused is False or change.source == Change.Source.UNDO
    what = "starts again" if resumes else "can reach more people"
    return Risk(f"Outreach {what} on {counted(number)}, within the hours of the campaign.", True)


def _ends_at_once(change: Change, acting: int) -> Risk | None:
    expiry = change.patch.expires_on
    if not acting or not isinstance(expiry, dt.datetime) or expiry > timezone.now():
        return None
    return Risk("Outreach ends at once. Contacts not reached yet will not be reached.", True)


def _takes_expiry_from_automatic_rates(change: Change) -> Risk | None:
    """`auto_call_rate` "requires expires_on" (vendor OpenAPI); what clearing does is not said."""
    cleared = Q(patch_json__has_key="expires_on", patch_json__expires_on=None)
    kept = ~Q(patch_json__has_key="auto_call_rate", patch_json__auto_call_rate=False)
    concerned = Q(patch_json__isnull=False) & cleared & kept
    if change.patch.expires_on is CLEAR and change.patch.auto_call_rate is not False:
        concerned |= Q(patch_json__isnull=True)
    acting = change.items.filter(plan=ChangeItem.Plan.ACT, before_auto_call_rate=True)
    number = acting.filter(concerned).count()
    if not number:
        return None
    return Risk(
        f"The call rate of {counted(number)} is automatic, which needs an expiry: the vendor may "
        "refuse to clear it, or end the automatic call rate.",
        True,
    )


def _cuts_hours(change: Change, campaigns: Shares) -> Risk | None:
    """An expiry in the middle of the calling hours breaks off a day that people planned for."""
    expiry = change.patch.expires_on
    if not isinstance(expiry, dt.datetime) or expiry <= timezone.now():
        return None
    within = {True: 0, False: 0, None: 0}
    for campaign, number in campaigns:
        within[CampaignCalendar.of(campaign).contains(expiry)] += number
    words = []
    if within[True]:
        words.append(f"The expiry falls within the calling hours of {counted(within[True])}.")
    if within[None]:
        words.append(
            f"Not foreseen whether the expiry falls within the calling hours of "
            f"{counted(within[None])}, whose campaign's time zone, hours or exceptions are not "
            "known."
        )
    return Risk(" ".join(words)) if words else None


def _many(acting: int) -> Risk | None:
    if acting <= settings.TYPED_CONFIRMATION_ABOVE:
        return None
    return Risk(f"Many batches: {acting:,} will be changed.")


def _left_out(change: Change) -> Risk | None:
    number = change.items.filter(state=ItemState.CONFLICT).count()
    if not number:
        return None
    return Risk(f"{counted(number).capitalize()} changed since and will be left as they are.")


def _sharing_ids(change: Change) -> Risk | None:
    """Said above all in an emergency: who pauses everything should know what goes on."""
    number = change.items.filter(batch__id_shared_since__isnull=False).count()
    if not number:
        return None
    return Risk(
        f"Nothing is sent to {counted(number)}, whose id the vendor has in several campaigns: it "
        "could reach the wrong one. Change those batches in the vendor's console.",
        grave=True,
    )


def _old_mirror() -> Risk | None:
    state = freshness.freshness()
    if not state.is_old:
        return None
    age = state.age
    known = f"is {int(age.total_seconds() // 60):,} minutes old" if age else "was never synced"
    return Risk(
        f"The mirror {known}. Each batch is compared with the vendor before anything is sent; "
        "what differs is left alone."
    )
