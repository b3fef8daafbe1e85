"""The audit trail."""

from __future__ import annotations

from django.contrib import admin

from batchops.admin.base import ReadOnlyAdmin
from batchops.models import AuditEntry


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin[AuditEntry]):
    """Entries are read; nobody, superusers included, can do more."""

    list_display = ("at", "actor_name", "action", "batch_id", "outcome", "reason")
