"""Triggers that refuse to alter the trail, and the row that ends its chain."""

from __future__ import annotations

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from batchops.models import audit_triggers


def protect(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    audit_triggers.install(schema_editor.connection, "entries")
    apps.get_model("batchops", "AuditHead").objects.get_or_create(pk=1)


def unprotect(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    audit_triggers.remove(schema_editor.connection, "entries")


class Migration(migrations.Migration):
    dependencies = [("batchops", "0001_initial")]

    operations = [migrations.RunPython(protect, unprotect)]
