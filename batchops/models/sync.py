"""SyncRun: one sync of the vendor's batches and campaigns."""

from __future__ import annotations

import datetime as dt

from django.db import models


class SyncRun(models.Model):
    """One sync: what it was, what it found, how it ended."""

    class Kind(models.TextChoices):
        FULL = "full", "Full"
        INCREMENTAL = "incremental", "Incremental"

    class State(models.TextChoices):
        RUNNING = "running", "Running"
        DONE = "done", "Done"
        FAILED = "failed", "Failed"

    kind = models.CharField(max_length=16, choices=Kind)
    state = models.CharField(max_length=16, choices=State, default=State.RUNNING)
    requested_by = models.CharField(max_length=150, blank=True, help_text="Empty: the schedule.")
    started_at = models.DateTimeField(db_index=True)
    alive_at = models.DateTimeField(help_text="Last sign of life while running.")
    finished_at = models.DateTimeField(null=True, blank=True)
    batches_seen = models.PositiveIntegerField(default=0)
    created = models.PositiveIntegerField(default=0)
    changed = models.PositiveIntegerField(default=0)
    missing = models.PositiveIntegerField(default=0)
    unreadable = models.PositiveIntegerField(default=0)
    campaigns_seen = models.PositiveIntegerField(default=0)
    error = models.TextField(blank=True)
    key_rejected = models.BooleanField(default=False)
    newest_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="Up to when, by the vendor's dates, all changes on the list were seen.",
    )
    fully_synced_at = models.DateTimeField(
        null=True, blank=True, help_text="When the last sync began that saw every batch."
    )
    notes = models.JSONField(
        default=list, blank=True, help_text="Unknown fields and statuses, unreadable rows."
    )

    class Meta:
        default_permissions = ("view",)
        verbose_name = "sync"
        ordering = ("-started_at", "-id")
        constraints = [
            models.UniqueConstraint(
                fields=["state"],
                condition=models.Q(state="running"),
                name="one_sync_at_a_time",
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} sync of {self.started_at:%Y-%m-%d %H:%M:%S} UTC"

    @property
    def duration(self) -> dt.timedelta | None:
        return self.finished_at - self.started_at if self.finished_at else None
