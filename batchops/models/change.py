"""Change: one request of one person over one or many batches."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import TYPE_CHECKING, ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q

from batchops.syllable.patch import BatchPatch

if TYPE_CHECKING:
    from django.contrib.auth.models import User


class ChangeState(models.TextChoices):
    """How far a change has come."""

    DRAFTING = "drafting", "Being drafted"
    DRAFT = "draft", "Draft"
    AWAITING_APPROVAL = "awaiting_approval", "Awaiting approval"
    SCHEDULED = "scheduled", "Scheduled"
    QUEUED = "queued", "Queued"
    RUNNING = "running", "Running"
    FINISHED = "finished", "Finished"
    STOPPED = "stopped", "Stopped"
    REJECTED = "rejected", "Rejected"
    DISCARDED = "discarded", "Discarded"


DRAFT_STATES = (ChangeState.DRAFTING, ChangeState.DRAFT)
OPEN_STATES = (
    ChangeState.AWAITING_APPROVAL,
    ChangeState.SCHEDULED,
    ChangeState.QUEUED,
    ChangeState.RUNNING,
)
RUNNABLE_STATES = (ChangeState.QUEUED, ChangeState.RUNNING)
ENDED_STATES = (ChangeState.FINISHED, ChangeState.STOPPED)


class ChangeQuerySet(models.QuerySet["Change"]):
    """The questions asked of changes."""

    def open(self) -> ChangeQuerySet:
        """Confirmed and not at an end."""
        return self.filter(state__in=OPEN_STATES)

    def visible(self) -> ChangeQuerySet:
        """All but drafts, which are only their author's."""
        return self.exclude(state__in=(*DRAFT_STATES, ChangeState.DISCARDED))


class Change(models.Model):
    """What should be so, on which batches, and why; and how far it has come."""

    class Source(models.TextChoices):
        ACTION = "action", "Batch list"
        FORM = "form", "Batch page"
        COMMAND = "command", "Command line"
        EMERGENCY = "emergency", "Emergency pause"
        UNDO = "undo", "Undo"
        RETRY = "retry", "Retry"
        RESUME = "resume", "Resume"
        END = "end", "End of a pause"

    class Lifts(models.TextChoices):
        OWN = "own", "The holds of who requests it"
        FOLLOWED = "followed", "The holds of the pause that ends"
        ALL = "all", "The holds of everybody"

    class Priority(models.IntegerChoices):
        NORMAL = 0, "Normal"
        EMERGENCY = 10, "Emergency"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    patch_json = models.JSONField(default=dict)
    reason = models.TextField(blank=True)
    reference = models.CharField(max_length=100, blank=True, help_text="A ticket, for example.")
    source = models.CharField(max_length=16, choices=Source)
    lifts = models.CharField(
        max_length=8, choices=Lifts, default=Lifts.OWN, help_text="Whose holds it may lift."
    )
    protected = models.BooleanField(
        default=False,
        help_text="A pause whose holds only its owner, or another with approval, may lift.",
    )
    selection = models.TextField(blank=True, help_text="How the batches were chosen, in words.")
    priority = models.SmallIntegerField(choices=Priority, default=Priority.NORMAL)
    state = models.CharField(max_length=20, choices=ChangeState, default=ChangeState.DRAFT)
    follows: models.ForeignKey[Change | None, Change | None] = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="followed_by",
        help_text="The change that this one undoes, retries or ends.",
    )

    requested_by: models.ForeignKey[User | None, User | None] = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="changes"
    )
    requested_by_name = models.CharField(max_length=150)
    requested_from = models.CharField(max_length=45, blank=True, help_text="IP address.")

    created_at = models.DateTimeField(db_index=True)
    confirmed_at = models.DateTimeField(null=True, blank=True)
    starts_at = models.DateTimeField(null=True, blank=True, help_text="Scheduled start.")
    resume_at = models.DateTimeField(
        null=True, blank=True, help_text="When exactly the batches that this paused are resumed."
    )
    resume_set_by: models.ForeignKey[User | None, User | None] = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="Who last set, moved or cancelled the end of this pause, and answers for it.",
    )
    resume_set_by_name = models.CharField(max_length=150, blank=True)
    resume_set_from = models.CharField(max_length=45, blank=True, help_text="IP address.")
    resume_reason = models.TextField(blank=True, help_text="Why it ends then.")
    resume_lease_until = models.DateTimeField(
        null=True, blank=True, help_text="Until then one worker alone ends this pause."
    )
    preflight_at = models.DateTimeField(
        null=True, blank=True, help_text="When the batches were last compared with the vendor."
    )
    preflight_lease_until = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    read_back_at = models.DateTimeField(null=True, blank=True)
    read_back_due_at = models.DateTimeField(
        null=True, blank=True, help_text="When it is read back next; empty: at once."
    )
    read_back_lease_until = models.DateTimeField(null=True, blank=True)

    halted_reason = models.TextField(
        blank=True, help_text="Set: nothing is sent until a person goes on with it."
    )
    waiting_reason = models.TextField(blank=True, help_text="Set: it goes on by itself.")
    waiting_since = models.DateTimeField(null=True, blank=True)
    waiting_until = models.DateTimeField(null=True, blank=True)
    in_flight = models.JSONField(
        default=dict, blank=True, help_text="Requests in flight and why they are slowed."
    )

    approval_required = models.BooleanField(default=False)
    approval_reason = models.TextField(blank=True)
    items_fingerprint = models.CharField(
        max_length=64, blank=True, help_text="SHA-256 over the items as they were frozen."
    )
    fingerprint = models.CharField(
        max_length=64, blank=True, help_text="SHA-256 over all that determines what runs."
    )
    approved_fingerprint = models.CharField(max_length=64, blank=True)
    approval_expires_at = models.DateTimeField(null=True, blank=True)
    decided_by: models.ForeignKey[User | None, User | None] = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    decided_by_name = models.CharField(max_length=150, blank=True)
    decided_at = models.DateTimeField(null=True, blank=True)
    decision_comment = models.TextField(blank=True)

    item_count = models.PositiveIntegerField(default=0)
    acting_count = models.PositiveIntegerField(
        default=0, help_text="Batches that it is foreseen to change."
    )
    expanding_count = models.PositiveIntegerField(
        default=0, help_text="Batches on which it lets outreach reach more people."
    )
    proceeded_by: models.ForeignKey[User | None, User | None] = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="Who went on with it after a halt or stop, and answers for it since.",
    )
    proceeded_by_name = models.CharField(max_length=150, blank=True)
    counts_json = models.JSONField(
        default=dict, blank=True, help_text="Items by state, as last counted."
    )

    is_undone: bool = False
    """Whether a later change has put back all that this one did; set by who has looked."""

    objects: ClassVar[models.Manager[Change]] = ChangeQuerySet.as_manager()

    class Meta:
        default_permissions = ("view",)
        permissions = [
            ("request_change", "Can pause batches and take outreach back"),
            ("expand_outreach", "Can resume batches, extend them and raise rates"),
            ("control_change", "Can stop, continue and retry changes"),
            ("approve_change", "Can approve and reject changes of others"),
            ("override_holds", "Can lift the holds of others"),
        ]
        ordering = ("-created_at",)
        indexes = [
            models.Index(fields=["state", "-priority", "confirmed_at"], name="change_queue"),
            models.Index(
                fields=["resume_at"], name="change_resume", condition=Q(resume_at__isnull=False)
            ),
            # What has ended long ago is not looked at each second.
            models.Index(
                fields=["state"], name="change_read_back", condition=Q(read_back_at__isnull=True)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.summary()} ({self.requested_by_name})"

    def summary(self, zone: dt.tzinfo = dt.UTC) -> str:
        """What is asked, in words; an undo asks something of its own of each batch."""
        if self.source == self.Source.UNDO:
            return f"undo change {str(self.follows_id)[:8]}"
        return "expire now" if self.expires_now else self.patch.describe(zone)

    @property
    def doing(self) -> str:
        """What is being done to its batches, for "Continue pausing 19"."""
        if self.source == self.Source.UNDO:
            return "undoing"
        if self.expires_now:
            return "expiring"
        named = {BatchPatch(paused=True): "pausing", BatchPatch(paused=False): "resuming"}
        return named.get(self.patch, "changing")

    @property
    def patch(self) -> BatchPatch:
        return BatchPatch.from_json(self.patch_json)

    @patch.setter
    def patch(self, patch: BatchPatch) -> None:
        self.patch_json = patch.to_json()

    @property
    def expires_now(self) -> bool:
        """Whether all that it asks for is an expiry that was not ahead when it was asked for."""
        expiry = self.patch.expires_on
        return (
            self.patch.touched == ("expires_on",)
            and isinstance(expiry, dt.datetime)
            and expiry <= self.created_at
        )

    @property
    def responsible(self) -> User | None:
        """Who answers for it now; None when that account is gone."""
        return self.proceeded_by if self.proceeded_by_name else self.requested_by

    @property
    def responsible_id(self) -> int | None:
        return self.proceeded_by_id if self.proceeded_by_name else self.requested_by_id

    @property
    def responsible_name(self) -> str:
        return self.proceeded_by_name or self.requested_by_name

    @property
    def expands_outreach(self) -> bool:
        """Whether it may let outreach reach more people."""
        return bool(self.expanding_count) or self.patch_json.get("paused") is False

    @property
    def author_ids(self) -> set[int]:
        """Whoever determined what will run: none of them can approve it."""
        found = (self.requested_by_id, self.resume_set_by_id, self.proceeded_by_id)
        return {one for one in found if one is not None}

    @property
    def is_open(self) -> bool:
        return self.state in OPEN_STATES

    @property
    def is_halted(self) -> bool:
        return bool(self.halted_reason)

    @property
    def short_id(self) -> str:
        return str(self.id)[:8]
