from __future__ import annotations

from typing import Any

from django.db import migrations, models

SOURCES = [
    ("action", "Batch list"),
    ("form", "Batch page"),
    ("command", "Command line"),
    ("emergency", "Emergency pause"),
    ("undo", "Undo"),
    ("retry", "Retry"),
    ("resume", "Resume"),
    ("end", "End of a pause"),
]


def tell_ends(apps: Any, _: Any) -> None:
    """What ended by itself was given its reason by batchops."""
    ends = apps.get_model("batchops", "Change").objects.filter(
        source="resume", reason__startswith="End of the pause: "
    )
    ends.update(source="end")


def tell_them_no_more(apps: Any, _: Any) -> None:
    apps.get_model("batchops", "Change").objects.filter(source="end").update(source="resume")


class Migration(migrations.Migration):
    dependencies = [("batchops", "0008_search_batch_ids")]

    operations = [
        migrations.AlterField("change", "source", models.CharField(max_length=16, choices=SOURCES)),
        migrations.RunPython(tell_ends, tell_them_no_more),
    ]
