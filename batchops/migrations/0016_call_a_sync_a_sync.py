"""What brings the mirror up to date is called a sync everywhere."""

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
    ]
