"""The end of the trail is signed, numbered, tied to the anchor before, and sent out in time."""

from __future__ import annotations

import base64
import datetime as dt
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import time_machine
from django.core import mail
from django.core.checks import Error
from django.core.management import CommandError
from django.utils import timezone
from pytest_django import Settings

from batchops import checks, tasks
from batchops.models import Action, AuditEntry
from batchops.services.anchors.anchor import is_signed_by
from batchops.services.proof import anchoring, watch
from batchops.services.proof.anchoring import Anchor
from batchops.services.proof.verification import verify
from tests.audit import trail
from tests.audit.trail import command
from tools import verify_audit_export

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_trail")]

SEED = base64.b64encode(bytes(range(32))).decode()


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
    with caplog.at_level(logging.INFO, "batchops.services.anchors.outlets"):
        anchor = anchoring.anchor_head()
    assert anchor is not None
    assert anchor.sequence == 3
    key = next(iter(anchoring.public_keys().values()))
    assert is_signed_by(anchor, key)
    assert AuditEntry.objects.get(action=Action.AUDIT_ANCHORED).detail == anchor.to_json()
    assert anchor.signature in caplog.text
    assert anchor.signature in mail.outbox[0].body
    line = Path(signing.AUDIT_ANCHOR_FILE).read_text()
    assert Anchor.from_json(json.loads(line)) == anchor


def test_an_idle_trail_is_not_anchored_again() -> None:
    trail.fill(1)
    assert anchoring.anchor_head() is not None
    assert anchoring.anchor_head() is None
    assert AuditEntry.objects.count() == 2


def test_the_worker_anchors_when_it_is_due(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "is_due", lambda: False)
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
    assert anchoring.anchor_head() is not None
    assert "AUDIT_ANCHOR_FILE cannot be written" in caplog.text
    assert len(mail.outbox) == 1


def test_without_a_key_heads_are_anchored_unsigned() -> None:
    trail.fill(1)
    anchor = anchoring.anchor_head()
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
    assert verify_audit_export.key_id(public) in anchoring.public_keys()


def test_an_export_of_a_trail_without_its_anchors_is_not_signed(signing: Settings) -> None:
    """Or whoever drops all anchors would have batchops vouch for what they wrote instead."""
    trail.fill(2)
    head, stored = anchoring.verified_end()
    assert (head.key_id, stored) == ("", None)
    anchoring.anchor_head()
    head, stored = anchoring.verified_end()
    assert head.key_id
    assert stored is not None
