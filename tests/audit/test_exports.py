"""The trail as a file: safe to open, recorded, and verifiable by an outsider."""

from __future__ import annotations

import base64
import csv
import io
import json
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.contrib.auth.models import User
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest_django import Settings

from batchops.models import Action, AuditEntry
from batchops.services import audit
from batchops.services.audit_anchor_form import Anchor
from batchops.services.audit_export import Export, Kind, export
from batchops.services.audit_filter import TrailFilter
from batchops.services.audit_form import json_line
from batchops.services.audit_queries import entries
from batchops.services.errors import InvalidInput, NotAllowed
from tests.audit import trail
from tools import verify_audit_export

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_trail")]

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
SEED = base64.b64encode(bytes(range(32))).decode()
PUBLIC = base64.b64encode(KEY.public_key().public_bytes_raw()).decode()
TOOL = Path(verify_audit_export.__file__)
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


def exported(user: User, kind: Kind, trail_filter: TrailFilter | None = None) -> Export:
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
    path.write_bytes(b"".join(exported(user, Kind.JSON_LINES, trail_filter).chunks))
    return path


def judged(path: Path, *more: str) -> int:
    return verify_audit_export.main([str(path), *more])


# Files for spreadsheets ----------------------------------------------------------------------


def test_no_cell_of_a_csv_can_become_a_formula(auditor: User) -> None:
    for text in HOSTILE:
        trail.fill(1, reason=text)
    data = b"".join(exported(auditor, Kind.CSV, TrailFilter(action="batch.applied")).chunks)
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
        Kind.CSV,
        user=auditor,
        actor=trail.OLIVIA,
        description="everything",
        byte_order_mark=False,
    )
    assert b"".join(out.chunks).startswith(b"sequence,at,action")


def test_a_workbook_holds_every_text_as_text(auditor: User) -> None:
    for text in HOSTILE:
        trail.fill(1, reason=text)
    out = exported(auditor, Kind.XLSX, TrailFilter(action="batch.applied"))
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
    out = exported(auditor, Kind.CSV, TrailFilter(person="olivia"))
    entry = AuditEntry.objects.get(action=Action.AUDIT_EXPORTED)
    assert entry.actor_name == "audrey"
    assert entry.detail["entries"] == out.rows == 5
    assert entry.detail["filter"] == "person: olivia"
    assert entry.detail["kind"] == "csv"


def test_who_may_not_export_is_refused_and_the_try_is_recorded(viewer: User) -> None:
    trail.fill(1)
    with pytest.raises(NotAllowed):
        exported(viewer, Kind.CSV)
    entry = AuditEntry.objects.latest("sequence")
    assert (entry.action, entry.actor_name) == (Action.ACCESS_DENIED, "victor")


def test_an_export_of_nothing_says_so_and_leaves_no_entry(auditor: User) -> None:
    last = AuditEntry.objects.count()
    with pytest.raises(InvalidInput, match="nothing to export"):
        exported(auditor, Kind.CSV, TrailFilter(person="nobody"))
    assert AuditEntry.objects.count() == last


def test_what_is_written_while_an_export_runs_is_not_in_it(auditor: User, tmp_path: Path) -> None:
    trail.fill(3)
    out = exported(auditor, Kind.JSON_LINES)
    trail.fill(3)
    path = tmp_path / "trail.jsonl"
    path.write_bytes(b"".join(out.chunks))
    assert judged(path) == 0


# The outsider's verifier ---------------------------------------------------------------------


def test_an_outsider_verifies_a_signed_export_with_the_public_key_alone(
    settings: Settings, auditor: User, tmp_path: Path
) -> None:
    settings.AUDIT_SIGNING_KEY = SEED
    for text in HOSTILE:
        trail.fill(1, reason=text)
    path = written(auditor, tmp_path)
    # Another process, in isolated mode, which cannot import anything of the project.
    done = subprocess.run(
        [sys.executable, "-I", str(TOOL), str(path), "--public-key", PUBLIC],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Integrity: good" in done.stdout
    assert "The head is signed with the key" in done.stdout


def test_a_filtered_export_verifies_and_says_that_it_is_filtered(
    auditor: User, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for index in range(6):
        trail.fill(1, batch_id=f"20260324.{index % 2}")
    assert judged(written(auditor, tmp_path, TrailFilter(batch_id="20260324.1"))) == 0
    assert "filtered" in capsys.readouterr().out


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_altered_byte_line_or_end_of_an_export_is_found(data: st.DataObject) -> None:
    lines = example_export()
    way = data.draw(st.sampled_from(("byte", "drop", "swap", "twice", "cut", "append")))
    number = data.draw(st.integers(min_value=1, max_value=len(lines) - 2))
    if way == "byte":
        position = data.draw(st.integers(min_value=0, max_value=len(lines[number]) - 2))
        old = lines[number][position : position + 1]
        new = b"1" if old != b"1" else b"2"
        lines[number] = lines[number][:position] + new + lines[number][position + 1 :]
    elif way == "drop":
        del lines[number]
    elif way == "swap":
        lines[number], lines[number + 1] = lines[number + 1], lines[number]
    elif way == "twice":
        lines.insert(number, lines[number])
    elif way == "cut":
        whole = b"".join(lines)
        lines = [
            whole[: data.draw(st.integers(min_value=len(lines[0]) + 1, max_value=len(whole) - 1))]
        ]
    else:
        lines.append(lines[number])
    assert outcome_of(b"".join(lines)) == 1


def test_a_chain_computed_anew_is_found_by_the_signature_alone() -> None:
    lines = [json.loads(line) for line in example_export()]
    previous = lines[1]["previous_hash"]
    for entry in lines[1:-1]:
        entry["reason"] = "as if it had always been so"
        entry["previous_hash"] = previous
        previous = entry["hash"] = verify_audit_export.chain_hash(entry)
    lines[-1]["head"]["hash"] = previous
    forged = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    assert outcome_of(forged, with_key=False) == 0
    assert outcome_of(forged) == 1


@pytest.mark.parametrize(
    "content",
    [b"", b"hello\n", b"{}\n", b"[1]\n", b"\xff\xfe\n", b'{"format": "another"}\n', b"[" * 99_999],
)
def test_a_foreign_file_is_refused_with_a_clear_word(content: bytes) -> None:
    assert outcome_of(content) in (1, 2)


def test_a_file_that_is_not_there_cannot_be_judged(tmp_path: Path) -> None:
    assert judged(tmp_path / "none") == 2


def test_an_anchor_kept_elsewhere_confirms_or_contradicts_an_export(
    auditor: User, tmp_path: Path
) -> None:
    trail.fill(3)
    path = written(auditor, tmp_path)
    entry = AuditEntry.objects.order_by("sequence")[1]
    assert judged(path, "--anchor", f"{entry.sequence}:{entry.hash}") == 0
    assert judged(path, "--anchor", f"{entry.sequence}:{'0' * 64}") == 1
    assert judged(path, "--anchor", f"9999:{entry.hash}") == 1
    assert judged(path, "--anchor", "nonsense") == 2


@settings(max_examples=25, deadline=None)
@given(seed=st.binary(min_size=32, max_size=32), message=st.binary(max_size=200), data=st.data())
def test_signatures_are_verified_as_by_the_library(
    seed: bytes, message: bytes, data: st.DataObject
) -> None:
    key = Ed25519PrivateKey.from_private_bytes(seed)
    public, signature = key.public_key().public_bytes_raw(), key.sign(message)
    verify = verify_audit_export.verify_signature
    assert verify(public, message, signature)
    assert not verify(public, message + b"x", signature)
    position = data.draw(st.integers(min_value=0, max_value=63))
    bit = data.draw(st.integers(min_value=0, max_value=7))
    broken = bytearray(signature)
    broken[position] ^= 1 << bit
    assert not verify(public, message, bytes(broken))
    assert not verify(public[:-1], message, signature)
    other = Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key().public_bytes_raw()
    assert seed == bytes(32) or not verify(other, message, signature)


def test_the_verifier_agrees_with_the_test_vectors_of_the_standard() -> None:
    # RFC 8032, section 7.1, test 2.
    public = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
    signature = bytes.fromhex(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    assert verify_audit_export.verify_signature(public, b"\x72", signature)


def example_export() -> list[bytes]:
    """The lines of a signed export of eight entries, made without a database."""
    entries_, previous = [], audit.GENESIS
    for number in range(1, 9):
        entry = AuditEntry(
            sequence=number,
            at=trail.MOMENT,
            action="batch.applied",
            actor_name="olivia",
            reason="wrong list",
            after={"paused": True},
            detail={"number": number},
            previous_hash=previous,
        )
        entry.hash = previous = audit.chain_hash(previous, audit.canonical(entry))
        entries_.append(json_line(audit.row_of(entry)).encode())
    header = {"format": "batchops-audit-1", "entries": 8, "whole": True}
    head = signed(Anchor(8, previous, "2026-03-24T06:00:00.000000+00:00"))
    last = {"entries": 8, "anchor": None, "head": head.to_json()}
    return [json.dumps(header).encode() + b"\n", *entries_, json.dumps(last).encode() + b"\n"]


def signed(anchor: Anchor) -> Anchor:
    """An anchor signed as only the holder of the key can."""
    public = KEY.public_key().public_bytes_raw()
    anchor = replace(anchor, key_id=verify_audit_export.key_id(public))
    return replace(anchor, signature=base64.b64encode(KEY.sign(anchor.message())).decode())


def outcome_of(content: bytes, *, with_key: bool = True) -> int:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trail.jsonl"
        path.write_bytes(content)
        return judged(path, *(["--public-key", PUBLIC] if with_key else []))
