"""What kind of actor an entry names, for whom batchops acted, and who gave a command."""

from __future__ import annotations

from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from batchops.models import audit_triggers

GROUPS = ("entries", "head")


def open_trail(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """SQLite copies the table to add a column, and its triggers would not come along."""
    audit_triggers.remove(schema_editor.connection, *reversed(GROUPS))


def protect_trail(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    audit_triggers.install(schema_editor.connection, *GROUPS)


class Migration(migrations.Migration):
    dependencies = [("batchops", "0006_call_a_sync_run_a_pull")]

    operations = [
        migrations.RunPython(open_trail, protect_trail),
        migrations.AddField(
            model_name="auditentry",
            name="actor_kind",
            field=models.CharField(
                choices=[
                    ("person", "Person"),
                    ("system", "batchops itself"),
                    ("outside", "Outside batchops"),
                    ("command_line", "Command line, without an account"),
                    ("nobody", "Nobody who is signed in"),
                ],
                default="person",
                max_length=16,
            ),
        ),
        migrations.AddField(
            model_name="auditentry",
            name="on_behalf_of_id",
            field=models.BigIntegerField(null=True),
        ),
        migrations.AddField(
            model_name="auditentry",
            name="on_behalf_of_name",
            field=models.CharField(
                blank=True,
                default="",
                help_text="The person for whom batchops itself acted.",
                max_length=255,
            ),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="auditentry",
            name="operated_by",
            field=models.CharField(
                blank=True,
                default="",
                help_text="The machine's account and host, where it came from a command.",
                max_length=255,
            ),
            preserve_default=False,
        ),
        migrations.AddIndex(
            model_name="auditentry",
            index=models.Index(fields=["on_behalf_of_name", "-sequence"], name="audit_behalf"),
        ),
        migrations.AddField(
            model_name="change",
            name="proceeded_by_name",
            field=models.CharField(blank=True, default="", max_length=150),
            preserve_default=False,
        ),
        migrations.RunPython(protect_trail, open_trail),
    ]
