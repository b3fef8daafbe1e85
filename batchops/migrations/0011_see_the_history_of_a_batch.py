from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("batchops", "0010_read_live_batches_from_an_index"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="batch",
            options={
                "default_permissions": ("view",),
                "ordering": ("-last_updated_at", "batch_id"),
                "permissions": [
                    ("view_batch_history", "Can see who did what to a batch"),
                    ("run_sync", "Can sync with the vendor now"),
                ],
                "verbose_name_plural": "batches",
            },
        ),
    ]
