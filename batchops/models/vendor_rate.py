"""VendorRate: what workers know together of the rate that the vendor allows."""

from __future__ import annotations

from django.db import models


class VendorRate(models.Model):
    """A row for each address of the vendor. Instants are by the database's clock."""

    base_url = models.CharField(max_length=500, primary_key=True)
    estimate = models.JSONField(default=dict, help_text="What was learnt; empty: nothing so far.")
    taken_until = models.DateTimeField(help_text="Until when the turns of workers are given out.")
    learnt_at = models.DateTimeField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"rate of {self.base_url}"
