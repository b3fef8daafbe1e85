"""The trail watches itself: a database that went back is noticed, and each night it is verified."""

from __future__ import annotations

import base64
import datetime as dt
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import User
from django.core.management import CommandError
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from batchops import audit
from batchops.models import Action, AuditEntry, AuditHead
from batchops.services.proof import anchoring, last_seen, watch
from batchops.services.proof.anchoring import NotVerified
from batchops.services.proof.verification import verify
from tests.audit import trail
from tests.audit.trail import command

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_trail")]

KEY = base64.b64encode(bytes(range(32))).decode()
NIGHT = dt.datetime(2026, 3, 24, 4, tzinfo=dt.UTC)


@pytest.fixture
def signing(settings: Settings) -> Settings:
    settings.AUDIT_SIGNING_KEY = KEY
    return settings


@pytest.fixture
def went_back(empty_trail: None, signing: Settings) -> None:
    """A trail of eight entries and two anchors, put back to five entries and one."""
    trail.fill(4)
    anchoring.anchor_head()
    trail.fill(2)
    anchoring.anchor_head()
    put_back_to(5)


def put_back_to(sequence: int) -> None:
    """What restoring an old backup leaves."""
    kept = AuditEntry.objects.get(pk=sequence)
    with trail.triggers_dropped():
        trail.run(f"DELETE FROM {trail.TABLE} WHERE sequence > %s", sequence)
        AuditHead.objects.update(sequence=sequence, hash=kept.hash)


def acknowledge(person: User, reason: str = "restored the backup of noon") -> None:
    anchoring.acknowledge(reason, user=person, actor=audit.Actor.of_user(person))


@pytest.fixture
def other_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Switches to what another host remembers, and back."""
    here = last_seen._path()

    def switch() -> None:
        there = last_seen._path() != here
        path = here if there else tmp_path / "of-the-other-host.json"
        monkeypatch.setattr(last_seen, "_path", lambda: path)

    yield switch


# A database that went back -------------------------------------------------------------------


@pytest.mark.usefixtures("went_back")
def test_a_database_that_went_back_is_shouted_and_nothing_is_signed_over_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.CRITICAL, "batchops"):
        with pytest.raises(NotVerified, match="entry 8"):
            anchoring.anchor_head()
        assert anchoring.anchor_if_due() is None
    assert "rolled back or replaced" in caplog.text
    facts = AuditEntry.objects.filter(action=Action.AUDIT_ROLLED_BACK)
    assert facts.count() == 1
    assert "entry 8" in facts[0].detail["why"]
    assert watch.judge().outcome == "broken"
    with pytest.raises(CommandError, match="Nothing is signed"):
        command("anchor_audit")


@pytest.mark.usefixtures("went_back")
def test_every_page_says_that_the_database_went_back_before_any_worker_looked(
    client: Client, viewer: User
) -> None:
    client.force_login(viewer)
    assert "audit trail cannot be trusted" in client.get("/").content.decode()


@pytest.mark.usefixtures("went_back", "running_worker")
def test_every_page_and_the_readiness_say_that_the_database_went_back(
    client: Client, viewer: User, administrator: User
) -> None:
    last_seen.check()
    client.force_login(viewer)
    assert "audit trail cannot be trusted" in client.get("/").content.decode()
    ready = client.get("/readyz")
    assert ready.status_code == 503
    part = ready.json()["parts"]["audit_trail"]
    assert part["ok"] is False
    assert "entry 8" in part["problems"][0]
    acknowledge(administrator)
    assert "cannot be trusted" not in client.get("/").content.decode()
    assert client.get("/readyz").json()["parts"]["audit_trail"]["ok"]


@pytest.mark.usefixtures("went_back")
def test_a_database_that_went_back_goes_on_once_somebody_says_why(administrator: User) -> None:
    last_seen.check()
    acknowledge(administrator)
    assert last_seen.contradiction() == ""
    trail.fill(1)
    anchor = anchoring.anchor_head()
    assert anchor is not None
    # Number 2 was lost, and is never given again.
    assert anchor.number == 4
    verdict = watch.judge()
    assert verdict.outcome == "ok"
    assert "restored the backup of noon" in verdict.acknowledged[0]


def test_anchors_kept_elsewhere_that_were_lost_are_excused_by_the_acknowledgement_alone(
    signing: Settings, administrator: User
) -> None:
    trail.fill(4)
    anchoring.anchor_head()
    trail.fill(2)
    lost = anchoring.anchor_head()
    assert lost is not None
    put_back_to(5)
    trail.fill(6)
    assert verify(anchors=[lost]).outcome == "broken"
    acknowledge(administrator)
    assert verify(anchors=[lost]).outcome == "ok"


@pytest.mark.usefixtures("went_back")
def test_a_forged_acknowledgement_convinces_nobody(signing: Settings) -> None:
    last_seen.check()
    audit.record_now(audit.Fact(Action.AUDIT_ACKNOWLEDGED, trail.OLIVIA, reason="all is well"))
    signing.AUDIT_SIGNING_KEY = ""
    anchoring._record(AuditHead.objects.get(), reason="all is well", by="olivia")
    signing.AUDIT_SIGNING_KEY = KEY
    assert "entry 8" in last_seen.check()


def test_the_anchor_file_remembers_when_the_host_does_not(
    signing: Settings, tmp_path: Path
) -> None:
    signing.AUDIT_ANCHOR_FILE = str(tmp_path / "anchors.jsonl")
    trail.fill(4)
    anchoring.anchor_head()
    trail.fill(2)
    anchoring.anchor_head()
    put_back_to(5)
    trail.forget()
    assert "anchors.jsonl" in last_seen.contradiction()


def test_each_host_remembers_for_itself_and_an_older_memory_contradicts_nothing(
    signing: Settings, other_host: Any
) -> None:
    trail.fill(3)
    last_seen.check()
    other_host()
    trail.fill(3)
    last_seen.check()
    other_host()
    assert last_seen.check() == ""


@pytest.mark.usefixtures("empty_trail")
def test_an_acknowledgement_counts_on_all_hosts(
    signing: Settings, administrator: User, other_host: Any
) -> None:
    trail.fill(4)
    anchoring.anchor_head()
    trail.fill(2)
    last_seen.check()
    other_host()
    trail.fill(2)
    last_seen.check()
    put_back_to(5)
    assert last_seen.check()
    other_host()
    assert last_seen.check()
    acknowledge(administrator)
    trail.fill(9)
    assert last_seen.check() == ""
    other_host()
    assert last_seen.check() == ""


def test_a_rewritten_trail_is_noticed_like_one_that_went_back(signing: Settings) -> None:
    trail.fill(4)
    anchoring.anchor_head()
    with trail.triggers_dropped():
        trail.change(2, reason="as if it had always been so")
        trail.compute_anew(2)
    assert "another hash" in last_seen.check()


def test_what_was_archived_meanwhile_is_no_contradiction(signing: Settings) -> None:
    trail.fill(4)
    last_seen.remember()
    trail.fill(4)
    with trail.triggers_dropped():
        trail.run(f"DELETE FROM {trail.TABLE} WHERE sequence < 6")
    assert last_seen.contradiction() == ""


def test_there_has_to_be_something_to_acknowledge_and_a_reason(administrator: User) -> None:
    trail.fill(2)
    for reason in (" ", "for fun"):
        with pytest.raises(CommandError):
            command("acknowledge_audit", "--as", "ada", "--reason", reason)


@pytest.mark.parametrize("content", ["", "hello", "[]", '{"sequence": "x"}', "\x00"])
def test_a_memory_that_cannot_be_read_is_logged_and_written_anew(
    content: str, caplog: pytest.LogCaptureFixture
) -> None:
    trail.fill(2)
    path = last_seen._path()
    path.write_text(content)
    assert last_seen.check() == ""
    assert "cannot be read" in caplog.text
    assert path.stat().st_mode & 0o777 == 0o600
    assert '"sequence": 2' in path.read_text()


# Each night ----------------------------------------------------------------------------------


def test_each_night_what_is_new_and_each_week_everything_is_verified(signing: Settings) -> None:
    with time_machine.travel(NIGHT, tick=False) as clock:
        trail.fill(5)
        anchoring.anchor_head()
        assert watch.is_due()
        verdicts = []
        for _ in range(9):
            anchoring.anchor_head()
            assert watch.nightly() is not None
            assert watch.nightly() is None
            verdicts.append(AuditEntry.objects.filter(action=Action.AUDIT_VERIFIED).latest("pk"))
            for _ in range(24):
                clock.shift(dt.timedelta(hours=1))
                anchoring.anchor_head()
        assert [verdict.outcome for verdict in verdicts] == ["ok"] * 9
        assert [verdict.detail["full"] for verdict in verdicts] == [
            *(True, False, False, False, False, False, False),
            *(True, False),
        ]
        assert verdicts[0].detail["first"] == 1
        assert verdicts[1].detail["first"] > verdicts[0].detail["signed_through"] > 1


def test_a_broken_verdict_is_shown_until_a_good_one_and_all_is_walked_again(
    signing: Settings, client: Client, viewer: User
) -> None:
    with time_machine.travel(NIGHT, tick=False) as clock:
        trail.fill(5)
        anchoring.anchor_head()
        watch.nightly()
        with trail.triggers_dropped():
            trail.run(f"UPDATE {trail.TABLE} SET reason = reason || '!' WHERE sequence = 3")
        clock.shift(dt.timedelta(days=7))
        trail.fill(1)
        with pytest.raises(CommandError):
            command("verify_audit", "--nightly")
        assert "Entry 3 was changed" in watch.alarm_text()
        client.force_login(viewer)
        assert "Entry 3 was changed" in client.get("/").content.decode()
        with trail.triggers_dropped():
            trail.run(f"UPDATE {trail.TABLE} SET reason = 'wrong list' WHERE sequence = 3")
        clock.shift(dt.timedelta(days=1))
        verdict = watch.nightly()
        assert verdict is not None
        assert verdict.first == 1


def test_a_trail_that_was_not_verified_for_two_nights_is_not_ready() -> None:
    trail.fill(1)
    assert watch.standing().problems == ()
    with time_machine.travel(timezone.now() + dt.timedelta(hours=51)):
        assert "has not been verified since" in watch.standing().problems[0]


def test_the_trails_page_says_what_the_last_verdict_was(client: Client, auditor: User) -> None:
    trail.fill(3)
    client.force_login(auditor)
    address = "/batchops/auditentry/"
    assert "has not been verified yet" in client.get(address).content.decode()
    command("verify_audit", "--record")
    page = client.get(address).content.decode()
    assert "Last verified" in page
    assert "are as they were written" in page


@pytest.mark.once
def test_the_worker_verifies_in_a_process_of_its_own(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trail.fill(1)
    (tmp_path / "manage.py").write_text("import sys, time; print(sys.argv); time.sleep(60)")
    settings.BASE_DIR = tmp_path
    started: list[subprocess.Popen[bytes]] = []
    begin = subprocess.Popen

    def remember(arguments: list[str], **more: Any) -> subprocess.Popen[bytes]:
        started.append(begin(arguments, **more))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", remember)
    night = watch.Night()
    assert night.start_if_due()
    assert not night.start_if_due()
    assert started[0].args == [
        sys.executable,
        str(tmp_path / "manage.py"),
        "verify_audit",
        "--nightly",
    ]
    started[0].kill()
    started[0].wait()
