"""The filtered trail as a file: CSV, XLSX, or JSON Lines that can be verified by an outsider.

An export is recorded with its filter and row count before its first byte leaves, and streamed in
slices, so that a million rows take no more memory than a thousand.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from django.db import models, transaction
from django.db.models import Min, QuerySet
from django.utils import timezone

from batchops import audit, permissions
from batchops.audit.canonical_form import FORMAT, Row, canonical_text, json_line
from batchops.models import Action, AuditEntry
from batchops.services import authorization
from batchops.services.anchors.anchor import Anchor
from batchops.services.errors import InvalidInput
from batchops.services.proof import anchoring
from batchops.services.table_files import writers
from batchops.services.table_files.writers import Export
from batchops.services.trail import stored_rows

if TYPE_CHECKING:
    from django.contrib.auth.models import User

Ends: TypeAlias = tuple[Anchor, Anchor | None]
"""How the trail ends: its head, and the last anchor that it stores."""


class ExportFormat(models.TextChoices):
    """What an export is written as."""

    XLSX = "xlsx", "Excel (XLSX), for spreadsheets"
    CSV = "csv", "CSV; an apostrophe marks what a spreadsheet would alter"
    JSON_LINES = "jsonl", "JSON Lines, verifiable"


CONTENT_TYPES: Final[dict[str, str]] = {
    ExportFormat.CSV: writers.CSV_TYPE,
    ExportFormat.XLSX: writers.XLSX_TYPE,
    ExportFormat.JSON_LINES: "application/x-ndjson; charset=utf-8",
}


@authorization.records_denials
def export(
    found: QuerySet[AuditEntry],
    kind: ExportFormat,
    *,
    user: User,
    actor: audit.Actor,
    description: str,
    byte_order_mark: bool = True,
) -> Export:
    """Record an export of entries and give out its bytes, oldest entry first.

    `description` is the filter in words; `byte_order_mark` makes Excel read a CSV as UTF-8.
    Raises NotAllowed without the permission, InvalidInput when no entry matches.
    """
    authorization.require(user, permissions.EXPORT_TRAIL, actor)
    head, stored = anchoring.verified_end()
    rows = found.filter(sequence__lte=head.sequence).count()
    if not rows:
        raise InvalidInput("No entry matches this filter, so there is nothing to export.")
    with transaction.atomic():
        audit.record(
            audit.Fact(
                Action.AUDIT_EXPORTED,
                actor,
                outcome="ok",
                detail={
                    "entries": rows,
                    "filter": description,
                    "kind": kind.value,
                    "head": head.to_json(),
                },
            )
        )
    slices = stored_rows.matching(found, head.sequence)
    now = timezone.now()
    oldest = AuditEntry.objects.aggregate(oldest=Min("sequence"))["oldest"]
    header = _header(description, rows, now, whole=rows == head.sequence - oldest + 1)
    return Export(
        filename=f"audit-trail-{now:%Y%m%d-%H%M%S}.{kind.value}",
        content_type=CONTENT_TYPES[kind],
        rows=rows,
        chunks=_chunks(kind, slices, byte_order_mark, header, (head, stored)),
    )


def json_lines(slices: Iterable[list[Row]], header: dict[str, Any], ends: Ends) -> Iterator[bytes]:
    """A verifiable file: what it is, each entry with its two hashes, and how the trail ends.

    The head is signed where it was verified; the anchor is the last that the trail stores.
    """
    yield f"{canonical_text(header)}\n".encode()
    written = 0
    for rows in slices:
        written += len(rows)
        yield "".join(map(json_line, rows)).encode()
    head, stored = ends
    end = {"anchor": stored.to_json() if stored else None, "head": head.to_json()}
    yield f"{canonical_text({'entries': written, **end})}\n".encode()


def _chunks(
    kind: ExportFormat,
    slices: Iterable[list[Row]],
    byte_order_mark: bool,
    header: dict[str, Any],
    ends: Ends,
) -> Iterator[bytes]:
    if kind == ExportFormat.CSV:
        return writers.csv_chunks(Row._fields, slices, byte_order_mark=byte_order_mark)
    if kind == ExportFormat.XLSX:
        return writers.xlsx_chunks(Row._fields, slices)
    return json_lines(slices, header, ends)


def _header(description: str, rows: int, now: dt.datetime, *, whole: bool) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "filter": description,
        "entries": rows,
        "exported_at": now.astimezone(dt.UTC).isoformat(timespec="microseconds"),
        "whole": whole,
    }
