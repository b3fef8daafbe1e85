"""Hold: what keeps a batch paused. A batch may carry several, of different people."""

from __future__ import annotations

import datetime as dt
from typing import ClassVar

from django.db import models
from django.db.models import Exists, OuterRef, Q

from batchops.models.batch import Batch
from batchops.models.change import Change


class HoldQuerySet(models.QuerySet["Hold"]):
    """The questions asked of holds."""

    def standing(self) -> HoldQuerySet:
        """Not lifted."""
        return self.filter(lifted_at=None)


class Hold(models.Model):
    """One pause on one batch: of a change here, or made outside batchops.

    Owner, reason, end and protection are those of the change. A paused batch carries at least one.
    """

    id = models.BigAutoField(primary_key=True)
    batch = models.ForeignKey(Batch, on_delete=models.PROTECT, related_name="holds")
    change: models.ForeignKey[Change | None, Change | None] = models.ForeignKey(
        Change,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="holds",
        help_text="The pause; empty: it was made outside batchops.",
    )
    outside_name = models.CharField(
        max_length=255, blank=True, help_text="Who made it outside, as the vendor names them."
    )
    placed_at = models.DateTimeField()
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
            models.UniqueConstraint(fields=["batch", "change"], name="hold_once_per_change"),
            models.UniqueConstraint(
                fields=["batch"],
                condition=Q(change=None, lifted_at=None),
                name="one_hold_from_outside",
            ),
        ]
        indexes = [
            models.Index(fields=["batch"], name="hold_standing", condition=Q(lifted_at=None)),
            models.Index(
                fields=["change", "lifted_by"],
                name="hold_overridden",
                condition=Q(lifted_by__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.batch_id}, held by {self.owner}"

    @property
    def owner(self) -> str:
        """Whose it is, for people: "ana", "outside batchops (ben@vendor.example)"."""
        if self.change is not None:
            return self.change.requested_by_name
        return f"outside batchops ({self.outside_name})" if self.outside_name else OUTSIDE

    @property
    def reason(self) -> str:
        return self.change.reason if self.change is not None else ""

    @property
    def ends_at(self) -> dt.datetime | None:
        return self.change.resume_at if self.change is not None else None

    @property
    def is_protected(self) -> bool:
        return self.change is not None and self.change.protected


class HoldOverride(models.Model):
    """That holds of a pause were lifted by another person, kept until their owner has seen it."""

    id = models.BigAutoField(primary_key=True)
    pause = models.ForeignKey(Change, on_delete=models.PROTECT, related_name="overrides")
    by = models.ForeignKey(Change, on_delete=models.PROTECT, related_name="overriding")
    at = models.DateTimeField()
    seen_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        default_permissions = ()
        ordering = ("-at", "-pk")
        constraints = [
            models.UniqueConstraint(fields=["pause", "by"], name="override_once_per_change")
        ]
        indexes = [
            models.Index(fields=["pause"], name="override_unseen", condition=Q(seen_at=None))
        ]

    def __str__(self) -> str:
        return f"{self.pause_id}, overridden by {self.by_id}"


OUTSIDE = "outside batchops"


def ends_by_itself() -> Q:
    """Batches of which all holds that stand have an end."""
    standing = Hold.objects.filter(lifted_at=None)
    ending = standing.filter(change__resume_at__isnull=False)
    endless = standing.filter(change__resume_at=None, batch=OuterRef("pk"))
    return Q(pk__in=ending.values("batch")) & ~Q(Exists(endless))
