"""Old entries leave for a file that verifies; heads are signed and kept where none can rewrite."""

from __future__ import annotations

import base64
import datetime as dt
import json
import logging
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
import time_machine
from django.contrib.auth.models import Permission, User
from django.core import mail
from django.core.checks import Error
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from batchops import checks, tasks
from batchops.models import Action, AuditEntry, AuditHead
from batchops.services import audit, audit_anchors, audit_archive
from batchops.services.audit_anchors import Anchor
from batchops.services.audit_archive import Archive
from batchops.services.audit_verification import verify
from batchops.services.errors import InvalidInput, NotAllowed
from tests.audit import trail
from tools import verify_audit_export

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_trail")]

SEED = base64.b64encode(bytes(range(32))).decode()
OLD = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
CUT = dt.datetime(2026, 2, 1, tzinfo=dt.UTC)


@pytest.fixture
def archivist(auditor: User) -> User:
    auditor.user_permissions.add(Permission.objects.get(codename="archive_auditentry"))
    return User.objects.get(pk=auditor.pk)


@pytest.fixture
def old_and_new(archivist: User, empty_trail: None) -> None:
    """Seven entries before the cut, five after it."""
    with trail.triggers_dropped():
        AuditEntry.objects.all()._raw_delete("default")
        AuditHead.objects.update(sequence=0, hash=audit.GENESIS)
    for moment, number in ((OLD, 7), (CUT, 5)):
        with time_machine.travel(moment, tick=False):
            trail.fill(number)


def archive(user: User, path: Path, before: dt.datetime = CUT) -> Archive:
    return audit_archive.archive(before, path, user=user, actor=audit.Actor.of_user(user))


def command(name: str, *arguments: str) -> str:
    out = StringIO()
    call_command(name, *arguments, stdout=out, no_color=True)
    return out.getvalue()


# Archiving -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("old_and_new")
def test_old_entries_move_into_a_file_that_verifies(archivist: User, tmp_path: Path) -> None:
    path = tmp_path / "archive.jsonl"
    done = archive(archivist, path)
    assert (done.first, done.through, done.entries) == (1, 7, 7)
    assert verify_audit_export.main([str(path)]) == 0
    assert AuditEntry.objects.order_by("sequence").values_list("sequence", flat=True)[0] == 8
    entry = AuditEntry.objects.get(action=Action.AUDIT_ARCHIVED)
    assert (entry.detail["through"], entry.detail["hash"]) == (7, done.hash)
    assert entry.detail["file_sha256"] == done.file_digest
    assert entry.actor_name == "audrey"


@pytest.mark.usefixtures("old_and_new")
def test_verifying_goes_on_from_the_cut(archivist: User, tmp_path: Path) -> None:
    archive(archivist, tmp_path / "archive.jsonl")
    verdict = verify()
    assert verdict.is_good
    assert verdict.first == 8


@pytest.mark.usefixtures("old_and_new")
def test_a_second_archive_goes_on_where_the_first_ends(archivist: User, tmp_path: Path) -> None:
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    archive(archivist, first)
    archive(archivist, second, CUT + dt.timedelta(days=1))
    assert verify_audit_export.main([str(second), "--after", str(first)]) == 0
    assert verify_audit_export.main([str(first), "--after", str(second)]) == 1
    assert verify().is_good


@pytest.mark.usefixtures("old_and_new")
def test_rows_that_went_without_an_archive_are_found() -> None:
    with trail.triggers_dropped():
        trail.run(f"DELETE FROM {trail.TABLE} WHERE sequence <= 7")
    fault = verify().integrity
    assert fault is not None
    assert "no entry says that they were archived" in str(fault)


@pytest.mark.usefixtures("old_and_new")
def test_nothing_goes_when_the_file_is_there_already(archivist: User, tmp_path: Path) -> None:
    path = tmp_path / "archive.jsonl"
    path.write_text("precious")
    with pytest.raises(InvalidInput, match="exists already"):
        archive(archivist, path)
    assert path.read_text() == "precious"
    assert AuditEntry.objects.filter(sequence=1).exists()


@pytest.mark.usefixtures("old_and_new")
def test_nothing_goes_when_the_file_cannot_be_written(archivist: User, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be written"):
        archive(archivist, tmp_path / "no" / "such" / "folder")
    assert AuditEntry.objects.filter(sequence=1).exists()


@pytest.mark.usefixtures("old_and_new")
def test_a_trail_that_does_not_verify_is_not_archived(archivist: User, tmp_path: Path) -> None:
    with trail.triggers_dropped():
        trail.change(4, reason="right list")
    path = tmp_path / "archive.jsonl"
    with pytest.raises(InvalidInput, match="Entry 4 does not verify"):
        archive(archivist, path)
    assert not path.exists()
    assert AuditEntry.objects.filter(sequence=1).exists()


@pytest.mark.usefixtures("old_and_new")
def test_a_removal_that_fails_takes_the_file_and_the_entry_back(
    archivist: User, tmp_path: Path
) -> None:
    path = tmp_path / "archive.jsonl"
    with connection.execute_wrapper(_refuse_deletion), pytest.raises(RuntimeError):
        archive(archivist, path)
    assert not path.exists()
    assert not AuditEntry.objects.filter(action=Action.AUDIT_ARCHIVED).exists()
    assert AuditHead.objects.get().removable_through == 0
    assert verify().is_good


@pytest.mark.usefixtures("old_and_new")
def test_archiving_needs_its_own_permission(operator: User, tmp_path: Path) -> None:
    with pytest.raises(NotAllowed):
        archive(operator, tmp_path / "archive.jsonl")
    assert AuditEntry.objects.latest("sequence").action == Action.ACCESS_DENIED


@pytest.mark.usefixtures("old_and_new")
def test_the_command_archives_in_a_persons_name(archivist: User, tmp_path: Path) -> None:
    path = tmp_path / "archive.jsonl"
    said = command("archive_audit", "--before", "2026-02-01", "--to", str(path), "--as", "audrey")
    assert "Entries 1 to 7" in said
    for bad in (["--before", "soon"], ["--as", "nobody"], ["--before", "2999-01-01"]):
        given = ["--before", "2026-02-01", "--to", str(path), "--as", "audrey", *bad]
        with pytest.raises(CommandError):
            command("archive_audit", *given)


def _refuse_deletion(execute, sql, params, many, context):  # type: ignore[no-untyped-def]
    if sql.startswith("DELETE"):
        raise RuntimeError("the disk is gone")
    return execute(sql, params, many, context)


# Anchors -------------------------------------------------------------------------------------


@pytest.fixture
def signing(settings: Settings) -> Iterator[Settings]:
    settings.AUDIT_SIGNING_KEY = SEED
    yield settings


def test_a_head_is_signed_recorded_and_sent_out_of_the_database(
    signing: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    signing.AUDIT_ANCHOR_FILE = str(tmp_path / "anchors.jsonl")
    signing.AUDIT_ANCHOR_EMAILS = ["auditors@example.com"]
    trail.fill(3)
    with caplog.at_level(logging.INFO, "batchops.services.audit_anchors"):
        anchor = audit_anchors.anchor_head()
    assert anchor is not None
    assert anchor.sequence == 3
    key = next(iter(audit_anchors.public_keys().values()))
    assert audit_anchors.is_signed_by(anchor, key)
    assert AuditEntry.objects.get(action=Action.AUDIT_ANCHORED).detail == anchor.to_json()
    assert anchor.signature in caplog.text
    assert anchor.signature in mail.outbox[0].body
    line = Path(signing.AUDIT_ANCHOR_FILE).read_text()
    assert Anchor.from_json(json.loads(line)) == anchor


def test_an_idle_trail_is_not_anchored_again() -> None:
    trail.fill(1)
    assert audit_anchors.anchor_head() is not None
    assert audit_anchors.anchor_head() is None
    assert AuditEntry.objects.count() == 2


def test_the_worker_anchors_when_it_is_due(settings: Settings) -> None:
    settings.AUDIT_ANCHOR_INTERVAL = 3600
    trail.fill(1)
    tasks.LANES["trail"].step()
    trail.fill(1)
    tasks.LANES["trail"].step()
    anchored = AuditEntry.objects.filter(action=Action.AUDIT_ANCHORED)
    assert anchored.count() == 1
    with time_machine.travel(timezone.now() + dt.timedelta(hours=2)):
        tasks.LANES["trail"].step()
    assert anchored.count() == 2


def test_a_file_that_cannot_be_written_keeps_nothing_from_going_on(
    signing: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    signing.AUDIT_ANCHOR_FILE = str(tmp_path / "no" / "folder")
    signing.AUDIT_ANCHOR_EMAILS = ["auditors@example.com"]
    trail.fill(1)
    assert audit_anchors.anchor_head() is not None
    assert "AUDIT_ANCHOR_FILE cannot be written" in caplog.text
    assert len(mail.outbox) == 1


def test_without_a_key_heads_are_anchored_unsigned() -> None:
    trail.fill(1)
    anchor = audit_anchors.anchor_head()
    assert anchor is not None
    assert (anchor.key_id, anchor.signature) == ("", "")
    assert verify(anchors=[anchor]).is_good


@pytest.mark.parametrize("key", ["short", "!!!", base64.b64encode(bytes(31)).decode()])
def test_a_bad_key_is_named_by_the_system_checks_without_being_shown(
    settings: Settings, key: str
) -> None:
    trail.fill(1)
    settings.AUDIT_SIGNING_KEY = key
    found = checks.audit_keys()
    assert [type(message) for message in found] == [Error]
    assert "AUDIT_SIGNING_KEY must be 32 bytes" in found[0].msg
    assert key not in found[0].msg
    with pytest.raises(CommandError, match="AUDIT_SIGNING_KEY"):
        command("anchor_audit")


def test_a_new_key_can_be_used_at_once(settings: Settings) -> None:
    lines = command("generate_audit_key").splitlines()
    settings.AUDIT_SIGNING_KEY = lines[0].partition("=")[2]
    public = base64.b64decode(lines[1].rpartition(" ")[2])
    assert verify_audit_export.key_id(public) in audit_anchors.public_keys()


# The command ---------------------------------------------------------------------------------


def test_the_command_gives_two_verdicts_apart() -> None:
    trail.fill(3)
    said = command("verify_audit")
    assert "Integrity: good. Entries 1 to 3" in said
    assert "Completeness: not proven" in said
    assert "a second" in said
    assert said.count("This cannot exclude") == 2


def test_the_command_proves_completeness_by_the_anchor_file(
    signing: Settings, tmp_path: Path
) -> None:
    signing.AUDIT_ANCHOR_FILE = str(tmp_path / "anchors.jsonl")
    trail.fill(3)
    audit_anchors.anchor_head()
    assert "Completeness: good through entry 3" in command("verify_audit")
    with trail.triggers_dropped():
        trail.run(f"DELETE FROM {trail.TABLE} WHERE sequence > 2")
        trail.compute_anew(2)
    with pytest.raises(CommandError) as caught:
        command("verify_audit")
    assert caught.value.returncode == 1


def test_the_command_takes_a_head_and_an_export_as_anchors(auditor: User, tmp_path: Path) -> None:
    trail.fill(3)
    entry = AuditEntry.objects.latest("sequence")
    said = command("verify_audit", "--anchor", f"{entry.sequence}:{entry.hash}")
    assert f"good through entry {entry.sequence}" in said
    path = tmp_path / "anchors"
    anchor = Anchor(entry.sequence, entry.hash, "")
    path.write_text(json.dumps({"entries": 3, "head": anchor.to_json()}) + "\n")
    assert "good through" in command("verify_audit", "--anchor", str(path))


@pytest.mark.parametrize(
    "arguments",
    [
        ["--anchor", "nonsense"],
        ["--anchor", "5:abc"],
        ["--since", "yesterday"],
        ["--since", "2999-01-01"],
    ],
)
def test_what_cannot_be_read_is_no_verdict(arguments: list[str]) -> None:
    with pytest.raises(CommandError) as caught:
        command("verify_audit", *arguments)
    assert caught.value.returncode == 2


@pytest.mark.parametrize("content", ["", "{}\n", "hello\n", '{"sequence": "1"}\n', "\x00\n"])
def test_a_file_without_anchors_is_no_verdict(tmp_path: Path, content: str) -> None:
    path = tmp_path / "anchors"
    path.write_text(content)
    with pytest.raises(CommandError) as caught:
        command("verify_audit", "--anchor", str(path))
    assert caught.value.returncode == 2


def test_a_verdict_can_be_recorded() -> None:
    trail.fill(2)
    command("verify_audit", "--record", "--since", "2")
    entry = AuditEntry.objects.latest("sequence")
    assert (entry.action, entry.outcome) == (Action.AUDIT_VERIFIED, "ok")
    assert (entry.detail["first"], entry.detail["last"]) == (2, 2)
