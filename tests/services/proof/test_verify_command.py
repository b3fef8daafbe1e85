"""manage.py verify_audit: what it says, and how it exits."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError
from pytest_django import Settings

from batchops.models import Action, AuditEntry
from batchops.services.proof import anchoring
from batchops.services.proof.anchoring import Anchor
from tests.audit import trail
from tests.audit.trail import command

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_trail")]

SEED = base64.b64encode(bytes(range(32))).decode()


@pytest.fixture
def signing(settings: Settings) -> Settings:
    settings.AUDIT_SIGNING_KEY = SEED
    return settings


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
    anchoring.anchor_head()
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


@pytest.mark.parametrize("since", ["4", "99999999999999999999"])
def test_a_trail_that_ends_before_the_entry_to_begin_with_is_no_good_answer(since: str) -> None:
    trail.fill(3)
    with pytest.raises(CommandError, match="the trail ends with 3") as caught:
        command("verify_audit", "--since", since)
    assert caught.value.returncode == 2
