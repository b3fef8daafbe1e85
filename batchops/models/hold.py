"""Hold: what keeps a batch paused, one for each person who paused it."""

from __future__ import annotations

from django.db import models
from django.db.models import Exists, OuterRef, Q

from batchops.models.batch import Batch
from batchops.models.change import Change


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


def held_with_no_end() -> Q:
    """Batches that stay paused, by what is known, until a person resumes them."""
    endless = Q(change__resume_at=None) | Q(found_outside=True)
    standing = Hold.objects.filter(endless, batch=OuterRef("pk"), lifted_at=None)
    return Q(paused_by=None) | Q(Exists(standing))
