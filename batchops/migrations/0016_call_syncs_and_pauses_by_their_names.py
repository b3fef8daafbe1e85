"""What brings the mirror up to date is called a sync, and batches are paused by changes."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("batchops", "0015_find_what_is_not_read_back")]

    operations = [
        migrations.RenameField("syncrun", "asked_by", "requested_by"),
        migrations.RenameField("syncrun", "everything_at", "fully_synced_at"),
        migrations.AlterField(
            "syncrun",
            "fully_synced_at",
            models.DateTimeField(
                null=True, blank=True, help_text="When the last sync began that saw every batch."
            ),
        ),
        migrations.AlterModelOptions(
            "syncrun",
            options={
                "default_permissions": ("view",),
                "ordering": ("-started_at", "-id"),
                "verbose_name": "sync",
            },
        ),
        migrations.AlterModelOptions(
            "batch",
            options={
                "default_permissions": ("view",),
                "ordering": ("-last_updated_at", "batch_id"),
                "permissions": [("run_sync", "Can sync with the vendor now")],
                "verbose_name_plural": "batches",
            },
        ),
        migrations.RemoveIndex("batch", "batch_held"),
        migrations.RenameField("batch", "hold", "paused_by"),
        migrations.AlterField(
            "batch",
            "paused_by",
            models.ForeignKey(
                null=True,
                blank=True,
                on_delete=models.deletion.SET_NULL,
                related_name="paused_batches",
                to="batchops.change",
                help_text="The change of ours that paused the batch, while it is still paused.",
            ),
        ),
        migrations.AddIndex(
            "batch",
            models.Index(
                fields=["paused_by"],
                name="batch_paused_by",
                condition=models.Q(("paused_by__isnull", False)),
            ),
        ),
    ]
