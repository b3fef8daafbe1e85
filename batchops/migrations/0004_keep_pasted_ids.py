import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("batchops", "0003_keep_reviewed_ranges"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
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
                    "duplicates",
                    models.JSONField(help_text="Ids that were given more than once."),
                ),
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
            options={"verbose_name_plural": "pasted ids", "default_permissions": ()},
        ),
    ]
