"""Which entries are reviewed; and an index that serves the beginning of a batch id."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("batchops", "0002_protect_the_audit_trail")]

    operations = [
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
            options={"ordering": ("first",), "default_permissions": ()},
        ),
        migrations.RemoveIndex(model_name="auditentry", name="audit_batch"),
        migrations.AddIndex(
            model_name="auditentry",
            index=models.Index(
                fields=["batch_id", "-sequence"],
                name="audit_batch",
                opclasses=["varchar_pattern_ops", "int8_ops"],
            ),
        ),
    ]
