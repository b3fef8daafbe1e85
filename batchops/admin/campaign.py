"""Campaigns."""

from __future__ import annotations

from django.contrib import admin

from batchops.admin.base import ReadOnlyAdmin
from batchops.models import Campaign


@admin.register(Campaign)
class CampaignAdmin(ReadOnlyAdmin[Campaign]):
    """The mirror of the vendor's campaigns."""

    list_display = ("campaign_name", "id", "mode")
