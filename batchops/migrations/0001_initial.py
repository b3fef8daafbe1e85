"""All tables of batchops."""

import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="AuditHead",
            fields=[
                ("id", models.SmallIntegerField(default=1, primary_key=True, serialize=False)),
                ("sequence", models.BigIntegerField(default=0)),
                (
                    "hash",
                    models.CharField(
                        default="0000000000000000000000000000000000000000000000000000000000000000",
                        max_length=64,
                    ),
                ),
                (
                    "removable_through",
                    models.BigIntegerField(
                        default=0,
                        help_text="Entries up to this sequence may be removed: set only by archiving.",
                    ),
                ),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="AuditLease",
            fields=[
                ("name", models.CharField(max_length=16, primary_key=True, serialize=False)),
                ("holder", models.CharField(blank=True, max_length=32)),
                ("until", models.DateTimeField()),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="AuditOutlet",
            fields=[
                ("name", models.CharField(max_length=16, primary_key=True, serialize=False)),
                (
                    "delivered_through",
                    models.BigIntegerField(
                        default=0,
                        help_text="Sequence of the entry of the last anchor that went out.",
                    ),
                ),
                ("failing_since", models.DateTimeField(null=True)),
                ("error", models.CharField(blank=True, max_length=500)),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="AuditReviewedRange",
            fields=[
                ("first", models.BigIntegerField(primary_key=True, serialize=False)),
                ("last", models.BigIntegerField()),
                (
                    "review",
                    models.BigIntegerField(
                        db_index=True, help_text="Sequence of the entry that records the review."
                    ),
                ),
            ],
            options={
                "ordering": ("first",),
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="Campaign",
            fields=[
                ("id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("campaign_name", models.TextField(blank=True)),
                ("description", models.TextField(blank=True)),
                ("mode", models.TextField(blank=True)),
                ("labels", models.JSONField(blank=True, default=list)),
                ("hourly_rate", models.IntegerField(blank=True, null=True)),
                ("daily_start_time", models.TextField(blank=True)),
                ("daily_end_time", models.TextField(blank=True)),
                ("active_days", models.JSONField(blank=True, default=list)),
                ("updated_at", models.DateTimeField(blank=True, null=True)),
                ("last_updated_by", models.TextField(blank=True)),
                ("synced_at", models.DateTimeField(help_text="When this row was last written.")),
                (
                    "observed_at",
                    models.DateTimeField(
                        help_text="When the request that brought these values was sent."
                    ),
                ),
                ("missing_since", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "ordering": ("campaign_name", "id"),
                "default_permissions": ("view",),
            },
        ),
        migrations.CreateModel(
            name="DeniedTries",
            fields=[
                ("whose", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("since", models.DateTimeField(db_index=True)),
                (
                    "recorded",
                    models.PositiveIntegerField(default=0, help_text="As entries of their own."),
                ),
                ("summed_up", models.PositiveIntegerField(default=0, help_text="Only counted.")),
                (
                    "by",
                    models.JSONField(
                        default=dict, help_text="Those only counted, by who and what."
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "denied tries",
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="Heartbeat",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("host", models.CharField(max_length=255)),
                ("pid", models.PositiveIntegerField()),
                ("version", models.CharField(max_length=32)),
                ("started_at", models.DateTimeField()),
                ("seen_at", models.DateTimeField(db_index=True)),
            ],
            options={
                "ordering": ("-seen_at",),
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="KeyIdentity",
            fields=[
                ("name", models.CharField(max_length=255, primary_key=True, serialize=False)),
                ("learnt_at", models.DateTimeField()),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="Quota",
            fields=[
                ("key", models.CharField(max_length=100, primary_key=True, serialize=False)),
                ("used", models.PositiveIntegerField()),
                ("until", models.DateTimeField(help_text="When it counts from nothing again.")),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="AuditEntry",
            fields=[
                ("sequence", models.BigIntegerField(primary_key=True, serialize=False)),
                ("at", models.DateTimeField()),
                ("action", models.CharField(max_length=64)),
                ("outcome", models.CharField(blank=True, max_length=32)),
                ("actor_id", models.BigIntegerField(null=True)),
                ("actor_name", models.CharField(max_length=255)),
                ("actor_ip", models.CharField(blank=True, max_length=45)),
                (
                    "actor_kind",
                    models.CharField(
                        choices=[
                            ("person", "Person"),
                            ("system", "batchops itself"),
                            ("outside", "Outside batchops"),
                            ("command_line", "Command line, without an account"),
                            ("nobody", "Nobody who is signed in"),
                        ],
                        default="person",
                        max_length=16,
                    ),
                ),
                ("on_behalf_of_id", models.BigIntegerField(null=True)),
                (
                    "on_behalf_of_name",
                    models.CharField(
                        blank=True,
                        help_text="The person for whom batchops itself acted.",
                        max_length=255,
                    ),
                ),
                (
                    "operated_by",
                    models.CharField(
                        blank=True,
                        help_text="The machine's account and host, where it came from a command.",
                        max_length=255,
                    ),
                ),
                ("batch_id", models.CharField(blank=True, max_length=255)),
                ("campaign_id", models.BigIntegerField(null=True)),
                ("campaign_name", models.CharField(blank=True, max_length=500)),
                ("change_id", models.UUIDField(null=True)),
                ("reason", models.TextField(blank=True)),
                ("reference", models.CharField(blank=True, max_length=100)),
                ("before", models.JSONField(null=True)),
                ("after", models.JSONField(null=True)),
                ("http_status", models.SmallIntegerField(null=True)),
                ("detail", models.JSONField(default=dict)),
                ("previous_hash", models.CharField(max_length=64)),
                ("hash", models.CharField(max_length=64)),
            ],
            options={
                "verbose_name_plural": "audit trail",
                "ordering": ("-sequence",),
                "permissions": [
                    ("export_auditentry", "Can export the audit trail"),
                    ("review_auditentry", "Can review entries and sign off periods"),
                    ("archive_auditentry", "Can archive old entries of the audit trail"),
                    ("acknowledge_auditentry", "Can acknowledge a fault of the audit trail"),
                ],
                "default_permissions": ("view",),
                "indexes": [
                    models.Index(fields=["at", "sequence"], name="audit_at"),
                    models.Index(fields=["action", "-sequence"], name="audit_action"),
                    models.Index(fields=["outcome", "-sequence"], name="audit_outcome"),
                    models.Index(fields=["actor_name", "-sequence"], name="audit_actor"),
                    models.Index(fields=["on_behalf_of_name", "-sequence"], name="audit_behalf"),
                    models.Index(
                        fields=["batch_id", "-sequence"],
                        name="audit_batch",
                        opclasses=["varchar_pattern_ops", "int8_ops"],
                    ),
                    models.Index(fields=["campaign_id", "-sequence"], name="audit_campaign"),
                    models.Index(fields=["change_id", "-sequence"], name="audit_change"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Change",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("patch_json", models.JSONField(default=dict)),
                ("reason", models.TextField(blank=True)),
                (
                    "reference",
                    models.CharField(
                        blank=True, help_text="A ticket, for example.", max_length=100
                    ),
                ),
                (
                    "source",
                    models.CharField(
                        choices=[
                            ("action", "Batch list"),
                            ("form", "Batch page"),
                            ("command", "Command line"),
                            ("emergency", "Emergency pause"),
                            ("undo", "Undo"),
                            ("retry", "Retry"),
                            ("resume", "End of a pause"),
                        ],
                        max_length=16,
                    ),
                ),
                (
                    "selection",
                    models.TextField(
                        blank=True, help_text="How the batches were chosen, in words."
                    ),
                ),
                (
                    "priority",
                    models.SmallIntegerField(choices=[(0, "Normal"), (10, "Emergency")], default=0),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("drafting", "Being drafted"),
                            ("draft", "Draft"),
                            ("awaiting_approval", "Awaiting approval"),
                            ("scheduled", "Scheduled"),
                            ("queued", "Queued"),
                            ("running", "Running"),
                            ("finished", "Finished"),
                            ("stopped", "Stopped"),
                            ("rejected", "Rejected"),
                            ("discarded", "Discarded"),
                        ],
                        default="draft",
                        max_length=20,
                    ),
                ),
                ("requested_by_name", models.CharField(max_length=150)),
                (
                    "requested_from",
                    models.CharField(blank=True, help_text="IP address.", max_length=45),
                ),
                ("created_at", models.DateTimeField(db_index=True)),
                ("confirmed_at", models.DateTimeField(blank=True, null=True)),
                (
                    "starts_at",
                    models.DateTimeField(blank=True, help_text="Scheduled start.", null=True),
                ),
                (
                    "resume_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="When exactly the batches that this paused are resumed.",
                        null=True,
                    ),
                ),
                ("resume_set_by_name", models.CharField(blank=True, max_length=150)),
                (
                    "resume_set_from",
                    models.CharField(blank=True, help_text="IP address.", max_length=45),
                ),
                ("resume_reason", models.TextField(blank=True, help_text="Why it ends then.")),
                (
                    "resume_lease_until",
                    models.DateTimeField(
                        blank=True,
                        help_text="Until then one worker alone ends this pause.",
                        null=True,
                    ),
                ),
                (
                    "preflight_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="When the batches were last compared with the vendor.",
                        null=True,
                    ),
                ),
                ("preflight_lease_until", models.DateTimeField(blank=True, null=True)),
                ("started_at", models.DateTimeField(blank=True, null=True)),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                ("read_back_at", models.DateTimeField(blank=True, null=True)),
                (
                    "read_back_due_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="When it is read back next; empty: at once.",
                        null=True,
                    ),
                ),
                ("read_back_lease_until", models.DateTimeField(blank=True, null=True)),
                (
                    "halted_reason",
                    models.TextField(
                        blank=True, help_text="Set: nothing is sent until a person goes on with it."
                    ),
                ),
                (
                    "waiting_reason",
                    models.TextField(blank=True, help_text="Set: it goes on by itself."),
                ),
                ("waiting_since", models.DateTimeField(blank=True, null=True)),
                ("waiting_until", models.DateTimeField(blank=True, null=True)),
                (
                    "in_flight",
                    models.JSONField(
                        blank=True,
                        default=dict,
                        help_text="Requests in flight and why they are slowed.",
                    ),
                ),
                ("approval_required", models.BooleanField(default=False)),
                ("approval_reason", models.TextField(blank=True)),
                (
                    "items_fingerprint",
                    models.CharField(
                        blank=True,
                        help_text="SHA-256 over the items as they were frozen.",
                        max_length=64,
                    ),
                ),
                (
                    "fingerprint",
                    models.CharField(
                        blank=True,
                        help_text="SHA-256 over all that determines what runs.",
                        max_length=64,
                    ),
                ),
                ("approved_fingerprint", models.CharField(blank=True, max_length=64)),
                ("approval_expires_at", models.DateTimeField(blank=True, null=True)),
                ("decided_by_name", models.CharField(blank=True, max_length=150)),
                ("decided_at", models.DateTimeField(blank=True, null=True)),
                ("decision_comment", models.TextField(blank=True)),
                ("item_count", models.PositiveIntegerField(default=0)),
                (
                    "acting_count",
                    models.PositiveIntegerField(
                        default=0, help_text="Batches that it is foreseen to change."
                    ),
                ),
                (
                    "expanding_count",
                    models.PositiveIntegerField(
                        default=0, help_text="Batches on which it lets outreach reach more people."
                    ),
                ),
                ("proceeded_by_name", models.CharField(blank=True, max_length=150)),
                (
                    "counts_json",
                    models.JSONField(
                        blank=True, default=dict, help_text="Items by state, as last counted."
                    ),
                ),
                (
                    "decided_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "follows",
                    models.ForeignKey(
                        blank=True,
                        help_text="The change that this one undoes, retries or ends.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="followed_by",
                        to="batchops.change",
                    ),
                ),
                (
                    "proceeded_by",
                    models.ForeignKey(
                        blank=True,
                        help_text="Who went on with it after a halt or stop, and answers for it since.",
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "requested_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="changes",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "resume_set_by",
                    models.ForeignKey(
                        blank=True,
                        help_text="Who last set, moved or cancelled the end of this pause, and answers for it.",
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ("-created_at",),
                "permissions": [
                    ("request_change", "Can pause batches and take outreach back"),
                    ("expand_outreach", "Can resume batches, extend them and raise rates"),
                    ("control_change", "Can stop, continue and retry changes"),
                    ("approve_change", "Can approve and reject changes of others"),
                ],
                "default_permissions": ("view",),
            },
        ),
        migrations.CreateModel(
            name="Batch",
            fields=[
                ("batch_id", models.CharField(max_length=255, primary_key=True, serialize=False)),
                ("status", models.CharField(blank=True, db_index=True, max_length=64)),
                ("paused", models.BooleanField(blank=True, null=True)),
                ("expires_on", models.DateTimeField(blank=True, db_index=True, null=True)),
                (
                    "call_rate",
                    models.IntegerField(
                        blank=True,
                        help_text="Outreach attempts per hour; empty: the campaign's rate.",
                        null=True,
                    ),
                ),
                ("auto_call_rate", models.BooleanField(blank=True, null=True)),
                ("auto_call_rate_baseline", models.FloatField(blank=True, null=True)),
                ("upload_filename", models.TextField(blank=True)),
                ("dispatch_id", models.TextField(blank=True)),
                ("created_at", models.DateTimeField(blank=True, null=True)),
                ("deleted_at", models.DateTimeField(blank=True, null=True)),
                ("deleted_reason", models.TextField(blank=True)),
                ("last_updated_at", models.DateTimeField(blank=True, db_index=True, null=True)),
                ("last_updated_by", models.TextField(blank=True)),
                ("error_message", models.TextField(blank=True)),
                ("synced_at", models.DateTimeField(help_text="When this row was last written.")),
                (
                    "observed_at",
                    models.DateTimeField(
                        help_text="When the request that brought these values was sent."
                    ),
                ),
                (
                    "written_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="When a write of ours may last have taken effect at the vendor.",
                        null=True,
                    ),
                ),
                ("missing_since", models.DateTimeField(blank=True, null=True)),
                (
                    "changed_externally_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="When a change made outside was seen, after batchops had changed the batch.",
                        null=True,
                    ),
                ),
                (
                    "id_shared_since",
                    models.DateTimeField(
                        blank=True,
                        help_text="Since when the vendor has the id in other campaigns too; nothing is sent to it.",
                        null=True,
                    ),
                ),
                (
                    "shared_with",
                    models.JSONField(
                        blank=True, default=list, help_text="The numbers of those other campaigns."
                    ),
                ),
                (
                    "campaign",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="batches",
                        to="batchops.campaign",
                    ),
                ),
                (
                    "paused_by",
                    models.ForeignKey(
                        blank=True,
                        help_text="The change of ours that paused the batch, while it is still paused.",
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="paused_batches",
                        to="batchops.change",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "batches",
                "ordering": ("-last_updated_at", "batch_id"),
                "permissions": [("run_sync", "Can sync with the vendor now")],
                "default_permissions": ("view",),
            },
        ),
        migrations.CreateModel(
            name="ChangeItem",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("pending", "Pending"),
                            ("sending", "Sending"),
                            ("applied", "Applied"),
                            ("not_applied", "Not applied as requested"),
                            ("refused", "Refused by the vendor"),
                            ("failed", "Failed"),
                            ("unchanged", "Already so"),
                            ("conflict", "Changed meanwhile"),
                            ("skipped", "Skipped"),
                            ("stopped", "Stopped"),
                        ],
                        default="pending",
                        max_length=16,
                    ),
                ),
                (
                    "plan",
                    models.CharField(
                        choices=[
                            ("act", "Will be changed"),
                            ("already", "Already so"),
                            ("skip", "Skipped"),
                        ],
                        default="act",
                        help_text="What was foreseen at review.",
                        max_length=8,
                    ),
                ),
                (
                    "expands_outreach",
                    models.BooleanField(
                        default=False, help_text="Whether it lets outreach reach more people."
                    ),
                ),
                (
                    "patch_json",
                    models.JSONField(
                        blank=True,
                        help_text="What is asked of this batch, where it differs.",
                        null=True,
                    ),
                ),
                ("before_paused", models.BooleanField(blank=True, null=True)),
                ("before_expires_on", models.DateTimeField(blank=True, null=True)),
                ("before_call_rate", models.IntegerField(blank=True, null=True)),
                ("before_auto_call_rate", models.BooleanField(blank=True, null=True)),
                ("before_status", models.CharField(blank=True, max_length=64)),
                ("attempts", models.PositiveSmallIntegerField(default=0)),
                (
                    "lease",
                    models.CharField(
                        blank=True, help_text="The worker that holds it.", max_length=32
                    ),
                ),
                ("lease_until", models.DateTimeField(blank=True, null=True)),
                ("http_status", models.PositiveSmallIntegerField(blank=True, null=True)),
                ("message", models.TextField(blank=True)),
                ("after", models.JSONField(blank=True, null=True)),
                ("sent_at", models.DateTimeField(blank=True, null=True)),
                ("settled_at", models.DateTimeField(blank=True, null=True)),
                (
                    "confirmation",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("", "Not read back"),
                            ("confirmed", "Confirmed"),
                            ("not_confirmed", "Accepted, not confirmed"),
                        ],
                        default="",
                        max_length=16,
                    ),
                ),
                (
                    "unrequested",
                    models.JSONField(
                        blank=True,
                        default=list,
                        help_text="Fields that changed without being requested.",
                    ),
                ),
                (
                    "batch",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="change_items",
                        to="batchops.batch",
                    ),
                ),
                (
                    "change",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="items",
                        to="batchops.change",
                    ),
                ),
            ],
            options={
                "ordering": ("id",),
                "default_permissions": ("view",),
            },
        ),
        migrations.CreateModel(
            name="PastedIds",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("created_at", models.DateTimeField(db_index=True)),
                ("found", models.JSONField(help_text="Ids of batches, each once.")),
                ("found_count", models.PositiveIntegerField()),
                (
                    "unknown",
                    models.JSONField(help_text="Ids that the mirror does not know, each once."),
                ),
                (
                    "look_alikes",
                    models.JSONField(
                        default=dict, help_text="For unknown ids, the batches that may be meant."
                    ),
                ),
                ("duplicates", models.JSONField(help_text="Ids that were given more than once.")),
                (
                    "surplus",
                    models.PositiveIntegerField(
                        help_text="How many of the ids given were repetitions."
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "pasted ids",
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="SyncRun",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[("full", "Full"), ("incremental", "Incremental")], max_length=16
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[("running", "Running"), ("done", "Done"), ("failed", "Failed")],
                        default="running",
                        max_length=16,
                    ),
                ),
                (
                    "requested_by",
                    models.CharField(blank=True, help_text="Empty: the schedule.", max_length=150),
                ),
                ("started_at", models.DateTimeField(db_index=True)),
                ("alive_at", models.DateTimeField(help_text="Last sign of life while running.")),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                ("batches_seen", models.PositiveIntegerField(default=0)),
                ("created", models.PositiveIntegerField(default=0)),
                ("changed", models.PositiveIntegerField(default=0)),
                ("missing", models.PositiveIntegerField(default=0)),
                ("unreadable", models.PositiveIntegerField(default=0)),
                ("campaigns_seen", models.PositiveIntegerField(default=0)),
                ("error", models.TextField(blank=True)),
                ("key_rejected", models.BooleanField(default=False)),
                (
                    "newest_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="Up to when, by the vendor's dates, all changes on the list were seen.",
                        null=True,
                    ),
                ),
                (
                    "fully_synced_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="When the last sync began that saw every batch.",
                        null=True,
                    ),
                ),
                (
                    "notes",
                    models.JSONField(
                        blank=True,
                        default=list,
                        help_text="Unknown fields and statuses, unreadable rows.",
                    ),
                ),
            ],
            options={
                "verbose_name": "sync",
                "ordering": ("-started_at", "-id"),
                "default_permissions": ("view",),
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("state", "running")),
                        fields=("state",),
                        name="one_sync_at_a_time",
                    )
                ],
            },
        ),
        migrations.AddIndex(
            model_name="change",
            index=models.Index(fields=["state", "-priority", "confirmed_at"], name="change_queue"),
        ),
        migrations.AddIndex(
            model_name="change",
            index=models.Index(
                condition=models.Q(("resume_at__isnull", False)),
                fields=["resume_at"],
                name="change_resume",
            ),
        ),
        migrations.AddIndex(
            model_name="change",
            index=models.Index(
                condition=models.Q(("read_back_at__isnull", True)),
                fields=["state"],
                name="change_read_back",
            ),
        ),
        migrations.AddIndex(
            model_name="batch",
            index=models.Index(fields=["campaign", "status"], name="batch_campaign_status"),
        ),
        migrations.AddIndex(
            model_name="batch",
            index=models.Index(fields=["-last_updated_at", "batch_id"], name="batch_recent"),
        ),
        migrations.AddIndex(
            model_name="batch",
            index=models.Index(
                condition=models.Q(("paused_by__isnull", False)),
                fields=["paused_by"],
                name="batch_paused_by",
            ),
        ),
        migrations.AddIndex(
            model_name="changeitem",
            index=models.Index(fields=["change", "state", "id"], name="item_by_state"),
        ),
        migrations.AddIndex(
            model_name="changeitem",
            index=models.Index(
                condition=models.Q(("state", "sending")), fields=["lease_until"], name="item_lease"
            ),
        ),
        migrations.AddConstraint(
            model_name="changeitem",
            constraint=models.UniqueConstraint(
                fields=("change", "batch"), name="item_once_per_change"
            ),
        ),
        migrations.AddConstraint(
            model_name="changeitem",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state", "sending")),
                fields=("batch",),
                name="one_item_of_a_batch_in_flight",
            ),
        ),
    ]
