from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("batchops", "0011_see_the_history_of_a_batch"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="campaign",
            options={
                "default_permissions": ("view",),
                "ordering": ("campaign_name", "id"),
                "permissions": [("set_time_zone", "Can set the time zone of a campaign")],
            },
        ),
        migrations.AddField(
            model_name="campaign",
            name="max_daily_calls",
            field=models.IntegerField(
                blank=True, help_text="First attempts a day at most; empty: no maximum.", null=True
            ),
        ),
        migrations.AddField(
            model_name="campaign",
            name="outreach_override_rules",
            field=models.JSONField(
                blank=True,
                help_text="Exceptions by weekday and date; null: not read yet, or not readable.",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="campaign",
            name="time_zone",
            field=models.TextField(
                blank=True,
                help_text="Zone of the agent that it dials from, as an administrator set it; empty: unknown.",
            ),
        ),
        migrations.AddField(
            model_name="campaign",
            name="unreadable_fields",
            field=models.JSONField(
                blank=True,
                default=list,
                help_text="What the vendor told in a form that cannot be read.",
            ),
        ),
    ]
