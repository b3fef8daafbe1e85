"""The database's own refusal to alter the trail, on SQLite and PostgreSQL; and the head of its chain.

Rows cannot be updated; they can be deleted only up to `AuditHead.removable_through`, which can be
raised only to where an entry of the trail says that it was archived. The head cannot go back.
`services.proof.guards` compares a database with these statements.
"""

from __future__ import annotations

from typing import Final

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

TABLE: Final = "batchops_auditentry"
HEAD: Final = "batchops_audithead"

_REMOVABLE: Final = f"OLD.sequence > (SELECT COALESCE(MAX(removable_through), 0) FROM {HEAD})"  # noqa: S608
_MESSAGE: Final = "the audit trail cannot be altered"
_ARCHIVED: Final = f"""EXISTS (SELECT 1 FROM {TABLE} WHERE action = 'audit.archived'
              AND CAST({{through}} AS BIGINT) = NEW.removable_through)"""  # noqa: S608
_OPENED: Final = "NEW.removable_through > OLD.removable_through"
_WENT_BACK: Final = "NEW.sequence < OLD.sequence"

INSTALL: Final[dict[str, tuple[str, ...]]] = {
    "sqlite": (
        f"""CREATE TRIGGER audit_no_update BEFORE UPDATE ON {TABLE}
            BEGIN SELECT RAISE(ABORT, '{_MESSAGE}'); END""",
        f"""CREATE TRIGGER audit_no_delete BEFORE DELETE ON {TABLE} WHEN {_REMOVABLE}
            BEGIN SELECT RAISE(ABORT, '{_MESSAGE}'); END""",
        f"""CREATE TRIGGER audit_no_replace BEFORE INSERT ON {TABLE}
            WHEN EXISTS (SELECT 1 FROM {TABLE} WHERE sequence = NEW.sequence)
            BEGIN SELECT RAISE(ABORT, '{_MESSAGE}'); END""",  # noqa: S608
        f"""CREATE TRIGGER audit_head_guarded BEFORE UPDATE ON {HEAD}
            WHEN {_WENT_BACK} OR ({_OPENED} AND NOT
              {_ARCHIVED.format(through="json_extract(detail, '$.through')")})
            BEGIN SELECT RAISE(ABORT, '{_MESSAGE}'); END""",
        f"""CREATE TRIGGER audit_head_kept BEFORE DELETE ON {HEAD}
            BEGIN SELECT RAISE(ABORT, '{_MESSAGE}'); END""",
    ),
    "postgresql": (
        f"""CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN RAISE EXCEPTION '{_MESSAGE}'; END $$""",
        f"""CREATE FUNCTION audit_refuse_delete() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
              IF {_REMOVABLE} THEN RAISE EXCEPTION '{_MESSAGE}'; END IF;
              RETURN OLD;
            END $$""",
        f"""CREATE TRIGGER audit_no_update BEFORE UPDATE ON {TABLE}
            FOR EACH ROW EXECUTE FUNCTION audit_refuse()""",
        f"""CREATE TRIGGER audit_no_delete BEFORE DELETE ON {TABLE}
            FOR EACH ROW EXECUTE FUNCTION audit_refuse_delete()""",
        f"""CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON {TABLE}
            FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()""",
        f"""CREATE FUNCTION audit_guard_head() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
              IF {_WENT_BACK} THEN RAISE EXCEPTION '{_MESSAGE}'; END IF;
              IF {_OPENED} AND NOT {_ARCHIVED.format(through="detail->>'through'")}
              THEN RAISE EXCEPTION '{_MESSAGE}'; END IF;
              RETURN NEW;
            END $$""",
        f"""CREATE TRIGGER audit_head_guarded BEFORE UPDATE ON {HEAD}
            FOR EACH ROW EXECUTE FUNCTION audit_guard_head()""",
        f"""CREATE TRIGGER audit_head_kept BEFORE DELETE ON {HEAD}
            FOR EACH ROW EXECUTE FUNCTION audit_refuse()""",
        f"""CREATE TRIGGER audit_head_not_truncated BEFORE TRUNCATE ON {HEAD}
            FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()""",
        # Runs as the owner: the role that batchops runs as may not delete from the trail itself.
        f"""CREATE FUNCTION audit_remove_archived(through bigint) RETURNS void
            LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
              DELETE FROM {TABLE} WHERE sequence <= LEAST(through,
                (SELECT MAX(removable_through) FROM {HEAD})) $$""",  # noqa: S608
        "REVOKE ALL ON FUNCTION audit_remove_archived(bigint) FROM PUBLIC",
    ),
}

REMOVE: Final[dict[str, tuple[str, ...]]] = {
    "sqlite": (
        "DROP TRIGGER IF EXISTS audit_head_guarded",
        "DROP TRIGGER IF EXISTS audit_head_kept",
        "DROP TRIGGER IF EXISTS audit_no_update",
        "DROP TRIGGER IF EXISTS audit_no_delete",
        "DROP TRIGGER IF EXISTS audit_no_replace",
    ),
    "postgresql": (
        "DROP FUNCTION IF EXISTS audit_remove_archived(bigint)",
        f"DROP TRIGGER IF EXISTS audit_head_guarded ON {HEAD}",
        f"DROP TRIGGER IF EXISTS audit_head_kept ON {HEAD}",
        f"DROP TRIGGER IF EXISTS audit_head_not_truncated ON {HEAD}",
        "DROP FUNCTION IF EXISTS audit_guard_head()",
        f"DROP TRIGGER IF EXISTS audit_no_update ON {TABLE}",
        f"DROP TRIGGER IF EXISTS audit_no_delete ON {TABLE}",
        f"DROP TRIGGER IF EXISTS audit_no_truncate ON {TABLE}",
        "DROP FUNCTION IF EXISTS audit_refuse()",
        "DROP FUNCTION IF EXISTS audit_refuse_delete()",
    ),
}


def install(connection: BaseDatabaseWrapper) -> None:
    """Create the triggers and their functions."""
    _run(connection, INSTALL[connection.vendor])


def remove(connection: BaseDatabaseWrapper) -> None:
    """Drop the triggers and their functions."""
    _run(connection, REMOVE[connection.vendor])


def _run(connection: BaseDatabaseWrapper, statements: tuple[str, ...]) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def protect(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    install(schema_editor.connection)
    apps.get_model("batchops", "AuditHead").objects.get_or_create(pk=1)


def unprotect(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    remove(schema_editor.connection)


class Migration(migrations.Migration):
    dependencies = [("batchops", "0001_initial")]

    operations = [migrations.RunPython(protect, unprotect)]
