"""Where anchors were delivered, who is at long work, and a way to remove what is archived."""

from __future__ import annotations

from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from batchops.models import audit_triggers


def install(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    audit_triggers.install(schema_editor.connection, "removal")


def remove(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    audit_triggers.remove(schema_editor.connection, "removal")


class Migration(migrations.Migration):
    dependencies = [("batchops", "0009_ask_about_look_alikes")]

    operations = [
        migrations.CreateModel(
            name="AuditLease",
            fields=[
                ("name", models.CharField(max_length=16, primary_key=True, serialize=False)),
                ("holder", models.CharField(blank=True, max_length=32)),
                ("until", models.DateTimeField()),
            ],
            options={"default_permissions": ()},
        ),
        migrations.CreateModel(
            name="AuditOutlet",
            fields=[
                ("name", models.CharField(max_length=16, primary_key=True, serialize=False)),
                (
                    "delivered_through",
                    models.BigIntegerField(
                        default=0,
                        help_text="Sequence of the entry of the last anchor that went out.",
                    ),
                ),
                ("failing_since", models.DateTimeField(null=True)),
                ("error", models.CharField(blank=True, max_length=500)),
            ],
            options={"default_permissions": ()},
        ),
        migrations.AlterModelOptions(
            name="auditentry",
            options={
                "default_permissions": ("view",),
                "ordering": ("-sequence",),
                "permissions": [
                    ("export_auditentry", "Can export the audit trail"),
                    ("review_auditentry", "Can review entries and sign off periods"),
                    ("archive_auditentry", "Can archive old entries of the audit trail"),
                    ("acknowledge_auditentry", "Can acknowledge a fault of the audit trail"),
                ],
                "verbose_name_plural": "audit trail",
            },
        ),
        migrations.RunPython(install, remove),
    ]
