"""Pulls: when the mirror was brought up to date, and what went wrong."""

from __future__ import annotations

from django.contrib import admin

from batchops.admin.base import ReadOnlyAdmin
from batchops.models import SyncRun


@admin.register(SyncRun)
class SyncRunAdmin(ReadOnlyAdmin[SyncRun]):
    """Pulls, the latest first."""

    list_display = ("started_at", "kind", "state", "batches_seen", "error")
