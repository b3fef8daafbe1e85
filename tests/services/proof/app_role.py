"""Writes, signs, verifies, reviews, exports and archives, then tries to alter; for a process apart.

`DATABASE_URL` of that process names the role to do it as.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from batchops import audit
from batchops.services.proof import anchoring, watch
from batchops.services.proof.verification import verify
from batchops.services.trail import search, sign_offs
from batchops.services.trail.trail_filter import TrailFilter
from batchops.services.trail_files import archive as audit_archive
from batchops.services.trail_files import exports
from tests.audit import trail

ALTERING = (
    f"UPDATE {trail.TABLE} SET reason = 'another'",
    f"DELETE FROM {trail.TABLE}",
    f"TRUNCATE {trail.TABLE}",
    f"DROP TABLE {trail.TABLE}",
    f"DROP TRIGGER audit_no_update ON {trail.TABLE}",
    f"ALTER TABLE {trail.TABLE} DISABLE TRIGGER ALL",
    f"ALTER TABLE {trail.TABLE} OWNER TO CURRENT_USER",
    f"CREATE TRIGGER mine BEFORE INSERT ON {trail.TABLE} EXECUTE FUNCTION audit_refuse()",
    f"CREATE RULE mine AS ON INSERT TO {trail.TABLE} DO INSTEAD NOTHING",
    "CREATE TABLE mine (number integer)",
    "CREATE OR REPLACE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS "
    "'BEGIN RETURN NEW; END'",
    "DELETE FROM batchops_audithead",
    "TRUNCATE batchops_audithead",
    "INSERT INTO batchops_audithead (id, sequence, hash, removable_through) VALUES (2, 1, '', 9)",
    "SET session_replication_role = 'replica'",
    "INSERT INTO django_migrations (app, name, applied) VALUES ('batchops', 'mine', now())",
)


def act(name: str) -> None:
    """Do all of it, and leave what happened as JSON in a folder."""
    folder = Path(name)
    (folder / "said.json").write_text(json.dumps(_act(folder)))


def _act(folder: Path) -> dict[str, Any]:
    settings.AUDIT_RETENTION_DAYS = 0
    ada, bob = (_person(name) for name in ("ada", "bob"))
    trail.fill(5)
    anchoring.anchor_head()
    sign_offs.mark_filtered(TrailFilter(), comment="seen", **ada)
    every = search.entries(TrailFilter())
    made = exports.export(every, exports.ExportFormat.JSON_LINES, description="all", **ada)
    (folder / "export.jsonl").write_bytes(b"".join(made.chunks))
    asked = audit_archive.request(timezone.now(), reason="old", **ada)
    archive = folder / "archive.jsonl"
    audit_archive.carry_out(asked.pk, archive, **bob)
    return {
        "verdict": watch.judge(archives=[archive]).outcome,
        "faults": watch.judge(archives=[archive]).faults,
        "without the archive": verify().outcome,
        "not refused": [statement for statement in ALTERING if not _is_refused(statement)],
        "after": verify(archives=[archive]).outcome,
    }


def _person(name: str) -> dict[str, Any]:
    user = User.objects.create(username=name, is_superuser=True)
    return {"user": user, "actor": audit.Actor.of_user(user)}


def _is_refused(statement: str) -> bool:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
            transaction.set_rollback(True)
    except DatabaseError:
        return True
    return False
