"""`manage.py change`: the same services, review, permissions and trail as in the browser."""

from __future__ import annotations

import datetime as dt
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone
from pytest_django import Settings

from batchops.models import AuditEntry, Change, ChangeState
from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.services.changes import lifecycle
from batchops.services.push import driver
from tests.services.push.world import fill

pytestmark = [pytest.mark.once, pytest.mark.django_db(transaction=True)]


def run(*words: str) -> tuple[int, str, str]:
    """Exit code, output and messages."""
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command("change", *words, stdout=out, stderr=err)
    except CommandError as error:
        return error.returncode, out.getvalue(), str(error)
    except SystemExit as ended:
        return int(ended.code or 0), out.getvalue(), err.getvalue()
    return 0, out.getvalue(), err.getvalue()


WHY = ("--reason", "wrong list", "--as", "olivia")
SURE = (*WHY, "--yes")


def test_a_pause_is_confirmed_and_recorded_in_the_persons_name(
    sandbox: EmbeddedSandbox, operator: User
) -> None:
    ids = fill(sandbox, 3)
    code, out, _ = run("--pause", "--batch", *ids[:2], *SURE, "--reference", "OPS-1")
    assert code == 0
    assert "2 of 2 batches will be changed" in out
    change = Change.objects.get()
    assert (change.state, change.source) == (ChangeState.QUEUED, Change.Source.COMMAND)
    assert (change.requested_by_name, change.reason, change.reference) == (
        "olivia",
        "wrong list",
        "OPS-1",
    )
    driver.drive()
    assert lifecycle.counts(change) == {"applied": 2}
    assert not sandbox.batch(ids[2])["paused"]


@pytest.mark.parametrize(
    ("words", "patch"),
    [
        (["--pause"], {"paused": True}),
        (["--resume"], {"paused": False}),
        (["--expires-on", "2099-01-01T06:00+01:00"], {"expires_on": "2099-01-01T05:00:00Z"}),
        (["--clear-expiry"], {"expires_on": None}),
        (["--call-rate", "30"], {"call_rate": 30}),
        (["--clear-call-rate"], {"call_rate": None}),
        (
            ["--auto-call-rate", "on", "--expires-on", "2099-01-01T00:00Z"],
            {"auto_call_rate": True, "expires_on": "2099-01-01T00:00:00Z"},
        ),
        (["--pause", "--call-rate", "5"], {"paused": True, "call_rate": 5}),
    ],
)
def test_each_wish_becomes_its_patch(
    sandbox: EmbeddedSandbox, operator: User, words: list[str], patch: dict[str, Any]
) -> None:
    fill(sandbox, 1)
    sandbox.edit_batch("20261124.0", expires_on="2098-01-01T00:00:00Z", call_rate=4)
    run(*words, "--all", *SURE)
    assert Change.objects.get().patch_json == patch


def test_batches_are_chosen_by_campaign_status_file_and_input(
    sandbox: EmbeddedSandbox, operator: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = fill(sandbox, 4)
    listed = tmp_path / "ids.txt"
    listed.write_text(f"\ufeff{ids[0]}\n\n{ids[1]}\r\n", encoding="utf-8")
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{ids[2]}\n"))
    for words, number in (
        (["--ids-from", str(listed)], 2),
        (["--ids-from", "-"], 1),
        (["--campaign", "1"], 4),
        (["--campaign", "Appointment reminders", "--batch", ids[3]], 1),
        (["--status", "ACTIVE"], 4),
        (["--all"], 4),
    ):
        _, out, _ = run("--pause", *words, *WHY, "--dry-run", "--json")
        assert json.loads(out)["total"] == number, words


def test_a_dry_run_shows_the_review_and_changes_nothing(
    sandbox: EmbeddedSandbox, operator: User
) -> None:
    fill(sandbox, 2)
    sandbox.reset_journal()
    code, out, _ = run("--pause", "--all", *WHY, "--dry-run")
    assert code == 0
    assert "2 of 2 batches will be changed" in out
    assert Change.objects.get().state == ChangeState.DISCARDED
    driver.drive()
    assert not sandbox.journal(method="PUT")


BAD_USAGE = [
    (["--all"], "Say what to change"),
    (["--pause"], "Choose batches"),
    (["--pause", "--all", "--batch", "20261124.0"], "leave the other choices out"),
    (["--pause", "--batch", "nowhere"], "knows no batch 'nowhere'"),
    (["--pause", "--ids-from", "/no/such/file"], "cannot be read"),
    (["--pause", "--ids-from", "/dev/null"], "holds no id"),
    (["--pause", "--campaign", "Nobody"], "there is no campaign 'Nobody'"),
    (["--pause", "--campaign", "99"], "there is no campaign '99'"),
    (["--pause", "--campaign", "01"], "there is no campaign '01'"),
    (["--pause", "--status", "ASLEEP"], "no batch has the status 'ASLEEP'. There are: ACTIVE"),
    (["--pause", "--resume", "--all"], "not allowed with argument"),
    (["--expires-on", "tomorrow", "--all"], "not a date and time"),
    (["--expires-on", "2099-01-01T00:00", "--all"], "lacks a time zone"),
    (["--expires-on", "2001-01-01T00:00Z", "--all"], "in the past"),
    (["--call-rate", "0", "--all"], "between 1 and 3600"),
    (["--call-rate", "3601", "--all"], "between 1 and 3600"),
    (["--call-rate", "fast", "--all"], "not a whole number"),
    (["--auto-call-rate", "maybe", "--all"], "invalid choice"),
    (["--auto-call-rate", "on", "--clear-expiry", "--all"], "needs an expiry"),
    (["--pause", "--all", "--at", "2001-01-01T00:00Z"], "past"),
    (["--pause", "--all", "--at", "noon"], "not a date and time"),
    (["--pause", "--all", "--reason", "  "], "Give a reason"),
    (["--pause", "--all", "--as", "nobody"], "there is no user 'nobody'"),
]


@pytest.mark.parametrize(("words", "message"), BAD_USAGE, ids=lambda value: str(value)[:40])
def test_bad_usage_is_named_and_nothing_is_half_done(
    sandbox: EmbeddedSandbox, operator: User, words: list[str], message: str
) -> None:
    fill(sandbox, 1)
    code, _, err = run(*SURE, *words)
    assert message in err
    assert code in (1, 2)
    assert not Change.objects.exclude(state=ChangeState.DISCARDED).exists()


@pytest.mark.parametrize("missing", ["--reason", "--as"])
def test_reason_and_person_are_required(
    sandbox: EmbeddedSandbox, operator: User, missing: str
) -> None:
    given = {"--reason": "why", "--as": "olivia"}
    del given[missing]
    words = [word for pair in given.items() for word in pair]
    _, _, err = run("--pause", "--all", "--yes", *words)
    assert missing in err


def test_a_deactivated_person_can_do_nothing(sandbox: EmbeddedSandbox, operator: User) -> None:
    fill(sandbox, 1)
    User.objects.update(is_active=False)
    code, _, err = run("--pause", "--all", *SURE)
    assert (code, "not active" in err) == (2, True)
    assert not Change.objects.exists()


def test_permissions_hold_and_the_denied_try_is_recorded(
    sandbox: EmbeddedSandbox, viewer: User
) -> None:
    fill(sandbox, 1)
    code, _, err = run("--pause", "--all", "--reason", "x", "--as", "victor", "--yes")
    assert (code, "may not request" in err) == (2, True)
    assert AuditEntry.objects.filter(action="change.denied", actor_name="victor").count() == 1
    assert not Change.objects.exists()


def test_approval_is_asked_for_as_in_the_browser(
    sandbox: EmbeddedSandbox, operator: User, settings: Settings
) -> None:
    settings.APPROVAL_THRESHOLD = 2
    fill(sandbox, 3)
    code, out, _ = run("--pause", "--all", *SURE)
    assert code == 0
    assert "approval" in out
    assert Change.objects.get().state == ChangeState.AWAITING_APPROVAL


def test_resuming_waits_for_its_window(
    sandbox: EmbeddedSandbox, operator: User, settings: Settings
) -> None:
    settings.RESUME_WINDOWS = "mon 00:00-00:01"
    fill(sandbox, 1, paused=True)
    code, _, err = run("--resume", "--all", *SURE)
    assert (code, "mon 00:00-00:01" in err) == (2, True)
    assert Change.objects.get().state == ChangeState.DISCARDED


def test_nothing_left_to_do_is_said(sandbox: EmbeddedSandbox, operator: User) -> None:
    fill(sandbox, 0)
    code, _, err = run("--pause", "--all", *SURE)
    assert (code, "No batch is selected" in err) == (2, True)


@pytest.mark.parametrize(("answer", "state"), [("yes\n", "queued"), ("no\n", "discarded")])
def test_without_yes_a_person_is_asked(
    sandbox: EmbeddedSandbox,
    operator: User,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    state: str,
) -> None:
    fill(sandbox, 1)
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    code, _, err = run("--pause", "--all", *WHY)
    assert "Type yes to confirm" in err
    assert code == (0 if state == "queued" else 1)
    assert Change.objects.get().state == state


def test_many_batches_have_to_be_counted(
    sandbox: EmbeddedSandbox, operator: User, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    settings.TYPED_CONFIRMATION_ABOVE = 2
    fill(sandbox, 3)
    monkeypatch.setattr("sys.stdin", io.StringIO("3\n"))
    _, _, err = run("--pause", "--all", *WHY)
    assert "Type 3 to confirm" in err
    assert Change.objects.get().state == ChangeState.QUEUED


def test_where_nobody_can_be_asked_nothing_is_done(
    sandbox: EmbeddedSandbox, operator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(sandbox, 1)
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    code, _, err = run("--pause", "--all", *WHY)
    assert (code, "--yes" in err) == (2, True)
    assert Change.objects.get().state == ChangeState.DISCARDED


def test_a_scheduled_change_waits_for_its_time(sandbox: EmbeddedSandbox, operator: User) -> None:
    fill(sandbox, 1)
    soon = timezone.now() + dt.timedelta(days=2)
    run("--pause", "--all", *SURE, "--at", soon.isoformat())
    assert Change.objects.get().state == ChangeState.SCHEDULED


@pytest.fixture
def worked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that does all its work between two looks of `--wait`."""
    from batchops.management import run_change
    from batchops.services.runs import read_back

    def work(_seconds: float) -> None:
        driver.drive()
        for change in Change.objects.filter(state="finished", read_back_at=None):
            read_back.read_back(change)

    class Clock:
        sleep = staticmethod(work)
        monotonic = staticmethod(__import__("time").monotonic)

    monkeypatch.setattr(run_change, "time", Clock)


def test_waiting_ends_with_0_when_all_is_as_requested(
    sandbox: EmbeddedSandbox, operator: User, worked_at: None
) -> None:
    fill(sandbox, 3)
    code, out, _ = run("--pause", "--all", *SURE, "--wait", "--json")
    assert code == 0
    told = json.loads(out)
    assert (told["counts"], told["confirmed"]) == ({"applied": 3}, 3)


def test_waiting_ends_with_1_when_something_is_not(
    sandbox: EmbeddedSandbox, operator: User, worked_at: None
) -> None:
    fill(sandbox, 3)
    sandbox.set_faults(refused={"share": 1.0, "batch_ids": ["20261124.1"]})
    code, out, _ = run("--pause", "--all", *SURE, "--wait")
    assert code == 1
    assert "1 refused" in out


def test_waiting_ends_with_1_when_it_halts(
    sandbox: EmbeddedSandbox, operator: User, worked_at: None
) -> None:
    fill(sandbox, 3)
    sandbox.set_faults(unauthorized=1.0)
    code, out, _ = run("--pause", "--all", *SURE, "--wait")
    assert code == 1
    assert "Fix it, then continue" in out


def test_waiting_says_that_no_worker_runs(
    sandbox: EmbeddedSandbox, operator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    from batchops.management import run_change

    looks = iter(range(3))

    class Clock:
        @staticmethod
        def sleep(_seconds: float) -> None:
            if next(looks) == 2:
                raise KeyboardInterrupt

    monkeypatch.setattr(run_change, "time", Clock)
    fill(sandbox, 1)
    code, _, err = run("--pause", "--all", *SURE, "--wait")
    assert code == 130
    assert "Nothing is being sent: no worker is running." in err
    assert Change.objects.get().state == ChangeState.QUEUED


def test_the_key_is_never_written(
    sandbox: EmbeddedSandbox, operator: User, make_person: Callable[..., User]
) -> None:
    fill(sandbox, 1)
    _, out, err = run("--pause", "--all", *SURE, "--json")
    assert sandbox.key not in out + err
