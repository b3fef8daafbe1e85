"""What is counted for monitoring, over all processes."""

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    dependencies = []

    operations = [
        migrations.CreateModel(
            name="TrailCount",
            fields=[
                ("id", models.SmallIntegerField(default=1, primary_key=True, serialize=False)),
                (
                    "through",
                    models.BigIntegerField(
                        default=0, help_text="Sequence of the last entry counted."
                    ),
                ),
                ("by_action", models.JSONField(default=dict)),
            ],
            options={"default_permissions": ()},
        ),
        migrations.CreateModel(
            name="VendorRequests",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("operation", models.CharField(max_length=32)),
                (
                    "status",
                    models.CharField(
                        help_text="The HTTP status, or what stands for it.", max_length=16
                    ),
                ),
                (
                    "buckets",
                    models.JSONField(help_text="How many took how long; see syllable/tally.py."),
                ),
                (
                    "seconds",
                    models.FloatField(default=0.0, help_text="How long they took altogether."),
                ),
            ],
            options={
                "default_permissions": (),
                "ordering": ("operation", "status"),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("operation", "status"), name="requests_of_a_kind_once"
                    )
                ],
            },
        ),
    ]
