"""ListSettings: how one person wants the batch list to look."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class ListSettings(models.Model):
    """The columns and rows a page that a person chose; no row: as the list comes."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="+"
    )
    columns = models.JSONField(default=list)
    page_size = models.PositiveSmallIntegerField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"list of {self.user_id}"
