"""Batches: the list with its actions, and the page of one batch."""

from __future__ import annotations

from django.contrib import admin

from batchops.admin.base import ReadOnlyAdmin
from batchops.models import Batch


@admin.register(Batch)
class BatchAdmin(ReadOnlyAdmin[Batch]):
    """The mirror of the vendor's batches."""

    list_display = ("batch_id", "campaign", "status", "paused", "expires_on")
