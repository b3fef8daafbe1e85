"""The trail as a file: safe to open, recorded, and verifiable by an outsider."""

from __future__ import annotations

import csv
import io
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import pytest
from django.contrib.auth.models import User

from batchops.models import Action, AuditEntry
from batchops.services.errors import InvalidInput, NotAllowed
from batchops.services.trail.search import entries
from batchops.services.trail.trail_filter import TrailFilter
from batchops.services.trail_files.exports import ExportFormat, export
from tests.audit import trail
from tests.services.trail_files.exported import HOSTILE, exported, judged

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_trail")]


# Files for spreadsheets ----------------------------------------------------------------------


def test_no_cell_of_a_csv_can_become_a_formula(auditor: User) -> None:
    for text in HOSTILE:
        trail.fill(1, reason=text)
    data = b"".join(exported(auditor, ExportFormat.CSV, TrailFilter(action="batch.applied")).chunks)
    text = data.decode("utf-8-sig")
    assert data.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert len(rows) == len(HOSTILE)
    for row, original in zip(rows, HOSTILE, strict=True):
        assert row["reason"] in (original, f"'{original}")
        for cell in row.values():
            assert not cell.lstrip(" ").startswith(tuple("=+-@\t\r\uff1d"))


def test_the_byte_order_mark_can_be_left_out(auditor: User) -> None:
    trail.fill(1)
    out = export(
        entries(TrailFilter()),
        ExportFormat.CSV,
        user=auditor,
        actor=trail.OLIVIA,
        description="everything",
        byte_order_mark=False,
    )
    assert b"".join(out.chunks).startswith(b"sequence,at,action")


def test_a_workbook_holds_every_text_as_text(auditor: User) -> None:
    for text in HOSTILE:
        trail.fill(1, reason=text)
    out = exported(auditor, ExportFormat.XLSX, TrailFilter(action="batch.applied"))
    with zipfile.ZipFile(io.BytesIO(b"".join(out.chunks))) as book:
        sheet = ElementTree.fromstring(book.read("xl/worksheets/sheet1.xml"))
    tags = {element.tag.rpartition("}")[2] for element in sheet.iter()}
    assert "f" not in tags
    assert "hyperlink" not in tags
    rows = [element for element in sheet.iter() if element.tag.endswith("}row")]
    assert len(rows) == len(HOSTILE) + 1


# Rules ---------------------------------------------------------------------------------------


def test_an_export_is_recorded_with_its_filter_and_row_count_before_it_is_read(
    auditor: User,
) -> None:
    trail.fill(5)
    out = exported(auditor, ExportFormat.CSV, TrailFilter(person="olivia"))
    entry = AuditEntry.objects.get(action=Action.AUDIT_EXPORTED)
    assert entry.actor_name == "audrey"
    assert entry.detail["entries"] == out.rows == 5
    assert entry.detail["filter"] == "person: olivia"
    assert entry.detail["kind"] == "csv"


def test_who_may_not_export_is_refused_and_the_try_is_recorded(viewer: User) -> None:
    trail.fill(1)
    with pytest.raises(NotAllowed):
        exported(viewer, ExportFormat.CSV)
    entry = AuditEntry.objects.latest("sequence")
    assert (entry.action, entry.actor_name) == (Action.ACCESS_DENIED, "victor")


def test_an_export_of_nothing_says_so_and_leaves_no_entry(auditor: User) -> None:
    last = AuditEntry.objects.count()
    with pytest.raises(InvalidInput, match="nothing to export"):
        exported(auditor, ExportFormat.CSV, TrailFilter(person="nobody"))
    assert AuditEntry.objects.count() == last


def test_what_is_written_while_an_export_runs_is_not_in_it(auditor: User, tmp_path: Path) -> None:
    trail.fill(3)
    out = exported(auditor, ExportFormat.JSON_LINES)
    trail.fill(3)
    path = tmp_path / "trail.jsonl"
    path.write_bytes(b"".join(out.chunks))
    assert judged(path) == 0
