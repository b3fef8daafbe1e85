"""Whether the database still refuses to alter the trail, as the migrations made it.

The owner of a database can drop a trigger, alter rows, and leave the chain computed anew. That the
trigger is gone, switched off, or not the one that batchops made, is a trace of its own.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from batchops.models import Action, AuditEntry, AuditHead

_MIGRATION: Final = import_module("batchops.migrations.0002_protect_the_audit_trail")
TABLE: Final = AuditEntry._meta.db_table
HEAD: Final = AuditHead._meta.db_table

_RELATION: Final = """
    SELECT relkind <> 'r', relrowsecurity OR relforcerowsecurity, relhasrules,
           EXISTS (SELECT 1 FROM pg_inherits WHERE inhparent = c.oid OR inhrelid = c.oid),
           relowner <> (SELECT relowner FROM pg_class WHERE oid = to_regclass(%s))
    FROM pg_class c WHERE oid = to_regclass(%s)"""
_STRANGE: Final = (
    "is not an ordinary table",
    "hides rows by row security",
    "has rewrite rules",
    "shares its rows with another table",
    "belongs to another owner than the tables of the migrations",
)
"""What each column of `_RELATION` says of a table."""


def problems(head: AuditHead | None = None) -> list[str]:
    """What is not as the migrations made it, in words; nothing when all is well."""
    found = _of_sqlite() if connection.vendor == "sqlite" else _of_postgresql()
    opened = (head or AuditHead.objects.filter(pk=1).first() or AuditHead()).removable_through
    if opened and not _was_archived(opened):
        found.append(
            f"The trail is open for removal up to entry {opened}, and no entry archives that far."
        )
    return found


def _was_archived(through: int) -> bool:
    archived = AuditEntry.objects.filter(action=Action.AUDIT_ARCHIVED)
    return any(detail.get("through") == through for detail in _details(archived))


def _details(entries: Any) -> list[dict[str, Any]]:
    found = entries.order_by("-sequence").values_list("detail", flat=True)
    return [detail for detail in found if isinstance(detail, dict)]


def _expected(kind: str) -> dict[str, str]:
    """What the migrations create of a kind ("TRIGGER", "FUNCTION"), by name."""
    statements = [_one_line(statement) for statement in _MIGRATION.INSTALL[connection.vendor]]
    start = f"CREATE {kind} "
    return {
        text.removeprefix(start).partition(" ")[0].partition("(")[0]: text
        for text in statements
        if text.startswith(start)
    }


def _compared(expected: dict[str, str], there: dict[str, str], what: str) -> list[str]:
    return [
        f"The {what} {name} {_how(name, expected, there)}."
        for name in sorted(expected.keys() | there.keys())
        if expected.get(name) != there.get(name)
    ]


def _how(name: str, expected: dict[str, str], there: dict[str, str]) -> str:
    if name not in there:
        return "is missing: the database no longer refuses to alter the trail"
    return "is not as batchops made it" if name in expected else "is not one of batchops"


def _of_sqlite() -> list[str]:
    rows = _rows(
        "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name IN (%s, %s)",
        TABLE,
        HEAD,
    )
    there = {str(name): _one_line(str(sql)) for name, sql in rows}
    found = _compared(_expected("TRIGGER"), there, "trigger")
    tables = "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name IN (%s, %s)"
    if _rows(tables, TABLE, HEAD) != [(2,)]:
        found.append("The audit trail is not an ordinary table.")
    return found


def _of_postgresql() -> list[str]:
    triggers = _rows(
        """SELECT tgname, pg_get_triggerdef(oid, true), tgenabled FROM pg_trigger
           WHERE NOT tgisinternal AND tgrelid IN (to_regclass(%s), to_regclass(%s))""",
        TABLE,
        HEAD,
    )
    there = {str(name): _one_line(str(sql)) for name, sql, _ in triggers}
    found = _compared(_expected("TRIGGER"), there, "trigger")
    off = [name for name, _, enabled in triggers if enabled not in "OA"]
    found += [f"The trigger {name} is switched off." for name in off]
    functions = _rows(
        """SELECT proname, prosrc FROM pg_proc
           WHERE proname = ANY(%s) AND pg_function_is_visible(oid)""",
        list(_expected("FUNCTION")),
    )
    bodies = {name: text.split("$$")[1].strip() for name, text in _expected("FUNCTION").items()}
    found += _compared(
        bodies, {str(name): _one_line(str(body)) for name, body in functions}, "function"
    )
    migrations = MigrationRecorder.Migration._meta.db_table
    for table in (TABLE, HEAD):
        signs = _rows(_RELATION, migrations, table) or [(True,)]
        found += [
            f"The table {table} {words}."
            for sign, words in zip(signs[0], _STRANGE, strict=False)
            if sign
        ]
    if _rows("SHOW session_replication_role") != [("origin",)]:
        found.append("This connection switches all triggers off (session_replication_role).")
    return found


def _rows(statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())


def _one_line(text: str) -> str:
    return " ".join(text.split())
