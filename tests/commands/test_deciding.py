"""`manage.py changes approve` and `reject`: what was shown is what is approved."""

from __future__ import annotations

import datetime as dt
import io
import sys

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from pytest_django import Settings

from batchops import audit
from batchops.models import AuditEntry, Change, ChangeState
from batchops.services.changes import timed_pauses
from tests.commands.test_changes_command import run
from tests.services.changes.world import batches, confirm, draft

pytestmark = [pytest.mark.once, pytest.mark.django_db(transaction=True)]

HOUR = dt.timedelta(hours=1)


@pytest.fixture
def waiting(operator: User, approver: User, settings: Settings) -> Change:
    settings.APPROVAL_FOR = "all"
    batches(3)
    return confirm(draft(operator), operator, resume_at=timezone.now() + HOUR)


def answer(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))


def test_with_the_fingerprint_that_was_shown_it_is_approved(waiting: Change) -> None:
    shown = run("show", waiting.short_id)[1]
    assert waiting.fingerprint in shown
    code, _, _ = run(
        *("approve", waiting.short_id, "--as", "amir", "--comment", "checked"),
        *("--fingerprint", waiting.fingerprint),
    )
    waiting.refresh_from_db()
    assert (code, waiting.state, waiting.decision_comment) == (0, ChangeState.QUEUED, "checked")
    entry = AuditEntry.objects.get(action="change.approved")
    assert entry.who == f"amir, by {audit.machine_account()}"


def test_without_it_everything_is_shown_and_asked(
    waiting: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(monkeypatch, "no\n")
    code, out, err = run("approve", waiting.short_id, "--as", "amir")
    assert code == 1
    assert "olivia requests: pause" in out
    assert "3 of 3 batches" in out
    assert "paused until" in out
    assert waiting.fingerprint in out
    assert "Type yes" in err
    answer(monkeypatch, "yes\n")
    assert run("approve", waiting.short_id, "--as", "amir")[0] == 0
    waiting.refresh_from_db()
    assert waiting.state == ChangeState.QUEUED


def test_where_nobody_can_be_asked_it_says_what_to_give(
    waiting: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(monkeypatch, "")
    code, _, words = run("approve", waiting.short_id, "--as", "amir")
    assert code == 2
    assert "--fingerprint" in words


def test_a_stale_fingerprint_is_told_what_moved_and_approves_nothing(
    waiting: Change, operator: User
) -> None:
    timed_pauses.move_resume(
        waiting,
        timezone.now() + 9 * HOUR,
        user=operator,
        actor=audit.Actor.of_user(operator),
        reason="longer",
    )
    code, _, words = run(
        *("approve", waiting.short_id, "--as", "amir", "--fingerprint", waiting.fingerprint)
    )
    assert code == 2
    assert "no longer what you were shown" in words
    assert "olivia moved the end of a pause" in words
    assert "→" in words
    waiting.refresh_from_db()
    assert waiting.state == ChangeState.AWAITING_APPROVAL
    assert "since it was confirmed" in run("show", waiting.short_id)[1]


def test_who_may_not_decide_is_refused_before_anything_is_shown(waiting: Change) -> None:
    code, out, words = run("approve", waiting.short_id, "--as", "olivia")
    assert (code, out) == (2, "")
    assert "may not approve" in words
    assert AuditEntry.objects.filter(action="change.denied", actor_name="olivia").exists()


def test_a_change_is_rejected_with_a_reason(waiting: Change) -> None:
    assert run("reject", waiting.short_id, "--as", "amir", "--comment", "not today")[0] == 0
    waiting.refresh_from_db()
    assert (waiting.state, waiting.decision_comment) == (ChangeState.REJECTED, "not today")
