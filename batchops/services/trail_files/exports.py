"""The filtered trail as a file: CSV, XLSX, or JSON Lines that can be verified by an outsider.

An export is recorded with its filter and row count before its first byte leaves, and streamed in
slices, so that a million rows take no more memory than a thousand.
"""

from __future__ import annotations

import csv
import datetime as dt
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import xlsxwriter
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
from batchops.services.trail import stored_rows
from batchops.services.trail_files import spreadsheet_cells

if TYPE_CHECKING:
    from django.contrib.auth.models import User

CELL_LIMIT: Final = 32_767
"""Most characters of a cell in a spreadsheet."""
SHEET_ROWS: Final = 1_000_000
"""Rows on one sheet; a spreadsheet holds 1,048,576."""
CHUNK_BYTES: Final = 64 * 1024
Ends: TypeAlias = tuple[Anchor, Anchor | None]
"""How the trail ends: its head, and the last anchor that it stores."""
BYTE_ORDER_MARK: Final = "\ufeff"


class ExportFormat(models.TextChoices):
    """What an export is written as."""

    XLSX = "xlsx", "Excel (XLSX), for spreadsheets"
    CSV = "csv", "CSV; an apostrophe marks what a spreadsheet would alter"
    JSON_LINES = "jsonl", "JSON Lines, verifiable"


CONTENT_TYPES: Final[dict[str, str]] = {
    ExportFormat.CSV: "text/csv; charset=utf-8",
    ExportFormat.XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ExportFormat.JSON_LINES: "application/x-ndjson; charset=utf-8",
}


@dataclass(frozen=True, slots=True)
class Export:
    """A file on its way out; `chunks` can be read once."""

    filename: str
    content_type: str
    rows: int
    chunks: Iterator[bytes]


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
        return _csv(slices, byte_order_mark)
    if kind == ExportFormat.XLSX:
        return _xlsx(slices)
    return json_lines(slices, header, ends)


def _header(description: str, rows: int, now: dt.datetime, *, whole: bool) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "filter": description,
        "entries": rows,
        "exported_at": now.astimezone(dt.UTC).isoformat(timespec="microseconds"),
        "whole": whole,
    }


class _Line:
    """A file for the csv module that hands each line straight back."""

    def write(self, line: str) -> str:
        return line


def _csv(slices: Iterable[list[Row]], byte_order_mark: bool) -> Iterator[bytes]:
    writer: Any = csv.writer(_Line())
    start = BYTE_ORDER_MARK if byte_order_mark else ""
    yield f"{start}{writer.writerow(Row._fields)}".encode()
    for rows in slices:
        yield "".join(
            writer.writerow([spreadsheet_cells.as_text(value) for value in row]) for row in rows
        ).encode()


def _xlsx(slices: Iterable[list[Row]]) -> Iterator[bytes]:
    with tempfile.TemporaryDirectory(prefix="batchops-export-") as folder:
        path = Path(folder) / "trail.xlsx"
        _write_workbook(path, folder, slices)
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk


def _write_workbook(path: Path, folder: str, slices: Iterable[list[Row]]) -> None:
    book = xlsxwriter.Workbook(str(path), {"constant_memory": True, "tmpdir": folder})
    bold = book.add_format({"bold": True})
    sheet: Any = None
    line = SHEET_ROWS
    for rows in slices:
        for row in rows:
            if line >= SHEET_ROWS:
                sheet, line = _new_sheet(book, bold), 0
            line += 1
            for column, value in enumerate(row):
                _write_cell(sheet, line, column, value)
    book.close()


def _new_sheet(book: Any, bold: Any) -> Any:
    sheet = book.add_worksheet()
    sheet.freeze_panes(1, 0)
    for column, name in enumerate(Row._fields):
        sheet.write_string(0, column, name, bold)
    return sheet


def _write_cell(sheet: Any, line: int, column: int, value: object) -> None:
    if isinstance(value, int):
        sheet.write_number(line, column, value)
    elif isinstance(value, str) and value:
        # Written as text, so no formula or link can come of it.
        cut = value if len(value) <= CELL_LIMIT else f"{value[: CELL_LIMIT - 1]}…"
        sheet.write_string(line, column, cut)
