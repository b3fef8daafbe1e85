"""ChangeItem: a change on one batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import models
from django.db.models import Q

from batchops.models.batch import Batch
from batchops.models.change import Change
from batchops.syllable.patch import BatchPatch, Values


class ItemState(models.TextChoices):
    """What became of one batch of a change so far."""

    PENDING = "pending", "Pending"
    SENDING = "sending", "Sending"
    APPLIED = "applied", "Applied"
    NOT_APPLIED = "not_applied", "Not applied as requested"
    REFUSED = "refused", "Refused by the vendor"
    FAILED = "failed", "Failed"
    UNCHANGED = "unchanged", "Already so"
    CONFLICT = "conflict", "Changed meanwhile"
    SKIPPED = "skipped", "Skipped"
    STOPPED = "stopped", "Stopped"


UNSETTLED_STATES = (ItemState.PENDING, ItemState.SENDING)
SUCCESS_STATES = (ItemState.APPLIED, ItemState.UNCHANGED)
TROUBLE_STATES = (
    ItemState.NOT_APPLIED,
    ItemState.REFUSED,
    ItemState.FAILED,
    ItemState.CONFLICT,
)


class ChangeItem(models.Model):
    """A change on one batch: what the person saw, what was asked, what became of it."""

    class Plan(models.TextChoices):
        ACT = "act", "Will be changed"
        ALREADY = "already", "Already so"
        SKIP = "skip", "Skipped"

    class Confirmation(models.TextChoices):
        NONE = "", "Not read back"
        CONFIRMED = "confirmed", "Confirmed"
        NOT_CONFIRMED = "not_confirmed", "Accepted, not confirmed"

    id = models.BigAutoField(primary_key=True)
    change = models.ForeignKey(Change, on_delete=models.CASCADE, related_name="items")
    batch = models.ForeignKey(Batch, on_delete=models.PROTECT, related_name="change_items")
    state = models.CharField(max_length=16, choices=ItemState, default=ItemState.PENDING)
    plan = models.CharField(
        max_length=8, choices=Plan, default=Plan.ACT, help_text="What was foreseen at review."
    )
    expands_outreach = models.BooleanField(
        default=False, help_text="Whether it lets outreach reach more people."
    )
    patch_json = models.JSONField(
        null=True, blank=True, help_text="What is asked of this batch, where it differs."
    )

    before_paused = models.BooleanField(null=True, blank=True)
    before_expires_on = models.DateTimeField(null=True, blank=True)
    before_call_rate = models.IntegerField(null=True, blank=True)
    before_auto_call_rate = models.BooleanField(null=True, blank=True)
    before_status = models.CharField(max_length=64, blank=True)

    attempts = models.PositiveSmallIntegerField(default=0)
    lease = models.CharField(max_length=32, blank=True, help_text="The worker that holds it.")
    lease_until = models.DateTimeField(null=True, blank=True)
    http_status = models.PositiveSmallIntegerField(null=True, blank=True)
    message = models.TextField(blank=True)
    after = models.JSONField(null=True, blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    settled_at = models.DateTimeField(null=True, blank=True)
    confirmation = models.CharField(
        max_length=16, choices=Confirmation, default=Confirmation.NONE, blank=True
    )
    unrequested = models.JSONField(
        default=list, blank=True, help_text="Fields that changed without being requested."
    )

    class Meta:
        default_permissions = ("view",)
        ordering = ("id",)
        constraints = [
            models.UniqueConstraint(fields=["change", "batch"], name="item_once_per_change"),
            models.UniqueConstraint(
                fields=["batch"],
                condition=Q(state="sending"),
                name="one_item_of_a_batch_in_flight",
            ),
        ]
        indexes = [
            models.Index(fields=["change", "state", "id"], name="item_by_state"),
            models.Index(fields=["lease_until"], name="item_lease", condition=Q(state="sending")),
        ]

    def __str__(self) -> str:
        return f"{self.batch_id}: {self.get_state_display()}"

    @property
    def before(self) -> Values:
        """The values the person saw."""
        return Values(
            self.before_paused,
            self.before_expires_on,
            self.before_call_rate,
            self.before_auto_call_rate,
        )

    @before.setter
    def before(self, values: Values) -> None:
        self.before_paused = values.paused
        self.before_expires_on = values.expires_on
        self.before_call_rate = values.call_rate
        self.before_auto_call_rate = values.auto_call_rate

    @property
    def after_values(self) -> Values | None:
        return Values.from_json(self.after) if self.after is not None else None

    def requested(self, change: Change) -> BatchPatch:
        """What is asked of this batch: its own patch, or the change's."""
        return change.patch if self.patch_json is None else BatchPatch.from_json(self.patch_json)


def total(counts: Mapping[str, Any]) -> int:
    """The number of items over all states."""
    return sum(int(count) for count in counts.values())
