"""What asks for live batches is answered from an index alone: one that holds all it asks."""

from django.db import migrations, models

from batchops.models.batch import HasEnded


class Migration(migrations.Migration):
    dependencies = [
        ("batchops", "0009_tell_a_resume_from_the_end_of_a_pause"),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name="batch",
            name="batch_live",
        ),
        migrations.RemoveIndex(
            model_name="batch",
            name="batch_created",
        ),
        migrations.AddIndex(
            model_name="batch",
            index=models.Index(
                fields=["created_at", "batch_id", "deleted_at", "missing_since"],
                name="batch_created",
            ),
        ),
        migrations.AddIndex(
            model_name="batch",
            index=models.Index(
                condition=models.Q(
                    models.Q(HasEnded("status"), _negated=True),
                    ("deleted_at", None),
                    ("missing_since", None),
                ),
                fields=[
                    "expires_on",
                    "batch_id",
                    "status",
                    "paused",
                    "deleted_at",
                    "missing_since",
                ],
                name="batch_live",
            ),
        ),
    ]
