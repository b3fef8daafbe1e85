"""Old entries leave for a file that verifies: asked for by one person, carried out by another."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pytest
import time_machine
from django.contrib.auth.models import Permission, User
from django.core.management import CommandError
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from batchops import audit
from batchops.models import Action, AuditEntry, AuditHead, AuditLease
from batchops.services.errors import InvalidInput, NotAllowed
from batchops.services.proof.verification import verify
from batchops.services.trail import slices
from batchops.services.trail_files import archive as audit_archive
from batchops.services.trail_files.archive import Archive
from tests.audit import trail
from tests.audit.trail import command
from tools import verify_audit_export

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_trail")]

OLD = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
CUT = dt.datetime(2026, 2, 1, tzinfo=dt.UTC)


@pytest.fixture
def archivist(make_person: Callable[..., User], settings: Settings) -> User:
    settings.AUDIT_RETENTION_DAYS = 1
    return entitled(make_person("arthur", "Auditor"))


@pytest.fixture
def second(make_person: Callable[..., User]) -> User:
    return entitled(make_person("ann", "Auditor"))


@pytest.fixture
def old_and_new(archivist: User, second: User, operator: User, empty_trail: None) -> None:
    """Seven entries before the cut, five after it, of people who have accounts."""
    with trail.triggers_dropped():
        AuditEntry.objects.all()._raw_delete("default")
        AuditHead.objects.update(sequence=0, hash=audit.GENESIS)
    for moment, number in ((OLD, 7), (CUT, 5)):
        with time_machine.travel(moment, tick=False):
            trail.fill(number)


def entitled(person: User) -> User:
    person.user_permissions.add(Permission.objects.get(codename="archive_auditentry"))
    return User.objects.get(pk=person.pk)


def ask(user: User, before: dt.datetime = CUT) -> AuditEntry:
    actor = audit.Actor.of_user(user)
    return audit_archive.request(before, reason="six years are over", user=user, actor=actor)


def archive(user: User, by: User, path: Path, before: dt.datetime = CUT) -> Archive:
    asked = ask(user, before)
    return audit_archive.carry_out(asked.pk, path, user=by, actor=audit.Actor.of_user(by))


@pytest.mark.usefixtures("old_and_new")
def test_old_entries_move_into_a_file_that_verifies(
    archivist: User, second: User, tmp_path: Path
) -> None:
    path = tmp_path / "archive.jsonl"
    done = archive(archivist, second, path)
    assert (done.first, done.through, done.entries) == (1, 7, 7)
    assert verify_audit_export.main([str(path)]) == 0
    assert path.stat().st_mode & 0o777 == 0o600
    assert AuditEntry.objects.order_by("sequence").values_list("sequence", flat=True)[0] == 8
    entry = AuditEntry.objects.get(action=Action.AUDIT_ARCHIVED)
    assert (entry.detail["through"], entry.detail["hash"]) == (7, done.hash)
    assert entry.detail["file_sha256"] == done.file_digest
    assert entry.actor_name == "ann"
    asked = AuditEntry.objects.get(pk=entry.detail["request"])
    assert (asked.actor_name, asked.reason) == ("arthur", "six years are over")


@pytest.mark.usefixtures("old_and_new")
def test_who_asked_cannot_carry_it_out(archivist: User, tmp_path: Path) -> None:
    with pytest.raises(NotAllowed, match="another person"):
        archive(archivist, archivist, tmp_path / "archive.jsonl")
    assert AuditEntry.objects.filter(pk=1).exists()
    assert AuditEntry.objects.latest("sequence").outcome == "denied"


@pytest.mark.usefixtures("old_and_new")
def test_who_asked_has_to_be_entitled_still(archivist: User, second: User, tmp_path: Path) -> None:
    asked = ask(archivist)
    archivist.user_permissions.clear()
    with pytest.raises(InvalidInput, match="no longer archive"):
        audit_archive.carry_out(
            asked.pk, tmp_path / "a", user=second, actor=audit.Actor.of_user(second)
        )


@pytest.mark.usefixtures("old_and_new")
def test_a_request_is_good_for_some_days_only(
    archivist: User, second: User, tmp_path: Path
) -> None:
    asked = ask(archivist)
    late = timezone.now() + dt.timedelta(days=audit_archive.REQUEST_DAYS, minutes=1)
    with time_machine.travel(late), pytest.raises(InvalidInput, match="Ask again"):
        audit_archive.carry_out(
            asked.pk, tmp_path / "a", user=second, actor=audit.Actor.of_user(second)
        )


@pytest.mark.usefixtures("old_and_new")
def test_what_has_to_be_kept_cannot_be_asked_for(archivist: User, settings: Settings) -> None:
    settings.AUDIT_RETENTION_DAYS = 2192
    with pytest.raises(InvalidInput, match="AUDIT_RETENTION_DAYS"):
        ask(archivist)


@pytest.mark.usefixtures("old_and_new")
def test_a_second_archive_goes_on_where_the_first_ends(
    archivist: User, second: User, tmp_path: Path
) -> None:
    first, later = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    archive(archivist, second, first)
    archive(archivist, second, later, CUT + dt.timedelta(days=1))
    assert verify_audit_export.main([str(later), "--after", str(first)]) == 0
    assert verify_audit_export.main([str(first), "--after", str(later)]) == 1
    verdict = verify(archives=[later, first])
    assert (verdict.outcome, verdict.first) == ("ok", 1)


@pytest.mark.usefixtures("old_and_new")
def test_what_is_archived_is_proven_with_its_file_and_named_without(
    archivist: User, second: User, tmp_path: Path
) -> None:
    path = tmp_path / "archive.jsonl"
    archive(archivist, second, path)
    without = verify()
    assert (without.outcome, without.first) == ("not proven", 8)
    assert "Entries 1 to 7 are not proven: archived by ann" in without.unproven[0]
    assert "archive.jsonl" in without.unproven[0]
    with pytest.raises(CommandError) as caught:
        command("verify_audit")
    assert caught.value.returncode == 3
    assert "Entries 1 to" in command("verify_audit", "--archive", str(path))
    assert verify(archives=[path]).first == 1


@pytest.mark.usefixtures("old_and_new")
def test_an_altered_archive_is_found(archivist: User, second: User, tmp_path: Path) -> None:
    path = tmp_path / "archive.jsonl"
    archive(archivist, second, path)
    path.write_text(path.read_text().replace("wrong list", "right list", 1))
    fault = verify(archives=[path]).integrity
    assert fault is not None
    assert fault.sequence == 1


@pytest.mark.usefixtures("old_and_new")
@pytest.mark.parametrize("content", ["", "{}\n", "hello\n", "[1]\n"])
def test_a_file_that_is_no_archive_is_no_answer(content: str, tmp_path: Path) -> None:
    path = tmp_path / "archive.jsonl"
    path.write_text(content)
    for given in (path, tmp_path / "none"):
        with pytest.raises(CommandError) as caught:
            command("verify_audit", "--archive", str(given))
        assert caught.value.returncode == 2


@pytest.mark.usefixtures("old_and_new")
def test_rows_that_went_without_an_archive_are_found() -> None:
    with trail.triggers_dropped():
        trail.run(f"DELETE FROM {trail.TABLE} WHERE sequence <= 7")
    fault = verify().integrity
    assert fault is not None
    assert "no entry says that they were archived" in str(fault)


@pytest.mark.usefixtures("old_and_new")
def test_nothing_goes_when_the_file_is_there_already(
    archivist: User, second: User, tmp_path: Path
) -> None:
    path = tmp_path / "archive.jsonl"
    path.write_text("precious")
    with pytest.raises(InvalidInput, match="already exists"):
        archive(archivist, second, path)
    assert path.read_text() == "precious"
    assert AuditEntry.objects.filter(sequence=1).exists()


@pytest.mark.usefixtures("old_and_new")
def test_nothing_goes_when_the_file_cannot_be_written(
    archivist: User, second: User, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match="cannot be written"):
        archive(archivist, second, tmp_path / "no" / "such" / "folder")
    assert AuditEntry.objects.filter(sequence=1).exists()


@pytest.mark.usefixtures("old_and_new")
def test_a_trail_that_does_not_verify_is_not_archived(
    archivist: User, second: User, tmp_path: Path
) -> None:
    with trail.triggers_dropped():
        trail.change(10, reason="right list")
    path = tmp_path / "archive.jsonl"
    with pytest.raises(InvalidInput, match="Entry 10 was changed"):
        archive(archivist, second, path)
    assert not path.exists()
    assert AuditEntry.objects.filter(sequence=1).exists()


@pytest.mark.usefixtures("old_and_new")
def test_a_removal_that_was_broken_off_is_finished_by_asking_once_more(
    archivist: User, second: User, tmp_path: Path
) -> None:
    path, asked = tmp_path / "archive.jsonl", ask(archivist)
    who = {"user": second, "actor": audit.Actor.of_user(second)}
    with connection.execute_wrapper(_refuse_deletion), pytest.raises(RuntimeError):
        audit_archive.carry_out(asked.pk, path, **who)  # type: ignore[arg-type]
    verdict = verify()
    assert (verdict.outcome, verdict.first) == ("ok", 1)
    audit_archive.carry_out(asked.pk, path, **who)  # type: ignore[arg-type]
    assert AuditEntry.objects.order_by("sequence")[0].sequence == 8
    assert AuditEntry.objects.filter(action=Action.AUDIT_ARCHIVED).count() == 1
    assert verify(archives=[path]).outcome == "ok"


@pytest.mark.usefixtures("old_and_new")
def test_a_half_removed_range_verifies_with_its_file(
    archivist: User, second: User, tmp_path: Path
) -> None:
    path, asked = tmp_path / "archive.jsonl", ask(archivist)
    who = {"user": second, "actor": audit.Actor.of_user(second)}
    with connection.execute_wrapper(_refuse_deletion), pytest.raises(RuntimeError):
        audit_archive.carry_out(asked.pk, path, **who)  # type: ignore[arg-type]
    trail.run(f"DELETE FROM {trail.TABLE} WHERE sequence <= 3")
    assert verify().outcome == "not proven"
    assert verify(archives=[path]).outcome == "ok"


@pytest.mark.usefixtures("old_and_new")
def test_one_archive_is_carried_out_at_a_time(
    archivist: User, second: User, tmp_path: Path
) -> None:
    AuditLease.objects.create(name="archive", until=timezone.now() + dt.timedelta(minutes=1))
    with pytest.raises(slices.Busy, match="Another archive"):
        archive(archivist, second, tmp_path / "archive.jsonl")
    AuditLease.objects.update(until=timezone.now())
    archive(archivist, second, tmp_path / "archive.jsonl")


@pytest.mark.usefixtures("old_and_new")
def test_archiving_needs_its_own_permission(operator: User) -> None:
    with pytest.raises(NotAllowed):
        ask(operator)
    assert AuditEntry.objects.latest("sequence").action == Action.ACCESS_DENIED


@pytest.mark.usefixtures("old_and_new")
def test_the_command_archives_in_two_peoples_names(tmp_path: Path) -> None:
    path = str(tmp_path / "archive.jsonl")
    asking = ["--before", "2026-02-01", "--reason", "old", "--as", "arthur"]
    for bad in (
        ["--before", "soon"],
        ["--as", "nobody"],
        ["--before", "2999-01-01"],
        ["--to", path, "--confirm", "1"],
    ):
        with pytest.raises(CommandError):
            command("archive_audit", *asking, *bad)
    said = command("archive_audit", *asking)
    number = said.split()[1]
    assert f"--confirm {number}" in said
    said = command("archive_audit", "--confirm", number, "--to", path, "--as", "ann")
    assert "Entries 1 to 7" in said
    assert Path(path).stat().st_mode & 0o777 == 0o600


def _refuse_deletion(execute, sql, params, many, context):  # type: ignore[no-untyped-def]
    if sql.startswith("DELETE") or "audit_remove_archived" in sql:
        raise RuntimeError("the disk is gone")
    return execute(sql, params, many, context)
