"""An outsider checks a file of the trail without batchops: entries, anchors, signatures."""

from __future__ import annotations

import base64
import datetime as dt
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.contrib.auth.models import User
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest_django import Settings

from batchops import audit
from batchops.audit.canonical_form import json_line
from batchops.models import AuditEntry
from batchops.services.anchors.anchor import Anchor
from batchops.services.proof import anchoring
from batchops.services.trail.trail_filter import TrailFilter
from tests.audit import trail
from tests.services.trail_files.exported import HOSTILE, judged, written
from tools import verify_audit_export

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_trail")]

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
SEED = base64.b64encode(bytes(range(32))).decode()
PUBLIC = base64.b64encode(KEY.public_key().public_bytes_raw()).decode()
TOOL = Path(verify_audit_export.__file__)


# The outsider's verifier ---------------------------------------------------------------------


def test_an_outsider_verifies_a_signed_export_with_the_public_key_alone(
    settings: Settings, auditor: User, tmp_path: Path
) -> None:
    settings.AUDIT_SIGNING_KEY = SEED
    for text in HOSTILE:
        trail.fill(1, reason=text)
    anchoring.anchor_head()
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


@settings(max_examples=60)
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


@settings(max_examples=25)
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


# Anchors inside an export --------------------------------------------------------------------


def anchored_export(user: User, folder: Path, settings: Settings) -> list[Any]:
    """The objects of a whole, signed export with anchors 1 and 2 in it."""
    settings.AUDIT_SIGNING_KEY = SEED
    for _ in range(2):
        trail.fill(2)
        anchoring.anchor_head()
    return [json.loads(line) for line in written(user, folder).read_text().splitlines()]


def anchor_entries(objects: list[Any]) -> list[Any]:
    return [data for data in objects if data.get("action") == "audit.anchored"]


def rebuilt(
    objects: list[Any], change: Callable[[Anchor], Anchor] = lambda anchor: anchor
) -> bytes:
    """The file with its chain computed anew, its anchors fitted and changed, its head signed."""
    header, *entries_, end = objects
    previous, before = audit.GENESIS, None
    for number, entry in enumerate(entries_, start=1):
        entry |= {"sequence": number, "previous_hash": previous}
        if entry["action"] == "audit.anchored":
            fitted = replace(
                Anchor.from_json(entry["detail"]),
                sequence=number - 1,
                hash=previous,
                previous=before.digest() if before else audit.GENESIS,
            )
            before = change(fitted)
            entry["detail"] = before.to_json()
        previous = entry["hash"] = verify_audit_export.chain_hash(entry)
    head = Anchor(
        len(entries_),
        previous,
        entries_[-1]["at"],
        previous=before.digest() if before else audit.GENESIS,
    )
    header["entries"] = end["entries"] = len(entries_)
    end |= {"anchor": before and before.to_json(), "head": signed(head).to_json()}
    return b"".join(json.dumps(data).encode() + b"\n" for data in (header, *entries_, end))


def test_an_export_carries_the_last_stored_anchor_and_a_head_that_follows_it(
    auditor: User, tmp_path: Path, settings: Settings
) -> None:
    objects = anchored_export(auditor, tmp_path, settings)
    end, last = objects[-1], anchor_entries(objects)[-1]["detail"]
    assert end["anchor"] == last
    assert end["head"]["previous"] == Anchor.from_json(last).digest()
    assert end["head"]["number"] == 0
    assert judged(tmp_path / "trail.jsonl", "--public-key", PUBLIC) == 0


def test_an_export_of_an_altered_trail_is_not_signed(
    auditor: User, tmp_path: Path, settings: Settings
) -> None:
    anchored_export(auditor, tmp_path, settings)
    last = AuditEntry.objects.latest("sequence").sequence
    with trail.triggers_dropped():
        trail.change(last, reason="as if it had always been so")
        trail.fit_hash(last)
    path = written(auditor, tmp_path, name="altered.jsonl")
    assert json.loads(path.read_text().splitlines()[-1])["head"]["signature"] == ""
    assert judged(path, "--public-key", PUBLIC) == 1


@pytest.mark.parametrize(
    ("change", "is_good"),
    [
        (signed, True),
        (lambda anchor: replace(anchor, key_id="", signature=""), False),
        (lambda anchor: replace(signed(anchor), signature="AAAA"), False),
        (lambda anchor: replace(anchor, interval=anchor.interval + 1), False),
        (lambda anchor: signed(replace(anchor, number=anchor.number * 2)), False),
        (lambda anchor: signed(replace(anchor, previous="a" * 64)), False),
        (lambda anchor: signed(replace(anchor, hash="a" * 64)), False),
        (
            lambda anchor: signed(replace(anchor, at=f"20{30 + anchor.number}{anchor.at[4:]}")),
            False,
        ),
        (lambda anchor: signed(replace(anchor, at="yesterday")), False),
        (
            lambda anchor: signed(
                replace(anchor, number=anchor.number * 2, reason="why", by="ada")
            ),
            True,
        ),
        (lambda anchor: replace(anchor, key_id="", signature="", reason="why", by="eve"), False),
    ],
)
def test_an_outsider_checks_the_anchors_inside_a_file(
    auditor: User,
    tmp_path: Path,
    settings: Settings,
    change: Callable[[Anchor], Anchor],
    is_good: bool,
) -> None:
    """Even where the head at the end is signed: the key may have been used since."""
    objects = anchored_export(auditor, tmp_path, settings)
    assert outcome_of(rebuilt(objects, change)) == (0 if is_good else 1)


def test_an_outsider_misses_an_anchor_that_was_dropped(
    auditor: User, tmp_path: Path, settings: Settings
) -> None:
    objects = anchored_export(auditor, tmp_path, settings)
    del objects[objects.index(anchor_entries(objects)[0])]
    assert outcome_of(rebuilt(objects, signed)) == 1


def test_an_outsider_misses_the_anchors_before_a_first_signed_one_that_came_late(
    auditor: User, tmp_path: Path, settings: Settings
) -> None:
    objects = anchored_export(auditor, tmp_path, settings)
    day_before = timezone.now() - dt.timedelta(days=1)
    objects[1]["at"] = f"{day_before:%Y-%m-%dT%H:%M:%S.%f}+00:00"
    assert outcome_of(rebuilt(objects, signed)) == 1
    assert outcome_of(rebuilt(objects, lambda anchor: acknowledged(anchor, of=1))) == 0
    assert outcome_of(rebuilt(objects, signed), with_key=False) == 0


def acknowledged(anchor: Anchor, *, of: int) -> Anchor:
    """Signed, and the one of that number with a person's reason."""
    reason = "signing begins" if anchor.number == of else ""
    return signed(replace(anchor, reason=reason))


def test_a_name_that_stands_twice_in_a_line_is_found() -> None:
    lines = example_export()
    lines[1] = lines[1].replace(b'{"action":', b'{"action":"x","action":', 1)
    assert outcome_of(b"".join(lines)) == 1
