"""VendorRequests and TrailCount: what was counted so far, over all processes."""

from __future__ import annotations

from django.db import models


class VendorRequests(models.Model):
    """The requests to the vendor of one kind with one status."""

    operation = models.CharField(max_length=32)
    status = models.CharField(max_length=16, help_text="The HTTP status, or what stands for it.")
    buckets = models.JSONField(help_text="How many took how long; see syllable/tally.py.")
    seconds = models.FloatField(default=0.0, help_text="How long they took altogether.")

    class Meta:
        default_permissions = ()
        ordering = ("operation", "status")
        constraints = [
            models.UniqueConstraint(fields=["operation", "status"], name="requests_of_a_kind_once")
        ]

    def __str__(self) -> str:
        return f"{self.operation} {self.status}"


class TrailCount(models.Model):
    """The single row that says how many entries of the audit trail there are, by their action."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    through = models.BigIntegerField(default=0, help_text="Sequence of the last entry counted.")
    by_action = models.JSONField(default=dict)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"entries through {self.through}"
