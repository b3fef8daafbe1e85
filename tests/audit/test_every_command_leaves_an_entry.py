"""Every command that changes anything says here what it leaves in the trail, or fails."""

from __future__ import annotations

import io
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from unittest import mock

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command, get_commands
from django.utils import timezone

from batchops import audit
from batchops.models import Action, AuditEntry, Batch, Change
from batchops.services import demo
from batchops.services.proof import last_seen
from batchops.services.proof.anchoring import generate_key
from batchops.services.runs import run_state
from tests.accounts.apps import with_app
from tests.audit import trail
from tests.audit.world import BATCH, World, actions_since, last_sequence, later

pytestmark = pytest.mark.django_db(transaction=True)

OWNERS: Final = ("batchops", "django.contrib.auth")
"""The apps whose commands may change what the trail tells of."""
READS: Final = {
    "generate_audit_key": "prints two keys, and stores neither",
    "sandbox": "plays the vendor, with a file of its own",
    "worker": "runs the services, each of which is walked by itself",
}
ELSEWHERE: Final = {
    "restore": "replaces a whole database, so tests/deployment/test_backups.py walks it on its own",
}
SURE: Final = ("--as", "olivia", "--reason", "wrong list")


@dataclass(frozen=True, slots=True)
class Way:
    """What doing something leaves in the trail, in order, and what has to be there before."""

    leaves: tuple[Action, ...]
    do: Callable[[World], Any]
    given: Callable[[World], Any] = lambda _: None


def run(*words: str) -> None:
    call_command(*words, stdout=io.StringIO(), stderr=io.StringIO())


def command(*words: str) -> Callable[[World], None]:
    return lambda _: run(*words)


def about_change(action: str, *words: str) -> Callable[[World], None]:
    return lambda _: run("changes", action, str(Change.objects.latest("created_at").pk), *words)


def approve(_: World) -> None:
    seen = Change.objects.latest("created_at").fingerprint
    about_change("approve", "--as", "amir", "--fingerprint", seen)(_)


def halted(world: World) -> None:
    run_state.halt(world.confirmed(), "the key was refused")


def ask_for_archive(world: World) -> None:
    world.settings.AUDIT_RETENTION_DAYS = 0
    User.objects.update(is_superuser=True)
    before = timezone.now().isoformat()
    run("archive_audit", "--as", "ada", "--before", before, "--reason", "old")


def archive(world: World) -> None:
    path = str(world.folder / "archive.jsonl")
    run("archive_audit", "--as", "audrey", "--confirm", str(last_sequence()), "--to", path)


def rolled_back(world: World) -> None:
    last_seen.remember()
    with trail.triggers_dropped():
        trail.change(last_sequence(), hash="f" * 64)


def change_password(world: World) -> None:
    with mock.patch("getpass.getpass", return_value="a-long-passphrase-9"):
        run("changepassword", "olivia")


def sign_heads(world: World) -> None:
    world.settings.AUDIT_SIGNING_KEY = generate_key()[0]


REQUESTED_AND_CONFIRMED: Final = (Action.CHANGE_REQUESTED, Action.CHANGE_CONFIRMED)
CHANGES: dict[tuple[str, str], Way] = {
    ("reset_second_factor", ""): Way(
        (Action.ACCOUNT_FACTOR_REMOVED,),
        command("reset_second_factor", "olivia", "--reason", "lost the phone"),
        lambda w: with_app(w.operator),
    ),
    ("anchor_audit", ""): Way((Action.AUDIT_ANCHORED,), command("anchor_audit"), sign_heads),
    ("acknowledge_audit", ""): Way(
        (Action.AUDIT_ACKNOWLEDGED, Action.AUDIT_ANCHORED),
        command("acknowledge_audit", "--as", "ada", "--reason", "restored on purpose"),
        rolled_back,
    ),
    ("archive_audit", "asked for"): Way((Action.AUDIT_ARCHIVE_REQUESTED,), ask_for_archive),
    ("archive_audit", "carried out"): Way((Action.AUDIT_ARCHIVED,), archive, ask_for_archive),
    ("backup", ""): Way(
        (Action.DATABASE_BACKED_UP,),
        lambda w: run("backup", "--to", str(w.folder / "backup")),
    ),
    ("change", "confirmed"): Way(
        REQUESTED_AND_CONFIRMED, command("change", "--pause", "--batch", BATCH, *SURE, "--yes")
    ),
    ("change", "only looked at"): Way(
        (Action.CHANGE_REQUESTED, Action.CHANGE_DISCARDED),
        command("change", "--pause", "--batch", BATCH, *SURE, "--dry-run"),
    ),
    ("changes", "stop"): Way(
        (Action.CHANGE_CANCELLED, Action.BATCH_STOPPED),
        about_change("stop", "--as", "olivia"),
        lambda w: w.confirmed(starts_at=later()),
    ),
    ("changes", "continue"): Way(
        (Action.CHANGE_CONTINUED,), about_change("continue", "--as", "olivia"), halted
    ),
    ("changes", "approve"): Way((Action.CHANGE_APPROVED,), approve, World.awaiting),
    ("changes", "reject"): Way(
        (Action.CHANGE_REJECTED, Action.BATCH_STOPPED),
        about_change("reject", "--as", "amir", "--comment", "no"),
        World.awaiting,
    ),
    ("changes", "undo"): Way(
        REQUESTED_AND_CONFIRMED, about_change("undo", *SURE, "--yes"), World.pushed
    ),
    ("sync", "all"): Way((Action.SYNC_REQUESTED,), command("sync", "--full", "--quiet")),
    ("sync", "what changed outside"): Way(
        (Action.SYNC_REQUESTED, Action.BATCH_CHANGED_OUTSIDE),
        command("sync", "--full", "--quiet"),
        lambda w: w.sandbox.edit_batch(BATCH, paused=True),
    ),
    ("verify_audit", "at night"): Way(
        (Action.AUDIT_VERIFIED,), command("verify_audit", "--nightly")
    ),
    ("verify_audit", "recorded"): Way(
        (Action.AUDIT_VERIFIED,), command("verify_audit", "--quiet", "--record")
    ),
    ("start", "the people of a demo"): Way(
        (Action.ACCOUNT_CREATED, Action.ACCOUNT_PERMISSIONS) * 3 + (Action.ACCOUNT_CREATED,),
        lambda w: demo.make_people(w.folder),
        lambda _: User.objects.all().delete(),
    ),
    ("createsuperuser", ""): Way(
        (Action.ACCOUNT_CREATED,),
        command("createsuperuser", "--no-input", "--username=root", "--email=root@example.com"),
    ),
    ("changepassword", ""): Way((Action.ACCOUNT_PASSWORD,), change_password),
}
"""Each way to change something at a command line."""


def test_every_command_is_known_to_change_nothing_or_to_leave_an_entry() -> None:
    there = {name for name, owner in get_commands().items() if owner in OWNERS}
    known = READS.keys() | ELSEWHERE.keys() | {name for name, _ in CHANGES}
    assert there == known, (
        f"{sorted(there ^ known)}: a new command that changes anything says in CHANGES what it "
        "leaves in the trail, one that does not is named in READS, and one that is gone in neither."
    )


@pytest.mark.parametrize("way", sorted(CHANGES), ids=lambda way: " ".join(way))
def test_it_leaves_exactly_its_entries(
    world: World, administrator: User, way: tuple[str, str]
) -> None:
    known = CHANGES[way]
    known.given(world)
    last = last_sequence()
    known.do(world)
    assert actions_since(last) == list(known.leaves)


OF_SERVERS: Final = {"start"}
"""Commands that nobody sits at while they write."""


@pytest.mark.parametrize(
    "way", sorted(way for way in CHANGES if way[0] not in OF_SERVERS), ids=lambda way: " ".join(way)
)
def test_each_entry_of_a_command_names_the_account_of_the_machine(
    world: World, administrator: User, monkeypatch: pytest.MonkeyPatch, way: tuple[str, str]
) -> None:
    known = CHANGES[way]
    known.given(world)
    last = last_sequence()
    monkeypatch.setenv("SUDO_USER", "anna")
    known.do(world)
    entries = AuditEntry.objects.filter(sequence__gt=last)
    assert {entry.operated_by for entry in entries} == {audit.machine_account()}
    assert audit.machine_account().endswith(f"@{socket.gethostname()} (sudo by anna)")


def test_reading_commands_leave_nothing(world: World) -> None:
    change = world.confirmed()
    last = last_sequence()
    before = list(Batch.objects.values()), list(Change.objects.values())
    run("changes", "list")
    run("changes", "show", str(change.pk))
    run("verify_audit", "--quiet")
    run("generate_audit_key")
    assert (list(Batch.objects.values()), list(Change.objects.values())) == before
    assert actions_since(last) == []
