"""The zone in which a campaign's times are meant, which people set, as the vendor does not tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction

from batchops import audit, permissions
from batchops.models import Action, Campaign
from batchops.services import authorization
from batchops.services.errors import InvalidInput
from batchops.wall_times import zone_named

if TYPE_CHECKING:
    from django.contrib.auth.models import User


@authorization.records_denials
def set_time_zone(campaign_id: int, zone: str, *, user: User, actor: audit.Actor) -> bool:
    """Set the zone of a campaign by its name in the IANA list; empty: unknown.

    False where it was so already. Raises NotAllowed, or InvalidInput for a zone that is none or a
    campaign that the mirror does not have.
    """
    authorization.require(user, permissions.SET_TIME_ZONE, actor)
    if zone and zone_named(zone) is None:
        raise InvalidInput("There is no such time zone.", "time_zone")
    with transaction.atomic():
        found = Campaign.objects.select_for_update(no_key=True).filter(pk=campaign_id).first()
        if found is None:
            raise InvalidInput("There is no such campaign.")
        before, found.time_zone = found.time_zone, zone
        if before == zone:
            return False
        found.save(update_fields=["time_zone"])
        audit.record(
            audit.Fact(
                Action.CAMPAIGN_ZONE_SET,
                actor,
                campaign_id=found.pk,
                campaign_name=found.campaign_name,
                before={"time_zone": before},
                after={"time_zone": zone},
                detail={"what": f"{found}, {zone or 'unknown'}"},
            )
        )
    return True
