"""Commands print what people and the vendor wrote, and never anything that a terminal obeys."""

from __future__ import annotations

import io
import json
import unicodedata
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command, get_commands, load_command_class
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from batchops import audit
from batchops.management.terminal import PlainOutput, TerminalCommand, one_line, printable
from batchops.models import Batch, Campaign, Change, ChangeState
from batchops.services.changes import drafts
from batchops.syllable.patch import BatchPatch

pytestmark = [pytest.mark.once, pytest.mark.django_db]

HOSTILE = "x\x1b[2J\x1b]0;owned\x07\x9b31m\r\u202eevil\u200b\u2028\nBatch 1: applied"
"""Clears the screen, names the window, colours, turns around, hides, and forges a line."""
OWN = {"sandbox", "start", "worker"}
"""Commands that print their own words alone."""


class Terminal(io.StringIO):
    """A terminal, as far as a program can tell."""

    def isatty(self) -> bool:
        return True


def assert_plain(text: str) -> None:
    seen = {unicodedata.category(one) for one in text if one not in "\n\t"}
    assert not seen & {"Cc", "Cf", "Zl", "Zp"}, repr(text)


@pytest.fixture
def hostile(operator: User) -> Change:
    seen = {"synced_at": timezone.now(), "observed_at": timezone.now()}
    campaign = Campaign.objects.create(pk=1, campaign_name=HOSTILE, **seen)
    Batch.objects.create(batch_id=HOSTILE, campaign=campaign, status="ACTIVE", paused=False, **seen)
    change = drafts.draft(
        Batch.objects.all(),
        BatchPatch(paused=True),
        source=Change.Source.ACTION,
        user=operator,
        actor=audit.Actor.of_user(operator),
    )
    Change.objects.update(
        state=ChangeState.QUEUED,
        reason=HOSTILE,
        reference=HOSTILE,
        selection=HOSTILE,
        waiting_reason=HOSTILE,
        halted_reason=HOSTILE,
        requested_by_name=HOSTILE,
    )
    change.refresh_from_db()
    return change


@pytest.mark.parametrize("words", [("list",), ("show", "ID")], ids=" ".join)
def test_what_is_stored_cannot_reach_a_terminal(hostile: Change, words: tuple[str, ...]) -> None:
    out = io.StringIO()
    given = [str(hostile.pk) if word == "ID" else word for word in words]
    call_command("changes", *given, stdout=out, stderr=io.StringIO())
    assert_plain(out.getvalue())
    assert "\\u001b[2J" in out.getvalue()
    assert "\nBatch 1" not in out.getvalue()


def test_json_holds_what_is_stored_and_is_plain_all_the_same(hostile: Change) -> None:
    out = io.StringIO()
    call_command("changes", "show", str(hostile.pk), "--json", stdout=out)
    assert_plain(out.getvalue())
    assert json.loads(out.getvalue())["reason"] == HOSTILE


def test_errors_are_plain_too(hostile: Change) -> None:
    out = Terminal()
    command = load_command_class("batchops", "changes")
    command.stderr = PlainOutput(out)
    with pytest.raises((CommandError, SystemExit)):
        call_command(command, "stop", HOSTILE, "--as", "olivia")
    command.stderr.write(HOSTILE, command.style.ERROR)
    assert_plain(out.getvalue().replace(command.style.ERROR("|").split("|")[0], ""))


def test_every_command_that_prints_what_others_wrote_prints_plainly() -> None:
    for name, owner in get_commands().items():
        if owner == "batchops" and name not in OWN:
            command = load_command_class("batchops", name)
            assert isinstance(command, TerminalCommand), name
            assert isinstance(command.stdout, PlainOutput), name
            assert isinstance(command.stderr, PlainOutput), name


@given(text=st.text())
def test_printed_text_is_plain_and_text_that_is_plain_stays(text: str) -> None:
    checks: tuple[Callable[[str], Any], ...] = (printable, one_line)
    for made in checks:
        assert_plain(made(text))
        assert made(made(text)) == made(text)
    assert "\n" not in one_line(text)


@given(text=st.text(st.characters(categories=("L", "N", "P", "S", "Zs"))))
def test_text_that_is_plain_stays_as_it_is(text: str) -> None:
    assert printable(text) == one_line(text) == text
