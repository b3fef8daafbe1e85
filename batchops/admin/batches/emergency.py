"""The emergency button: one POST, one page to confirm."""

from __future__ import annotations

import re
from typing import Final

from django.contrib import messages
from django.http import HttpRequest, HttpResponseRedirect
from django.shortcuts import redirect

from batchops import audit
from batchops.admin.ui.addresses import to_preview
from batchops.admin.ui.base import current_user
from batchops.models import Campaign
from batchops.services.changes import emergency
from batchops.services.errors import ChangeError

LARGEST: Final = 2**63 - 1
"""The largest number that a campaign can have."""


def emergency_view(request: HttpRequest, campaign_id: int | None = None) -> HttpResponseRedirect:
    """Draft a pause of everything live, of the campaign named in the address or the form."""
    campaign = None
    named = str(campaign_id if campaign_id is not None else request.POST.get("campaign", ""))
    try:
        if named:
            campaign = _campaign(named)
        draft = emergency.draft_pause(
            user=current_user(request), actor=audit.Actor.of_request(request), campaign=campaign
        )
    except Campaign.DoesNotExist:
        messages.error(request, f"There is no campaign {named[:40]}.")
    except ChangeError as error:
        messages.error(request, error.message)
    else:
        return to_preview(draft)
    if campaign is not None:
        return redirect("admin:batchops_campaign_change", campaign.pk)
    return redirect("admin:index")


def _campaign(named: str) -> Campaign:
    """The campaign of exactly that number. Raises DoesNotExist."""
    number = int(named) if re.fullmatch("-?[0-9]{1,19}", named) else LARGEST + 1
    if abs(number) > LARGEST:
        raise Campaign.DoesNotExist
    return Campaign.objects.get(pk=number)
