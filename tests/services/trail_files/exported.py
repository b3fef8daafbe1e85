"""What the tests of exports share: hostile texts, a file of the trail, an outsider's verdict."""

from __future__ import annotations

from pathlib import Path

from django.contrib.auth.models import User

from batchops import audit
from batchops.services.table_files.writers import Export
from batchops.services.trail.search import entries
from batchops.services.trail.trail_filter import TrailFilter
from batchops.services.trail_files.exports import ExportFormat, export
from tools import verify_audit_export

HOSTILE = (
    "=HYPERLINK(0)",
    "+1",
    "-1",
    "@SUM(1)",
    "\t=1",
    "\r=1",
    " =1",
    "\uff1d1",
    "<script>alert(1)</script>",
    "\u202eevil",
    'a\nb,"c"',
    "x" * 5_000,
)


def exported(user: User, kind: ExportFormat, trail_filter: TrailFilter | None = None) -> Export:
    trail_filter = trail_filter or TrailFilter()
    return export(
        entries(trail_filter),
        kind,
        user=user,
        actor=audit.Actor.of_user(user),
        description=trail_filter.describe(),
    )


def written(
    user: User, folder: Path, trail_filter: TrailFilter | None = None, name: str = "trail.jsonl"
) -> Path:
    path = folder / name
    path.write_bytes(b"".join(exported(user, ExportFormat.JSON_LINES, trail_filter).chunks))
    return path


def judged(path: Path, *more: str) -> int:
    return verify_audit_export.main([str(path), *more])
