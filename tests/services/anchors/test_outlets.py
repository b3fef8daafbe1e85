"""Anchors leave the database, whatever hangs or fails on the way, and a failure is visible."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core import mail
from pytest_django import Settings

from batchops.courier import Courier
from batchops.models import Action, AuditEntry, AuditOutlet
from batchops.services.anchors import outlets
from batchops.services.proof import anchoring, watch
from batchops.services.proof.anchoring import Anchor
from tests.audit import trail

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_trail")]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deadlines as short as tests need them."""
    for name in ("FILE_SECONDS", "MAIL_SECONDS", "SOCKET_SECONDS"):
        monkeypatch.setattr(outlets, name, 0.3)
    monkeypatch.setattr(outlets, "_disk", Courier("disk of AUDIT_ANCHOR_FILE"))
    monkeypatch.setattr(outlets, "_post", Courier("mail server"))


@pytest.fixture
def silent_mail_server() -> Iterator[int]:
    """It accepts, and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def anchors_in(path: Path) -> list[int]:
    return [Anchor.from_json(json.loads(line)).number for line in path.read_text().splitlines()]


def anchored() -> None:
    trail.fill(1)
    assert anchoring.anchor_head() is not None


@pytest.mark.usefixtures("impatient")
def test_a_disk_that_hangs_is_given_up_and_gets_what_it_missed_when_it_is_back(
    settings: Settings,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Opening a named pipe for writing hangs until somebody reads from it, like a lost mount."""
    path = tmp_path / "anchors.jsonl"
    os.mkfifo(path)
    settings.AUDIT_ANCHOR_FILE = str(path)
    anchored()
    anchored()
    assert "AUDIT_ANCHOR_FILE cannot be written" in caplog.text
    failing = AuditOutlet.objects.get(name="file")
    assert failing.failing_since is not None
    assert any("Anchors cannot be delivered" in problem for problem in watch.standing().problems)
    drain = threading.Thread(target=path.read_bytes, daemon=True)
    drain.start()
    drain.join(2)
    path.unlink()
    monkeypatch.setattr(outlets, "_disk", Courier("disk of AUDIT_ANCHOR_FILE"))
    anchoring.anchor_if_due()
    assert anchors_in(path) == [1, 2]
    assert watch.standing().problems == ()
    assert AuditOutlet.objects.get(name="file").failing_since is None


@pytest.mark.usefixtures("impatient")
def test_a_mail_server_that_is_silent_holds_nothing(
    settings: Settings, tmp_path: Path, silent_mail_server: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "anchors.jsonl"
    settings.AUDIT_ANCHOR_FILE = str(path)
    settings.AUDIT_ANCHOR_EMAILS = ["auditors@example.com"]
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", silent_mail_server
    settings.EMAIL_TIMEOUT = None
    anchored()
    assert anchors_in(path) == [1]
    assert AuditOutlet.objects.get(name="mail").failing_since is not None
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    monkeypatch.setattr(outlets, "_post", Courier("mail server"))
    anchored()
    assert len(mail.outbox) == 1
    assert mail.outbox[0].body.count('"number":') == 2


def test_a_new_outlet_gets_the_last_anchor_which_confirms_those_before(
    settings: Settings, tmp_path: Path
) -> None:
    for _ in range(3):
        anchored()
    settings.AUDIT_ANCHOR_FILE = str(tmp_path / "anchors.jsonl")
    anchoring.anchor_if_due()
    assert anchors_in(tmp_path / "anchors.jsonl") == [3]
    last = AuditEntry.objects.filter(action=Action.AUDIT_ANCHORED).latest("sequence")
    assert AuditOutlet.objects.get(name="file").delivered_through == last.sequence


def test_what_goes_out_is_not_sent_twice(settings: Settings) -> None:
    settings.AUDIT_ANCHOR_EMAILS = ["auditors@example.com"]
    anchored()
    anchoring.anchor_if_due()
    assert len(mail.outbox) == 1
