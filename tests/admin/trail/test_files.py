"""Exports of the filtered trail, as the browser gets them."""

from __future__ import annotations

import csv
import io
import json
import zipfile

import pytest
from django.contrib.auth.models import User
from django.test import Client

from batchops.models import Action, AuditEntry
from tests.admin.trail.trail import address, write

pytestmark = pytest.mark.django_db

HOSTILE = ["=cmd|' /C calc'!A0", "+1", "@SUM(A1)", "<b>bold</b>", "\u202eevil \u05d0", "x" * 5_000]


@pytest.fixture
def reader(client: Client, auditor: User) -> Client:
    client.force_login(auditor)
    return client


def download(reader: Client, kind: str, bom: bool = False, **query: object) -> bytes:
    data = {"kind": kind} | ({"byte_order_mark": "on"} if bom else {})
    response = reader.post(address("export", **query), data)
    assert response.streaming
    assert response["Content-Disposition"].startswith('attachment; filename="audit-trail-')
    assert response["X-Content-Type-Options"] == "nosniff"
    return response.getvalue()


def test_only_what_matches_the_filter_leaves_and_the_export_is_recorded(reader: Client) -> None:
    write(name="oscar", reason="his")
    write(reason="hers")
    text = download(reader, "csv", person="oscar").decode()
    assert "his" in text
    assert "hers" not in text
    recorded = AuditEntry.objects.get(action=Action.AUDIT_EXPORTED)
    assert recorded.actor_name == "audrey"
    assert recorded.detail["entries"] == 1
    assert "oscar" in recorded.detail["filter"]


@pytest.mark.parametrize("bom", [True, False])
def test_the_byte_order_mark_is_a_choice(reader: Client, bom: bool) -> None:
    write()
    assert download(reader, "csv", bom).startswith(b"\xef\xbb\xbf") is bom


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_breaks_no_file_and_starts_no_formula(reader: Client, text: str) -> None:
    write(reason=text, batch_id=text[:255], detail={"message": text})
    rows = list(csv.reader(io.StringIO(download(reader, "csv", person="olivia").decode())))
    assert len(rows) == 2
    assert len(rows[0]) == len(rows[1])
    assert not any(cell.startswith(("=", "+", "@")) for cell in rows[1])
    assert any(text in cell for cell in rows[1])
    book = zipfile.ZipFile(io.BytesIO(download(reader, "xlsx", person="olivia")))
    assert book.testzip() is None
    assert b"<f>" not in book.read("xl/worksheets/sheet1.xml")
    lines = download(reader, "jsonl", person="olivia").decode().splitlines()
    assert any(json.loads(line).get("reason") == text for line in lines)


def test_an_export_of_nothing_says_so_and_is_not_recorded(reader: Client) -> None:
    write()
    response = reader.post(address("export", person="nobody"), {"kind": "csv"})
    assert "nothing to export" in response.content.decode()
    assert not AuditEntry.objects.filter(action=Action.AUDIT_EXPORTED).exists()


@pytest.mark.parametrize(
    ("query", "kind", "message"),
    [
        ({}, "pdf", "Select a valid choice"),
        ({}, "", "This field is required."),
        ({"since": "2026-03-24", "until": "2026-03-20"}, "csv", "before the first day"),
        ({"colour": "red"}, "csv", "There is no filter named"),
    ],
)
def test_an_export_that_cannot_be_made_says_why(
    reader: Client, query: dict[str, str], kind: str, message: str
) -> None:
    write()
    response = reader.post(address("export", **query), {"kind": kind})
    assert response.status_code == 200
    assert message in response.content.decode()
    assert not AuditEntry.objects.filter(action=Action.AUDIT_EXPORTED).exists()
