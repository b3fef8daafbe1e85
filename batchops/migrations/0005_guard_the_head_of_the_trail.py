"""Triggers that open the trail only where it was archived, and keep its head from going back."""

from __future__ import annotations

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from batchops.models import audit_triggers


def guard(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    audit_triggers.install(schema_editor.connection, "head")


def unguard(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    audit_triggers.remove(schema_editor.connection, "head")


class Migration(migrations.Migration):
    dependencies = [("batchops", "0004_keep_pasted_ids")]

    operations = [migrations.RunPython(guard, unguard)]
