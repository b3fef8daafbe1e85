"""Freezing releases, and ending a freeze before its time."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Final

from django.db import transaction
from django.utils import timezone

from batchops import audit, permissions
from batchops.models import Action, Campaign
from batchops.release_windows.models import Freeze
from batchops.services import authorization
from batchops.services.errors import InvalidInput

if TYPE_CHECKING:
    from django.contrib.auth.models import User

REASON_LIMIT: Final = 1_000
LONGEST: Final = dt.timedelta(days=366)
OPEN_LIMIT: Final = 200
"""Freezes that hold or are to come; more say nothing to anybody."""


@authorization.records_denials
def freeze(
    *,
    user: User,
    actor: audit.Actor,
    reason: str,
    starts_at: dt.datetime | None,
    ends_at: dt.datetime,
    campaign: Campaign | None = None,
) -> Freeze:
    """Freeze releases between two instants, or from now on; in all campaigns, or in one.

    Raises NotAllowed, or InvalidInput with the field.
    """
    authorization.require(user, permissions.KEEP_FREEZES, actor)
    now = timezone.now()
    starts_at = now if starts_at is None else starts_at
    if ends_at <= max(now, starts_at):
        raise InvalidInput("A freeze ends after it begins, and in the future.", "ends_at")
    if ends_at - now > LONGEST:
        raise InvalidInput("A freeze ends within a year from now.", "ends_at")
    reason = _required(reason)
    with transaction.atomic():
        if Freeze.objects.filter(ended_at=None, ends_at__gt=now).count() >= OPEN_LIMIT:
            raise InvalidInput(f"There are {OPEN_LIMIT} freezes already. End some of them first.")
        made = Freeze.objects.create(
            campaign=campaign,
            reason=reason,
            starts_at=starts_at,
            ends_at=ends_at,
            owner=user,
            owner_name=user.get_username(),
            created_at=now,
        )
        audit.record(_fact(Action.RELEASES_FROZEN, made, actor, reason))
    return made


@authorization.records_denials
def end(freeze: Freeze, *, user: User, actor: audit.Actor, reason: str) -> Freeze:
    """End a freeze before its time: releases go on. Raises NotAllowed or InvalidInput."""
    authorization.require(user, permissions.KEEP_FREEZES, actor)
    reason = _required(reason)
    now = timezone.now()
    with transaction.atomic():
        ended = Freeze.objects.filter(pk=freeze.pk, ended_at=None, ends_at__gt=now)
        if not ended.update(ended_at=now, ended_by_name=user.get_username()):
            raise InvalidInput("This freeze is over already.")
        freeze.refresh_from_db()
        audit.record(_fact(Action.FREEZE_ENDED, freeze, actor, reason))
    return freeze


def _required(reason: str) -> str:
    reason = reason.strip()
    if not reason:
        raise InvalidInput("Give a reason: it becomes part of the audit trail.", "reason")
    if len(reason) > REASON_LIMIT:
        raise InvalidInput(f"A reason has at most {REASON_LIMIT:,} characters.", "reason")
    return audit.storable_text(reason)


def _fact(action: Action, freeze: Freeze, actor: audit.Actor, reason: str) -> audit.Fact:
    return audit.Fact(
        action,
        actor,
        campaign_id=freeze.campaign_id,
        campaign_name=freeze.campaign.campaign_name if freeze.campaign else "",
        reason=reason,
        detail={
            "freeze": freeze.pk,
            "owner": freeze.owner_name,
            "frozen_for": freeze.reason,
            "starts_at": freeze.starts_at.isoformat(),
            "ends_at": freeze.ends_at.isoformat(),
        },
    )
