"""Notice, InboxItem and Cursor: what was worth a word, who has read it, and what is taken up."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.contrib.auth.models import User
from django.db import models
from django.db.models import Q


class Severity(models.IntegerChoices):
    """How much a notice matters."""

    INFO = 10, "For information"
    WARNING = 20, "Warning"
    URGENT = 30, "Urgent"


class Notice(models.Model):
    """One thing that is worth a word: an event, or a state that lasts until it is over.

    Names what it is about by plain values, since it may outlive that.
    """

    kind = models.CharField(max_length=64)
    key = models.CharField(
        max_length=400, help_text="What it is about: what is open under the same key is the same."
    )
    severity = models.SmallIntegerField(choices=Severity)
    title = models.CharField(max_length=500)
    advice = models.TextField(blank=True)
    link = models.CharField(max_length=1_000, blank=True, help_text="A path of the site.")
    number = models.PositiveIntegerField(default=1, help_text="How many facts it sums up.")
    change_id = models.UUIDField(null=True)
    batch_id = models.CharField(max_length=255, blank=True)
    campaign_id = models.BigIntegerField(null=True)
    lasts = models.BooleanField(help_text="Whether it is a state, which can be over.")
    raised_at = models.DateTimeField()
    last_at = models.DateTimeField(help_text="When it was last added to.")
    closed_at = models.DateTimeField(
        null=True, help_text="When it was over, or when nothing more was added to it."
    )

    class Meta:
        default_permissions = ()
        ordering = ("-pk",)
        constraints = [
            models.UniqueConstraint(
                fields=["key"], condition=Q(closed_at__isnull=True), name="notice_open_once"
            )
        ]
        indexes = [models.Index(fields=["closed_at"], name="notice_closed")]

    def __str__(self) -> str:
        return self.title

    @property
    def is_over(self) -> bool:
        """Whether it was a state that is over: all clear."""
        return self.lasts and self.closed_at is not None

    @property
    def tone(self) -> str:
        """How pages colour it."""
        if self.is_over:
            return "good"
        return {Severity.INFO: "info", Severity.WARNING: "warn", Severity.URGENT: "bad"}[
            Severity(self.severity)
        ]


class InboxItem(models.Model):
    """A notice in one person's inbox."""

    user: models.ForeignKey[User, User] = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+"
    )
    notice: models.ForeignKey[Notice, Notice] = models.ForeignKey(
        Notice, on_delete=models.CASCADE, related_name="inbox_items"
    )
    read_at = models.DateTimeField(null=True)

    objects: ClassVar[models.Manager[InboxItem]] = models.Manager()

    class Meta:
        default_permissions = ()
        ordering = ("-notice_id",)
        constraints = [
            models.UniqueConstraint(fields=["user", "notice"], name="notice_once_in_an_inbox")
        ]
        indexes = [
            models.Index(
                fields=["user", "-notice"], name="inbox_unread", condition=Q(read_at__isnull=True)
            )
        ]

    def __str__(self) -> str:
        return f"{self.notice_id} for {self.user_id}"


class Cursor(models.Model):
    """How far a reader of the audit trail has come."""

    name = models.CharField(max_length=64, primary_key=True)
    sequence = models.BigIntegerField(default=0, help_text="The last entry that was taken up.")

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.name} through {self.sequence}"
