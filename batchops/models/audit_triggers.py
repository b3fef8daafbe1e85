"""The database's own refusal to alter the trail, on SQLite and PostgreSQL.

Rows cannot be updated; they can be deleted only up to `AuditHead.removable_through`, which the
archive command raises in the transaction that records it.
"""

from __future__ import annotations

from typing import Final

from django.db.backends.base.base import BaseDatabaseWrapper

TABLE: Final = "batchops_auditentry"
HEAD: Final = "batchops_audithead"

_REMOVABLE: Final = f"OLD.sequence > (SELECT COALESCE(MAX(removable_through), 0) FROM {HEAD})"  # noqa: S608
_MESSAGE: Final = "the audit trail cannot be altered"

INSTALL: Final[dict[str, tuple[str, ...]]] = {
    "sqlite": (
        f"""CREATE TRIGGER audit_no_update BEFORE UPDATE ON {TABLE}
            BEGIN SELECT RAISE(ABORT, '{_MESSAGE}'); END""",
        f"""CREATE TRIGGER audit_no_delete BEFORE DELETE ON {TABLE} WHEN {_REMOVABLE}
            BEGIN SELECT RAISE(ABORT, '{_MESSAGE}'); END""",
        f"""CREATE TRIGGER audit_no_replace BEFORE INSERT ON {TABLE}
            WHEN EXISTS (SELECT 1 FROM {TABLE} WHERE sequence = NEW.sequence)
            BEGIN SELECT RAISE(ABORT, '{_MESSAGE}'); END""",  # noqa: S608
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
    ),
}

REMOVE: Final[dict[str, tuple[str, ...]]] = {
    "sqlite": (
        "DROP TRIGGER IF EXISTS audit_no_update",
        "DROP TRIGGER IF EXISTS audit_no_delete",
        "DROP TRIGGER IF EXISTS audit_no_replace",
    ),
    "postgresql": (
        f"DROP TRIGGER IF EXISTS audit_no_update ON {TABLE}",
        f"DROP TRIGGER IF EXISTS audit_no_delete ON {TABLE}",
        f"DROP TRIGGER IF EXISTS audit_no_truncate ON {TABLE}",
        "DROP FUNCTION IF EXISTS audit_refuse()",
        "DROP FUNCTION IF EXISTS audit_refuse_delete()",
    ),
}


def install(connection: BaseDatabaseWrapper) -> None:
    """Create the triggers."""
    _run(connection, INSTALL[connection.vendor])


def remove(connection: BaseDatabaseWrapper) -> None:
    """Drop the triggers; for going back to an older version of the tables."""
    _run(connection, REMOVE[connection.vendor])


def _run(connection: BaseDatabaseWrapper, statements: tuple[str, ...]) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
