"""AuditEntry: one fact that can never be edited; AuditHead: the end of its hash chain."""

from __future__ import annotations

from django.db import models


class Action(models.TextChoices):
    """Every kind of fact the trail records, namespaced, with its label.

    Not a constraint of the table: an entry of a newer version stays readable in an older one.
    """

    CHANGE_REQUESTED = "change.requested", "Change requested"
    CHANGE_CONFIRMED = "change.confirmed", "Change confirmed"
    CHANGE_DISCARDED = "change.discarded", "Draft discarded"
    CHANGE_APPROVED = "change.approved", "Change approved"
    CHANGE_APPROVAL_EXPIRED = "change.approval_expired", "Approval expired"
    CHANGE_REJECTED = "change.rejected", "Change rejected"
    CHANGE_SCHEDULED = "change.scheduled", "Change scheduled"
    CHANGE_RESCHEDULED = "change.rescheduled", "Start of a change moved"
    CHANGE_CANCELLED = "change.cancelled", "Scheduled change cancelled"
    CHANGE_STARTED = "change.started", "Change started"
    CHANGE_HALTED = "change.halted", "Change halted"
    CHANGE_CONTINUED = "change.continued", "Change continued"
    CHANGE_STOPPED = "change.stopped", "Change stopped"
    CHANGE_FINISHED = "change.finished", "Change finished"
    CHANGE_READ_BACK = "change.read_back", "Change read back from the vendor"
    CHANGE_DENIED = "change.denied", "Change denied"
    HOLDS_LIFTED = "change.holds_lifted", "Holds lifted, batches still paused"
    HOLDS_OVERRIDDEN = "change.holds_overridden", "Holds of another person lifted"
    OVERRIDE_SEEN = "change.override_seen", "Lifted holds seen by their owner"
    RESUME_MOVED = "change.resume_moved", "End of a pause moved"
    RESUME_CANCELLED = "change.resume_cancelled", "End of a pause cancelled"

    RELEASES_FROZEN = "release.frozen", "Releases frozen"
    FREEZE_ENDED = "release.freeze_ended", "Freeze ended before its time"

    CAMPAIGN_ZONE_SET = "campaign.zone_set", "Time zone of a campaign set"

    BATCH_APPLIED = "batch.applied", "Applied"
    BATCH_NOT_APPLIED = "batch.not_applied", "Not applied as requested"
    BATCH_REFUSED = "batch.refused", "Refused by the vendor"
    BATCH_FAILED = "batch.failed", "Failed"
    BATCH_UNCHANGED = "batch.unchanged", "Already so"
    BATCH_CONFLICT = "batch.conflict", "Changed meanwhile"
    BATCH_SKIPPED = "batch.skipped", "Skipped"
    BATCH_POSTPONED = "batch.postponed", "Sent without a clear answer, and put off"
    BATCH_STOPPED = "batch.stopped", "Stopped before it was sent"
    BATCH_NOT_CONFIRMED = "batch.not_confirmed", "Accepted, not confirmed"
    BATCH_UNREQUESTED_CHANGE = "batch.unrequested_change", "A field changed without being requested"
    BATCH_CHANGED_OUTSIDE = "batch.changed_outside", "Changed outside batchops"
    BATCH_CHANGED_WITH_OUR_KEY = (
        "batch.changed_with_our_key",
        "Changed by another tool with the same key",
    )
    BATCH_CARRIED_OUT_LATE = "batch.carried_out_late", "Carried out after all"
    BATCH_STATUS_CHANGED = "batch.status_changed", "Status changed by itself"
    BATCH_MISSING = "batch.missing", "Vanished at the vendor"
    BATCH_FOUND_AGAIN = "batch.found_again", "Found again at the vendor"
    BATCH_ID_SHARED = "batch.id_shared", "Id found in several campaigns"
    BATCH_ID_UNIQUE = "batch.id_unique", "Id in one campaign again"

    VIEW_SHARED = "view.shared", "View of the batch list shared"
    VIEW_REMOVED = "view.removed", "View of the batch list no longer shared"
    BATCHES_EXPORTED = "export.batches", "Batch list exported"

    SYNC_REQUESTED = "sync.requested", "Sync requested"
    SYNC_FAILED = "sync.failed", "Sync failed"
    SYNC_RECOVERED = "sync.recovered", "Sync succeeded again"

    ACCOUNT_SIGNED_IN = "account.signed_in", "Signed in"
    ACCOUNT_SIGN_IN_FAILED = "account.sign_in_failed", "Sign-in failed"
    ACCOUNT_SIGN_IN_HELD_BACK = "account.sign_in_held_back", "Sign-in held back"
    ACCOUNT_PROVED = "account.proved", "Signed in again"
    ACCOUNT_SIGNED_OUT = "account.signed_out", "Signed out"
    ACCOUNT_SESSION_ENDED = "account.session_ended", "Session ended"
    ACCOUNT_FACTOR_ADDED = "account.factor_added", "Second factor added"
    ACCOUNT_FACTOR_REMOVED = "account.factor_removed", "Second factor removed"
    ACCOUNT_CREATED = "account.created", "Account created"
    ACCOUNT_CHANGED = "account.changed", "Account changed"
    ACCOUNT_DELETED = "account.deleted", "Account deleted"
    ACCOUNT_PASSWORD = "account.password_changed", "Password changed"
    ACCOUNT_PERMISSIONS = "account.permissions", "Permissions changed"
    GROUP_CREATED = "group.created", "Group created"
    GROUP_CHANGED = "group.changed", "Group changed"
    GROUP_DELETED = "group.deleted", "Group deleted"
    ACCESS_DENIED = "access.denied", "Access denied"
    ACCESS_DENIALS_SUMMED_UP = "access.denials_summed_up", "More tries denied"

    AUDIT_EXPORTED = "audit.exported", "Audit trail exported"
    AUDIT_ANCHORED = "audit.anchored", "Anchor recorded"
    AUDIT_VERIFIED = "audit.verified", "Audit trail verified"
    AUDIT_ARCHIVE_REQUESTED = "audit.archive_requested", "Archive of the audit trail requested"
    AUDIT_ARCHIVED = "audit.archived", "Audit trail archived"
    AUDIT_ROLLED_BACK = "audit.rolled_back", "Audit trail found rolled back"
    AUDIT_ACKNOWLEDGED = "audit.acknowledged", "Fault of the audit trail acknowledged"
    AUDIT_REVIEWED = "audit.reviewed", "Entries reviewed"
    AUDIT_SIGNED_OFF = "audit.signed_off", "Period signed off"
    AUDIT_SAMPLED = "audit.sampled", "Random sample drawn"

    CHANNEL_ADDED = "notice.channel_added", "Channel of notices added"
    CHANNEL_CHANGED = "notice.channel_changed", "Channel of notices changed"
    CHANNEL_TESTED = "notice.channel_tested", "Channel of notices tested"
    CHANNEL_TRIED_AGAIN = "notice.channel_tried_again", "Messages of a channel sent again"
    CHANNEL_SWITCHED_OFF = "notice.channel_switched_off", "Channel of notices switched off"

    DATABASE_BACKED_UP = "database.backed_up", "Database backed up"
    DATABASE_RESTORED = "database.restored", "Database restored from a backup"

    @classmethod
    def label_of(cls, action: str) -> str:
        """The label of an action, or the action itself when this version does not know it."""
        return str(cls(action).label) if action in cls.values else action


class ActorKind(models.TextChoices):
    """What kind of actor an entry names: a name alone could be anybody's."""

    PERSON = "person", "Person"
    SYSTEM = "system", "batchops itself"
    OUTSIDE = "outside", "Outside batchops"
    COMMAND_LINE = "command_line", "Command line, without an account"
    NOBODY = "nobody", "Nobody who is signed in"


class AuditEntry(models.Model):
    """One fact: when, who, from where, what, why, from what to what, and the vendor's answer.

    Holds plain values only: no foreign key could ever ask for a row to be changed or deleted.
    Written by `batchops.audit.record` alone; database triggers refuse the rest.
    """

    sequence = models.BigIntegerField(primary_key=True)
    at = models.DateTimeField()
    action = models.CharField(max_length=64)
    outcome = models.CharField(max_length=32, blank=True)
    actor_id = models.BigIntegerField(null=True)
    actor_name = models.CharField(max_length=255)
    actor_ip = models.CharField(max_length=45, blank=True)
    actor_kind = models.CharField(max_length=16, choices=ActorKind, default=ActorKind.PERSON)
    on_behalf_of_id = models.BigIntegerField(null=True)
    on_behalf_of_name = models.CharField(
        max_length=255, blank=True, help_text="The person for whom batchops itself acted."
    )
    operated_by = models.CharField(
        max_length=255,
        blank=True,
        help_text="The machine's account and host, where it came from a command.",
    )
    batch_id = models.CharField(max_length=255, blank=True)
    campaign_id = models.BigIntegerField(null=True)
    campaign_name = models.CharField(max_length=500, blank=True)
    change_id = models.UUIDField(null=True)
    reason = models.TextField(blank=True)
    reference = models.CharField(max_length=100, blank=True)
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    http_status = models.SmallIntegerField(null=True)
    detail = models.JSONField(default=dict)
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)

    class Meta:
        default_permissions = ("view",)
        permissions = [
            ("export_auditentry", "Can export the audit trail"),
            ("review_auditentry", "Can review entries and sign off periods"),
            ("archive_auditentry", "Can archive old entries of the audit trail"),
            ("acknowledge_auditentry", "Can acknowledge a fault of the audit trail"),
        ]
        verbose_name_plural = "audit trail"
        ordering = ("-sequence",)
        indexes = [
            models.Index(fields=["at", "sequence"], name="audit_at"),
            models.Index(fields=["action", "-sequence"], name="audit_action"),
            models.Index(fields=["outcome", "-sequence"], name="audit_outcome"),
            models.Index(fields=["actor_name", "-sequence"], name="audit_actor"),
            models.Index(fields=["on_behalf_of_name", "-sequence"], name="audit_behalf"),
            # These operator classes serve the beginning of a batch id in any collation.
            models.Index(
                fields=["batch_id", "-sequence"],
                name="audit_batch",
                opclasses=["varchar_pattern_ops", "int8_ops"],
            ),
            models.Index(fields=["campaign_id", "-sequence"], name="audit_campaign"),
            models.Index(fields=["change_id", "-sequence"], name="audit_change"),
        ]

    def __str__(self) -> str:
        return f"{self.sequence}: {Action.label_of(self.action)}"

    @property
    def who(self) -> str:
        """The actor in words: "batchops, for olivia", or "olivia, by root@host"."""
        behalf = f"for {self.on_behalf_of_name}" if self.on_behalf_of_name else ""
        operator = f"by {self.operated_by}" if self.operated_by else ""
        return ", ".join(part for part in (self.actor_name, behalf, operator) if part)


class AuditHead(models.Model):
    """The single row that ends the chain; locked while entries are written."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    sequence = models.BigIntegerField(default=0)
    hash = models.CharField(max_length=64, default="0" * 64)
    removable_through = models.BigIntegerField(
        default=0, help_text="Entries up to this sequence may be removed: set only by archiving."
    )

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.sequence}:{self.hash[:12]}"


class AuditReviewedRange(models.Model):
    """Entries from `first` to `last` that a review covers; ranges never overlap.

    Only an index for "not yet reviewed": the review itself is an entry of the trail.
    """

    first = models.BigIntegerField(primary_key=True)
    last = models.BigIntegerField()
    review = models.BigIntegerField(
        db_index=True, help_text="Sequence of the entry that records the review."
    )

    class Meta:
        default_permissions = ()
        ordering = ("first",)

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"


class AuditOutlet(models.Model):
    """A way by which anchors leave the database, and how far they have left by it."""

    name = models.CharField(max_length=16, primary_key=True)
    delivered_through = models.BigIntegerField(
        default=0, help_text="Sequence of the entry of the last anchor that went out."
    )
    failing_since = models.DateTimeField(null=True)
    error = models.CharField(max_length=500, blank=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.name


class AuditLease(models.Model):
    """What only one process does at a time, such as writing a review; it lapses by itself."""

    name = models.CharField(max_length=16, primary_key=True)
    holder = models.CharField(max_length=32, blank=True)
    until = models.DateTimeField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.name
