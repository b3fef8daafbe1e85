"""SQLite keeps anything in any column: what cannot be read is a verdict, never an error."""

from __future__ import annotations

import base64
import datetime as dt
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
import time_machine
from django.contrib.auth.models import User
from django.db import OperationalError
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from batchops import audit
from batchops.models import Action, AuditEntry, AuditHead
from batchops.services.proof import anchoring, damage, verdicts, verification, watch
from tests.audit import trail

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_trail"), pytest.mark.once]

NO_UTF_8 = "CAST(x'c328ff' AS TEXT)"
BAD = (NO_UTF_8, "x'00ff'", "'{'", "'[1]'", "'null'", "7.5", "9e999", "'{\"a\":1e999}'")
TELLING = (Action.BATCH_APPLIED, Action.AUDIT_ANCHORED, Action.AUDIT_VERIFIED)


@pytest.fixture
def owned(empty_trail: None, settings: Settings) -> Iterator[None]:
    """A trail with an anchor and a verdict, whose database is in somebody's hands."""
    settings.AUDIT_SIGNING_KEY = base64.b64encode(bytes(range(32))).decode()
    trail.fill(2)
    anchoring.anchor_head()
    verdicts.record(watch.judge(), full=True, scheduled=True)
    with trail.triggers_dropped():
        trail.run("PRAGMA ignore_check_constraints = ON")
        yield
        trail.run("PRAGMA ignore_check_constraints = OFF")


def put(action: Action, column: str, value: str) -> int:
    """Put a value into an entry; returns which."""
    number = AuditEntry.objects.filter(action=action).values_list("sequence", flat=True)[0]
    trail.run(f"UPDATE {trail.TABLE} SET {column} = {value} WHERE sequence = %s", number)
    return number


@pytest.mark.usefixtures("owned")
@pytest.mark.parametrize("action", TELLING)
@pytest.mark.parametrize(("column", "value"), [*itertools.product(("detail", "after", "at"), BAD)])
def test_what_cannot_be_read_is_a_fault_of_its_entry(
    action: Action, column: str, value: str
) -> None:
    number = put(action, column, value)
    verdict = watch.judge()
    assert verdict.outcome == "broken"
    assert verdict.integrity is not None
    assert verdict.integrity.sequence == number
    assert watch.standing().outcome
    assert isinstance(watch.alarm_text(), str)


@pytest.mark.usefixtures("owned")
@pytest.mark.parametrize("action", [Action.AUDIT_ANCHORED, Action.AUDIT_VERIFIED])
@pytest.mark.parametrize(("column", "value"), [*itertools.product(("detail", "after", "at"), BAD)])
def test_the_worker_goes_on_and_records_a_bad_verdict(
    action: Action, column: str, value: str, settings: Settings, tmp_path: Path
) -> None:
    settings.AUDIT_ANCHOR_FILE = str(tmp_path / "anchors")
    number = put(action, column, value)
    with time_machine.travel(timezone.now() + dt.timedelta(days=1), tick=False):
        for _ in range(2):
            assert anchoring.anchor_if_due() is None
        assert watch.is_due()
        watch.nightly()
        assert not watch.is_due()
        assert watch.nightly() is None
        anchoring.anchor_if_due()
        verdict = verdicts.latest()
        assert verdict is not None and verdict.outcome == "broken"
        assert f"Entry {number} was changed" in watch.alarm_text()
        assert watch.standing().problems
    bad = AuditEntry.objects.filter(action=Action.AUDIT_VERIFIED, outcome="broken")
    assert bad.count() <= 3


@pytest.mark.usefixtures("owned")
@pytest.mark.parametrize("column", ["detail", "at"])
def test_whatever_else_the_worker_cannot_read_is_a_bad_verdict_too(column: str) -> None:
    trail.run(f"UPDATE {trail.TABLE} SET {column} = {NO_UTF_8} WHERE sequence = 1")
    for _ in range(3):
        assert anchoring.anchor_if_due() is None
    verdict = AuditEntry.objects.get(outcome="broken")
    assert verdict.detail["faults"] == [damage.UNREADABLE]
    assert damage.UNREADABLE in watch.alarm_text()


@pytest.mark.usefixtures("owned")
@pytest.mark.parametrize("value", BAD)
def test_a_person_can_let_the_trail_go_on_after_an_anchor_that_cannot_be_read(
    value: str, administrator: User, settings: Settings, tmp_path: Path
) -> None:
    settings.AUDIT_ANCHOR_FILE = str(tmp_path / "anchors")
    put(Action.AUDIT_ANCHORED, "detail", value)
    actor = audit.Actor.of_user(administrator)
    anchoring.acknowledge("somebody damaged it", user=administrator, actor=actor)
    trail.fill(1)
    assert anchoring.anchor_head() is not None
    assert len((tmp_path / "anchors").read_text().splitlines()) == 2
    assert watch.judge().outcome == "broken"


@pytest.mark.usefixtures("owned")
@pytest.mark.parametrize(
    "column", [field.column for field in AuditEntry._meta.concrete_fields if not field.primary_key]
)
def test_text_that_is_no_utf_8_is_a_fault_in_any_column(column: str) -> None:
    number = put(Action.BATCH_APPLIED, column, NO_UTF_8)
    verdict = watch.judge()
    assert verdict.integrity is not None
    assert verdict.integrity.sequence == number


@pytest.mark.usefixtures("owned")
def test_a_head_that_cannot_be_read_is_a_fault() -> None:
    trail.run(f"UPDATE {AuditHead._meta.db_table} SET hash = {NO_UTF_8}")
    assert watch.judge().outcome == "broken"


@pytest.mark.usefixtures("owned")
def test_pages_still_open_and_say_that_the_trail_cannot_be_read(
    client: Client, viewer: User
) -> None:
    client.force_login(viewer)
    put(Action.AUDIT_VERIFIED, "detail", NO_UTF_8)
    page = client.get("/")
    assert page.status_code == 200
    assert "audit trail cannot be trusted" in page.content.decode()


@pytest.mark.usefixtures("owned")
def test_a_database_that_is_away_is_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    def locked() -> None:
        raise OperationalError("database is locked")

    monkeypatch.setattr(verification, "verify", lambda **_: locked())
    with pytest.raises(OperationalError):
        watch.judge()
