"""People call it a pull."""

from __future__ import annotations

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("batchops", "0005_guard_the_head_of_the_trail")]

    operations = [
        migrations.AlterModelOptions(
            name="syncrun",
            options={
                "default_permissions": ("view",),
                "ordering": ("-started_at", "-id"),
                "verbose_name": "pull",
            },
        ),
    ]
