"""`manage.py changes`: list, show, stop, continue, undo."""

from __future__ import annotations

import io
import json

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import CommandError

from batchops.models import Change, ChangeState
from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.services.changes import lifecycle
from batchops.services.push import driver
from tests.services.push.world import confirmed, fill

pytestmark = [pytest.mark.once, pytest.mark.django_db(transaction=True)]


def run(*words: str) -> tuple[int, str, str]:
    """Exit code, output and messages."""
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command("changes", *words, stdout=out, stderr=err)
    except CommandError as error:
        return error.returncode, out.getvalue(), str(error)
    except SystemExit as ended:
        return int(ended.code or 0), out.getvalue(), err.getvalue()
    return 0, out.getvalue(), err.getvalue()


def test_the_latest_changes_are_listed(sandbox: EmbeddedSandbox, operator: User) -> None:
    fill(sandbox, 2)
    change = confirmed(operator)
    assert f"{change.short_id}  " in run("list")[1]
    assert "olivia: pause" in run("list", "--state", "queued")[1]
    assert run("list", "--state", "finished")[1] == ""
    assert [row["id"] for row in json.loads(run("list", "--json")[1])] == [str(change.pk)]


def test_drafts_are_nobodys_business(sandbox: EmbeddedSandbox, operator: User) -> None:
    fill(sandbox, 1)
    confirmed(operator)
    Change.objects.update(state=ChangeState.DRAFT)
    assert run("list")[1] == ""


def test_a_change_is_shown_by_the_beginning_of_its_id(
    sandbox: EmbeddedSandbox, operator: User
) -> None:
    fill(sandbox, 2)
    change = confirmed(operator)
    driver.drive()
    for name in (change.short_id, str(change.pk), change.pk.hex.upper()):
        code, out, _ = run("show", name)
        assert code == 0
        assert "2 applied" in out
    assert json.loads(run("show", change.short_id, "--json")[1])["counts"] == {"applied": 2}


def test_a_change_is_stopped_and_continued(sandbox: EmbeddedSandbox, operator: User) -> None:
    fill(sandbox, 2)
    change = confirmed(operator)
    sandbox.set_faults(unauthorized=1.0)
    driver.drive()
    assert "Halted" in run("show", change.short_id)[1]
    assert run("stop", change.short_id, "--as", "olivia", "--reason", "later")[0] == 0
    change.refresh_from_db()
    assert change.state == ChangeState.STOPPED
    sandbox.clear_faults()
    assert run("continue", change.short_id, "--as", "olivia")[0] == 0
    driver.drive()
    assert lifecycle.counts(change) == {"applied": 2}


def test_a_change_is_undone(sandbox: EmbeddedSandbox, operator: User) -> None:
    ids = fill(sandbox, 2)
    change = confirmed(operator)
    driver.drive()
    words = ("--as", "olivia", "--reason", "mistake", "--yes")
    code, out, _ = run("undo", change.short_id, *words)
    assert code == 0
    assert "2 of 2 batches will be changed" in out
    driver.drive()
    assert not any(sandbox.batch(name)["paused"] for name in ids)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["show", "abc"], "not the id of a change"),
        (["show", "'; --"], "not the id of a change"),
        (["show", "00000000"], "There is no change"),
        (["stop", "00000000", "--as", "olivia"], "There is no change"),
        (["stop", "00000000", "--as", "nobody"], "there is no user"),
        (["stop", "00000000"], "--as"),
        (["undo", "00000000", "--as", "olivia", "--reason", " "], "Give a reason"),
        (["list", "--limit", "0"], "1 or more"),
        (["list", "--state", "odd"], "invalid choice"),
        ([], "ACTION"),
        (["forget"], "invalid choice"),
    ],
)
def test_bad_usage_is_named(operator: User, words: list[str], message: str) -> None:
    code, _, err = run(*words)
    assert message in err
    assert code in (1, 2)


def test_what_is_impossible_is_said(sandbox: EmbeddedSandbox, operator: User) -> None:
    fill(sandbox, 1)
    change = confirmed(operator)
    driver.drive()
    for action in ("stop", "continue"):
        code, _, err = run(action, change.short_id, "--as", "olivia")
        assert code == 2
        assert err


def test_permissions_hold(sandbox: EmbeddedSandbox, operator: User, viewer: User) -> None:
    fill(sandbox, 1)
    change = confirmed(operator)
    code, _, err = run("stop", change.short_id, "--as", "victor")
    assert (code, "may not" in err) == (2, True)
    change.refresh_from_db()
    assert change.is_open
