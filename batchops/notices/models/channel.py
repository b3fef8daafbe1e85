"""Channel: a way by which notices leave; Delivery: one message on its way, the outbox."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.conf import settings
from django.contrib.auth.models import User
from django.db import models
from django.db.models import Q

from batchops.notices.models.notice import Notice, Severity


class Channel(models.Model):
    """Where notices are sent to. What is secret of it is sealed, or named in the environment."""

    class Kind(models.TextChoices):
        MAIL = "mail", "Mail"
        WEBHOOK = "webhook", "Webhook (Standard Webhooks)"
        SLACK = "slack", "Slack"
        TEAMS = "teams", "Microsoft Teams"
        GOOGLE_CHAT = "google_chat", "Google Chat"

    name = models.CharField(max_length=100, unique=True)
    kind = models.CharField(max_length=16, choices=Kind)
    shown_target = models.CharField(
        max_length=1_000, help_text="What may be shown of where it leads: addresses, or a host."
    )
    sealed_target = models.TextField(help_text="Where it leads, sealed; or env:NAME.")
    sealed_secret = models.TextField(
        blank=True, help_text="What signs its messages, sealed; or env:NAME."
    )
    least_severity = models.SmallIntegerField(
        choices=Severity,
        default=Severity.WARNING,
        help_text="Notices that matter less are not sent.",
    )
    is_active = models.BooleanField(default=True)
    off_reason = models.TextField(blank=True, help_text="Why it was switched off by itself.")
    failing_since = models.DateTimeField(null=True)
    last_error = models.TextField(blank=True)
    owner: models.OneToOneField[User | None, User | None] = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.CASCADE,
        related_name="+",
        help_text="Whose own mail it is: it takes what is in their inbox, and nothing else.",
    )
    quiet_from = models.TimeField(null=True, help_text="From then on only what is urgent is sent.")
    quiet_until = models.TimeField(null=True)
    zone = models.CharField(max_length=64, default="UTC", help_text="In which quiet hours are.")
    lease = models.UUIDField(null=True, help_text="The worker that delivers by it.")
    lease_until = models.DateTimeField(null=True)

    objects: ClassVar[models.Manager[Channel]] = models.Manager()

    class Meta:
        default_permissions = ()
        permissions = [("keep_channels", "Can keep the channels by which notices are sent")]
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class Delivery(models.Model):
    """One message by one channel. Its id and its words are the same however often it is sent."""

    class Event(models.TextChoices):
        RAISED = "raised", "Raised"
        MORE = "more", "More of the same"
        CLOSED = "closed", "All clear"
        TEST = "test", "Test"

    class State(models.TextChoices):
        PENDING = "pending", "Waiting"
        SENT = "sent", "Sent"
        DEAD = "dead", "Given up"

    channel: models.ForeignKey[Channel, Channel] = models.ForeignKey(
        Channel, on_delete=models.CASCADE, related_name="deliveries"
    )
    notice: models.ForeignKey[Notice | None, Notice | None] = models.ForeignKey(
        Notice, null=True, on_delete=models.CASCADE, related_name="deliveries"
    )
    event = models.CharField(max_length=8, choices=Event)
    message_id = models.UUIDField(default=uuid.uuid4, unique=True)
    message = models.JSONField(null=True, help_text="What it says, once that is composed.")
    state = models.CharField(max_length=8, choices=State, default=State.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField()
    due_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True)
    error = models.TextField(blank=True, help_text="What the other side last said.")

    objects: ClassVar[models.Manager[Delivery]] = models.Manager()

    class Meta:
        default_permissions = ()
        ordering = ("pk",)
        constraints = [
            models.UniqueConstraint(
                fields=["channel", "notice", "event"], name="notice_event_once_by_a_channel"
            )
        ]
        indexes = [
            models.Index(
                fields=["channel", "id"], name="delivery_pending", condition=Q(state="pending")
            ),
            models.Index(fields=["channel", "state", "-id"], name="delivery_state"),
        ]

    def __str__(self) -> str:
        return f"{self.event} {self.notice_id or ''} by {self.channel_id}"
