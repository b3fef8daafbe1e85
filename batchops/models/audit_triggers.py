"""The database's own refusal to alter the trail, on SQLite and PostgreSQL.

Rows cannot be updated; they can be deleted only up to `AuditHead.removable_through`, which can be
raised only to where an entry of the trail says that it was archived. The head cannot go back.
"""

from __future__ import annotations

from typing import Final

from django.db.backends.base.base import BaseDatabaseWrapper

TABLE: Final = "batchops_auditentry"
HEAD: Final = "batchops_audithead"

_REMOVABLE: Final = f"OLD.sequence > (SELECT COALESCE(MAX(removable_through), 0) FROM {HEAD})"  # noqa: S608
_MESSAGE: Final = "the audit trail cannot be altered"

_ENTRIES: Final[dict[str, tuple[str, ...]]] = {
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

_ARCHIVED: Final = f"""EXISTS (SELECT 1 FROM {TABLE} WHERE action = 'audit.archived'
              AND CAST({{through}} AS BIGINT) = NEW.removable_through)"""  # noqa: S608
_OPENED: Final = "NEW.removable_through > OLD.removable_through"
_WENT_BACK: Final = "NEW.sequence < OLD.sequence"

_HEAD: Final[dict[str, tuple[str, ...]]] = {
    "sqlite": (
        f"""CREATE TRIGGER audit_head_guarded BEFORE UPDATE ON {HEAD}
            WHEN {_WENT_BACK} OR ({_OPENED} AND NOT
              {_ARCHIVED.format(through="json_extract(detail, '$.through')")})
            BEGIN SELECT RAISE(ABORT, '{_MESSAGE}'); END""",
        f"""CREATE TRIGGER audit_head_kept BEFORE DELETE ON {HEAD}
            BEGIN SELECT RAISE(ABORT, '{_MESSAGE}'); END""",
    ),
    "postgresql": (
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
    ),
}

_REMOVAL: Final[dict[str, tuple[str, ...]]] = {
    "sqlite": (),
    # Runs as the owner: the role that batchops runs as may not delete from the trail itself.
    "postgresql": (
        f"""CREATE FUNCTION audit_remove_archived(through bigint) RETURNS void
            LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
              DELETE FROM {TABLE} WHERE sequence <= LEAST(through,
                (SELECT MAX(removable_through) FROM {HEAD})) $$""",  # noqa: S608
        "REVOKE ALL ON FUNCTION audit_remove_archived(bigint) FROM PUBLIC",
    ),
}

INSTALL: Final = {"entries": _ENTRIES, "head": _HEAD, "removal": _REMOVAL}

REMOVE: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "removal": {
        "sqlite": (),
        "postgresql": ("DROP FUNCTION IF EXISTS audit_remove_archived(bigint)",),
    },
    "head": {
        "sqlite": (
            "DROP TRIGGER IF EXISTS audit_head_guarded",
            "DROP TRIGGER IF EXISTS audit_head_kept",
        ),
        "postgresql": (
            f"DROP TRIGGER IF EXISTS audit_head_guarded ON {HEAD}",
            f"DROP TRIGGER IF EXISTS audit_head_kept ON {HEAD}",
            f"DROP TRIGGER IF EXISTS audit_head_not_truncated ON {HEAD}",
            "DROP FUNCTION IF EXISTS audit_guard_head()",
        ),
    },
    "entries": {
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
    },
}


def install(connection: BaseDatabaseWrapper, *groups: str) -> None:
    """Create the triggers of the groups named ("entries", "head", "removal"), or all."""
    for group in groups or INSTALL:
        _run(connection, INSTALL[group][connection.vendor])


def remove(connection: BaseDatabaseWrapper, *groups: str) -> None:
    """Drop the triggers of the groups named, or all; for going back to an older version."""
    for group in groups or REMOVE:
        _run(connection, REMOVE[group][connection.vendor])


def _run(connection: BaseDatabaseWrapper, statements: tuple[str, ...]) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
