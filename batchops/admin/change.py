"""Changes: what was asked, how far it has come, what became of each batch."""

from __future__ import annotations

from django.contrib import admin

from batchops.admin.base import ReadOnlyAdmin
from batchops.models import Change


@admin.register(Change)
class ChangeAdmin(ReadOnlyAdmin[Change]):
    """Changes of all people."""

    list_display = ("created_at", "requested_by_name", "state", "reason")
