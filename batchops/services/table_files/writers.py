"""Slices of rows as CSV, XLSX or JSON, in chunks of bytes as they come.

A million rows take no more memory than a thousand.
"""

from __future__ import annotations

import csv
import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import xlsxwriter

from batchops.services.table_files import spreadsheet_cells

CSV_TYPE: Final = "text/csv; charset=utf-8"
XLSX_TYPE: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
JSON_TYPE: Final = "application/json"
CELL_LIMIT: Final = 32_767
"""Most characters of a cell in a spreadsheet."""
SHEET_ROWS: Final = 1_000_000
"""Rows on one sheet; a spreadsheet holds 1,048,576."""
CHUNK_BYTES: Final = 64 * 1024
BYTE_ORDER_MARK: Final = "\ufeff"

Slices = Iterable[Sequence[Sequence[Any]]]
"""Rows, some at a time; a row holds texts, numbers and None."""


@dataclass(frozen=True, slots=True)
class Export:
    """A file on its way out; `chunks` can be read once."""

    filename: str
    content_type: str
    rows: int
    chunks: Iterator[bytes]


def csv_chunks(
    headings: Sequence[str], slices: Slices, *, byte_order_mark: bool = True
) -> Iterator[bytes]:
    """CSV; `byte_order_mark` makes Excel read it as UTF-8."""
    writer: Any = csv.writer(_Line())
    start = BYTE_ORDER_MARK if byte_order_mark else ""
    yield f"{start}{writer.writerow(headings)}".encode()
    for rows in slices:
        yield "".join(
            writer.writerow([spreadsheet_cells.as_text(value) for value in row]) for row in rows
        ).encode()


def xlsx_chunks(headings: Sequence[str], slices: Slices) -> Iterator[bytes]:
    """A workbook, written to a file of its own first, which is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="batchops-export-") as folder:
        path = Path(folder) / "rows.xlsx"
        _write_workbook(path, folder, headings, slices)
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk


def json_chunks(headings: Sequence[str], slices: Slices) -> Iterator[bytes]:
    """One JSON array with an object for each row, on a line of its own."""
    between = "[\n"
    for rows in slices:
        lines = (json.dumps(dict(zip(headings, row, strict=True))) for row in rows)
        text = ",\n".join(lines)
        if text:
            yield f"{between}{text}".encode()
            between = ",\n"
    yield b"[]\n" if between == "[\n" else b"\n]\n"


class _Line:
    """A file for the csv module that hands each line straight back."""

    def write(self, line: str) -> str:
        return line


def _write_workbook(path: Path, folder: str, headings: Sequence[str], slices: Slices) -> None:
    book = xlsxwriter.Workbook(str(path), {"constant_memory": True, "tmpdir": folder})
    bold = book.add_format({"bold": True})
    sheet: Any = None
    line = SHEET_ROWS
    for rows in slices:
        for row in rows:
            if line >= SHEET_ROWS:
                sheet, line = _new_sheet(book, headings, bold), 0
            line += 1
            for column, value in enumerate(row):
                _write_cell(sheet, line, column, value)
    book.close()


def _new_sheet(book: Any, headings: Sequence[str], bold: Any) -> Any:
    sheet = book.add_worksheet()
    sheet.freeze_panes(1, 0)
    for column, name in enumerate(headings):
        sheet.write_string(0, column, name, bold)
    return sheet


def _write_cell(sheet: Any, line: int, column: int, value: object) -> None:
    if isinstance(value, bool):
        sheet.write_boolean(line, column, value)
    elif isinstance(value, int):
        sheet.write_number(line, column, value)
    elif isinstance(value, str) and value:
        # Written as text, so no formula or link can come of it.
        cut = value if len(value) <= CELL_LIMIT else f"{value[: CELL_LIMIT - 1]}…"
        sheet.write_string(line, column, cut)
