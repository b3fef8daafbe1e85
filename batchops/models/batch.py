"""The mirrors: what the vendor last said of its campaigns and batches."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, ClassVar, Self, TypeVar

from django.db import models
from django.db.models import F, Q, Sum
from django.utils import timezone

if TYPE_CHECKING:
    from batchops.models.change import Change


class KnownStatus(models.TextChoices):
    """Statuses the vendor is known to use. The set changes over time: others are kept as text."""

    PENDING = "PENDING", "Pending"
    ACTIVE = "ACTIVE", "Active"
    PAUSED = "PAUSED", "Paused"
    FAILED = "FAILED", "Failed"
    CANCELED = "CANCELED", "Canceled"
    EXPIRED = "EXPIRED", "Expired"


ENDED_STATUSES = (KnownStatus.FAILED, KnownStatus.CANCELED, KnownStatus.EXPIRED)
"""Statuses in which no outreach is made any more."""


class HasEnded(models.Func):
    """Whether a status is one in which no outreach is made any more.

    Written out: with values that are bound later, SQLite would not use an index of live batches.
    """

    template = f"%(expressions)s IN ({', '.join(repr(status.value) for status in ENDED_STATUSES)})"
    output_field = models.BooleanField()


GONE = ("deleted_at", "missing_since")
STANDING = ("status", "paused", *GONE)
RECENT = ("-last_updated_at", "batch_id")
LIVE = Q(~Q(HasEnded("status")), deleted_at=None, missing_since=None)


class Campaign(models.Model):
    """A campaign of the vendor. One that is only known by its number has no name yet."""

    id = models.BigIntegerField(primary_key=True)
    campaign_name = models.TextField(blank=True)
    description = models.TextField(blank=True)
    mode = models.TextField(blank=True)
    labels = models.JSONField(default=list, blank=True)
    hourly_rate = models.IntegerField(null=True, blank=True)
    daily_start_time = models.TextField(blank=True)
    daily_end_time = models.TextField(blank=True)
    active_days = models.JSONField(default=list, blank=True)
    max_daily_calls = models.IntegerField(
        null=True, blank=True, help_text="First attempts a day at most; empty: no maximum."
    )
    outreach_override_rules = models.JSONField(
        null=True,
        blank=True,
        help_text="Exceptions by weekday and date; null: not read yet, or not readable.",
    )
    unreadable_fields = models.JSONField(
        default=list, blank=True, help_text="What the vendor told in a form that cannot be read."
    )
    time_zone = models.TextField(
        blank=True,
        help_text="Zone of the agent that it dials from, as an administrator set it; "
        "empty: unknown.",
    )
    updated_at = models.DateTimeField(null=True, blank=True)
    last_updated_by = models.TextField(blank=True)
    synced_at = models.DateTimeField(help_text="When this row was last written.")
    observed_at = models.DateTimeField(
        help_text="When the request that brought these values was sent."
    )
    missing_since = models.DateTimeField(null=True, blank=True)

    class Meta:
        default_permissions = ("view",)
        permissions = [("set_time_zone", "Can set the time zone of a campaign")]
        ordering = ("campaign_name", "id")

    def __str__(self) -> str:
        return self.campaign_name or f"Campaign {self.id} (name unknown)"


Row = TypeVar("Row", bound=models.Model)


class BatchQuestions(models.QuerySet[Row]):
    """What is asked alike of batches and of the numbers that are kept of them."""

    def present(self) -> Self:
        """Neither deleted nor vanished at the vendor."""
        raise NotImplementedError

    def missing(self) -> Self:
        """Unknown to the vendor, though it never said that they were deleted."""
        raise NotImplementedError

    def sharing_their_id(self) -> Self:
        """With an id that the vendor has in other campaigns too."""
        raise NotImplementedError

    def changed_externally(self) -> Self:
        """Changed outside since batchops last changed them."""
        raise NotImplementedError

    def live(self) -> Self:
        """Present and not in a status in which no outreach is made any more."""
        return self.present().filter(~Q(HasEnded("status")))

    def live_and_not_paused(self) -> Self:
        return self.live().exclude(paused=True)

    def paused(self) -> Self:
        return self.live().filter(paused=True)

    def failed(self) -> Self:
        return self.present().filter(status=KnownStatus.FAILED)


class BatchQuerySet(BatchQuestions["Batch"]):
    """The questions operators ask of the mirror."""

    def present(self) -> Self:
        return self.filter(deleted_at=None, missing_since=None)

    def missing(self) -> Self:
        return self.filter(missing_since__isnull=False, deleted_at=None)

    def sharing_their_id(self) -> Self:
        return self.present().filter(id_shared_since__isnull=False)

    def changed_externally(self) -> Self:
        return self.present().filter(changed_externally_at__isnull=False)

    def paused_with_no_end(self) -> Self:
        """Paused, and not all that holds it ends by itself."""
        from batchops.models.hold import ends_by_itself

        return self.paused().exclude(ends_by_itself())

    def paused_until_an_end(self) -> Self:
        """Paused, and all that holds it ends by itself."""
        from batchops.models.hold import ends_by_itself

        return self.paused().filter(ends_by_itself())

    def held_by(self, pause: Change) -> Self:
        """Paused, and a hold of that pause stands on them."""
        return self.filter(paused=True, holds__change=pause, holds__lifted_at=None)

    def expiring_within(self, span: dt.timedelta) -> Self:
        now = timezone.now()
        return self.live().filter(expires_on__gt=now, expires_on__lte=now + span)

    def in_doubt(self) -> Self:
        """Where a write of ours may have taken effect that nothing seen since has shown."""
        return self.filter(written_at__gt=F("observed_at"))


class Batch(models.Model):
    """A batch of the vendor, under the vendor's field names. Never deleted: tombstoned."""

    batch_id = models.CharField(max_length=255, primary_key=True)
    campaign = models.ForeignKey(
        Campaign, on_delete=models.PROTECT, related_name="batches", db_index=False
    )
    status = models.CharField(max_length=64, blank=True)
    paused = models.BooleanField(null=True, blank=True)
    expires_on = models.DateTimeField(null=True, blank=True)
    call_rate = models.IntegerField(
        null=True, blank=True, help_text="Outreach attempts per hour; empty: the campaign's rate."
    )
    auto_call_rate = models.BooleanField(null=True, blank=True)
    auto_call_rate_baseline = models.FloatField(null=True, blank=True)
    upload_filename = models.TextField(blank=True)
    dispatch_id = models.TextField(blank=True)
    created_at = models.DateTimeField(null=True, blank=True)
    deleted_at = models.DateTimeField(null=True, blank=True)
    deleted_reason = models.TextField(blank=True)
    last_updated_at = models.DateTimeField(null=True, blank=True)
    last_updated_by = models.TextField(blank=True)
    error_message = models.TextField(blank=True)
    synced_at = models.DateTimeField(help_text="When this row was last written.")
    observed_at = models.DateTimeField(
        help_text="When the request that brought these values was sent."
    )
    written_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="When a write of ours may last have taken effect at the vendor.",
    )
    missing_since = models.DateTimeField(null=True, blank=True)
    changed_externally_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="When a change made outside was seen, after batchops had changed the batch.",
    )
    id_shared_since = models.DateTimeField(
        null=True,
        blank=True,
        help_text="Since when the vendor has the id in other campaigns too; nothing is sent to it.",
    )
    shared_with = models.JSONField(
        default=list, blank=True, help_text="The numbers of those other campaigns."
    )
    paused_by: models.ForeignKey[Change | None, Change | None] = models.ForeignKey(
        "batchops.Change",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="paused_batches",
        help_text="The change of ours that paused the batch last, while it is still paused.",
    )

    pause_moved = False
    """Whether it was seen paused, or no longer so, since it was read from the database."""

    objects: ClassVar[models.Manager[Batch]] = BatchQuerySet.as_manager()

    class Meta:
        default_permissions = ("view",)
        permissions = [
            ("view_batch_history", "Can see who did what to a batch"),
            ("run_sync", "Can sync with the vendor now"),
        ]
        verbose_name_plural = "batches"
        ordering = RECENT
        # Each order of the list has its own, which also finds what has one value of the first
        # column, and tells what is present; what may be rare among very many is found by the
        # partial ones, which hold all that such a question asks.
        indexes = [
            models.Index(fields=[*RECENT, *GONE], name="batch_recent"),
            models.Index(fields=["campaign", *RECENT, *GONE], name="batch_campaign"),
            models.Index(fields=["status", *RECENT, *GONE], name="batch_status"),
            models.Index(fields=["paused", *RECENT, *GONE], name="batch_paused"),
            models.Index(fields=["expires_on", "batch_id", *GONE], name="batch_expiry"),
            models.Index(fields=["call_rate", "batch_id", *GONE], name="batch_rate"),
            models.Index(fields=["created_at", "batch_id", *GONE], name="batch_created"),
            models.Index(
                fields=["expires_on", "batch_id", *STANDING], name="batch_live", condition=LIVE
            ),
            models.Index(
                fields=["paused_by"], name="batch_paused_by", condition=Q(paused_by__isnull=False)
            ),
            models.Index(
                fields=["missing_since"],
                name="batch_missing",
                condition=Q(missing_since__isnull=False),
            ),
            models.Index(
                fields=["changed_externally_at"],
                name="batch_changed_outside",
                condition=Q(changed_externally_at__isnull=False),
            ),
            models.Index(
                fields=["id_shared_since"],
                name="batch_shared_id",
                condition=Q(id_shared_since__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.batch_id

    @property
    def is_gone(self) -> bool:
        """Deleted or vanished at the vendor."""
        return self.deleted_at is not None or self.missing_since is not None

    @property
    def shares_its_id(self) -> bool:
        """Whether what is sent to this id may reach a batch of another campaign."""
        return self.id_shared_since is not None

    @property
    def is_in_doubt(self) -> bool:
        """Whether a write of ours may have taken effect that nothing seen since has shown."""
        return self.written_at is not None and self.written_at > self.observed_at

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED_STATUSES


class BatchCountQuerySet(BatchQuestions["BatchCount"]):
    """The same questions, answered by numbers."""

    def present(self) -> Self:
        return self.filter(is_deleted=False, is_missing=False)

    def missing(self) -> Self:
        return self.filter(is_missing=True, is_deleted=False)

    def sharing_their_id(self) -> Self:
        return self.present().filter(shares_its_id=True)

    def changed_externally(self) -> Self:
        return self.present().filter(is_changed_externally=True)

    def total(self) -> int:
        """How many batches there are of these."""
        return int(self.aggregate(total=Sum("number"))["total"] or 0)


class BatchCount(models.Model):
    """How many batches are alike in all that is counted, so that nobody has to count a million.

    The database keeps it by triggers, in the transaction that moves a batch. On PostgreSQL each
    statement adds rows of its own, since many writers would wait for one row, and die waiting for
    each other's: only the sum over rows that are alike means anything.
    """

    campaign = models.ForeignKey(
        Campaign, on_delete=models.DO_NOTHING, related_name="counts", db_constraint=False
    )
    status = models.CharField(max_length=64, blank=True)
    paused = models.BooleanField(null=True)
    is_deleted = models.BooleanField()
    is_missing = models.BooleanField()
    is_changed_externally = models.BooleanField()
    shares_its_id = models.BooleanField()
    number = models.IntegerField()

    objects: ClassVar[models.Manager[BatchCount]] = BatchCountQuerySet.as_manager()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.number:+,} {self.status} in campaign {self.campaign_id}"


def counted(number: int) -> str:
    """A number of batches in words: "1 batch", "3,000 batches"."""
    return "1 batch" if number == 1 else f"{number:,} batches"


class KeyIdentity(models.Model):
    """Who the vendor says changed a batch when it was changed with our key, learnt from replies."""

    name = models.CharField(max_length=255, primary_key=True)
    learnt_at = models.DateTimeField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.name
