"""Hold: what keeps a batch paused, one for each person who paused it."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q

from batchops.models.batch import Batch
from batchops.models.change import Change


class HoldQuerySet(models.QuerySet["Hold"]):
    """The questions asked of holds."""

    def standing(self) -> HoldQuerySet:
        """Not lifted."""
        return self.filter(lifted_at=None)


class Hold(models.Model):
    """A pause on one batch. Owner, reason, end and protection are those of its change."""

    id = models.BigAutoField(primary_key=True)
    batch = models.ForeignKey(Batch, on_delete=models.PROTECT, related_name="holds")
    change = models.ForeignKey(Change, on_delete=models.PROTECT, related_name="holds")
    placed_at = models.DateTimeField()
    found_outside = models.BooleanField(
        default=False, help_text="Whether the batch was paused outside batchops before."
    )
    lifted_at = models.DateTimeField(null=True, blank=True)
    lifted_by: models.ForeignKey[Change | None, Change | None] = models.ForeignKey(
        Change,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="lifted_holds",
        help_text="The change that lifted it; empty: the batch was resumed outside batchops.",
    )

    objects: ClassVar[models.Manager[Hold]] = HoldQuerySet.as_manager()

    class Meta:
        default_permissions = ()
        ordering = ("placed_at", "pk")
        constraints = [
            models.UniqueConstraint(fields=["batch", "change"], name="hold_once_per_change")
        ]
        indexes = [
            models.Index(fields=["batch"], name="hold_standing", condition=Q(lifted_at=None))
        ]

    def __str__(self) -> str:
        return f"{self.batch_id}, held by {self.change.requested_by_name}"
