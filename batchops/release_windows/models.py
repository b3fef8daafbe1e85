"""Freeze: a span in which outreach is not let reach more people."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from batchops.models import Campaign

if TYPE_CHECKING:
    from django.contrib.auth.models import User


class FreezeQuerySet(models.QuerySet["Freeze"]):
    """The questions asked of freezes."""

    def not_over(self, now: dt.datetime) -> FreezeQuerySet:
        """Those that hold now or will, the nearest first."""
        return self.filter(ended_at=None, ends_at__gt=now).order_by("starts_at", "pk")

    def at(self, moment: dt.datetime) -> FreezeQuerySet:
        """Those that hold at an instant."""
        return self.filter(ended_at=None, starts_at__lte=moment, ends_at__gt=moment)


class Freeze(models.Model):
    """From `starts_at` until `ends_at` nothing is released: anywhere, or in one campaign."""

    id = models.BigAutoField(primary_key=True)
    campaign: models.ForeignKey[Campaign | None, Campaign | None] = models.ForeignKey(
        Campaign,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="freezes",
        help_text="Empty: all campaigns.",
    )
    reason = models.TextField()
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    owner: models.ForeignKey[User | None, User | None] = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    owner_name = models.CharField(max_length=150)
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(
        null=True, blank=True, help_text="When a person ended it before its time."
    )
    ended_by_name = models.CharField(max_length=150, blank=True)

    objects: ClassVar[models.Manager[Freeze]] = FreezeQuerySet.as_manager()

    class Meta:
        default_permissions = ()
        permissions = [("keep_freezes", "Can freeze releases, and end freezes")]
        ordering = ("-starts_at", "-pk")
        constraints = [
            models.CheckConstraint(
                condition=Q(ends_at__gt=F("starts_at")), name="freeze_ends_after_its_start"
            )
        ]
        indexes = [models.Index(fields=["ends_at"], name="freeze_open", condition=Q(ended_at=None))]

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"

    @property
    def where(self) -> str:
        return str(self.campaign) if self.campaign is not None else "All campaigns"
