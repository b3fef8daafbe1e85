"""Who did it: a person, batchops for a person, the vendor, or the account of a machine."""

from __future__ import annotations

import datetime as dt
import io
import json
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db.models import QuerySet
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from batchops import audit
from batchops.models import ActorKind, AuditEntry
from batchops.services.changes import lifecycle
from batchops.services.push import driver
from batchops.services.runs import run_state
from batchops.services.trail import reports, search
from batchops.services.trail.sentences import sentence
from batchops.services.trail.trail_filter import TrailFilter
from batchops.services.trail_files import exports
from tests.audit.world import BATCH, World, as_

pytestmark = pytest.mark.django_db(transaction=True)


def of_items() -> QuerySet[AuditEntry]:
    return AuditEntry.objects.filter(action__startswith="batch.")


def test_what_workers_do_is_done_by_batchops_for_the_person_who_asked(world: World) -> None:
    change = world.pushed()
    by_action = {entry.action: entry for entry in AuditEntry.objects.filter(change_id=change.pk)}
    assert by_action["change.confirmed"].who == "olivia"
    for action in ("change.started", "batch.applied", "change.finished"):
        entry = by_action[action]
        assert (entry.actor_name, entry.actor_kind) == ("batchops", ActorKind.SYSTEM)
        assert entry.actor_id is None
        assert entry.actor_ip == ""
        assert (entry.on_behalf_of_name, entry.on_behalf_of_id) == ("olivia", world.operator.pk)
    assert sentence(by_action["batch.applied"]).startswith(f"batchops, for olivia, paused {BATCH}")


def test_after_another_person_continues_outcomes_name_the_one_who_answers_now(
    world: World, make_person: Callable[..., User]
) -> None:
    otto = make_person("otto", "Operator")
    change = world.confirmed()
    lifecycle.queue_due()
    run_state.halt(change, "looked odd")
    lifecycle.proceed(change, **as_(otto))
    otto.username = "otto2"
    otto.save()
    driver.drive()
    assert of_items().get().who == "batchops, for otto"
    change.refresh_from_db()
    otto.delete()
    change.refresh_from_db()
    assert change.responsible is None, "an account that is gone answers for nothing"


def test_a_person_is_found_by_what_they_did_and_by_what_was_done_for_them(world: World) -> None:
    change = world.pushed()
    found = search.page(TrailFilter(person="olivia", change_id=change.pk)).entries
    assert {entry.action for entry in found} >= {"change.confirmed", "batch.applied"}
    for narrow in (
        TrailFilter(person="olivia", search="wrong list"),
        TrailFilter(person="olivia", group="batch"),
    ):
        narrowed = search.page(narrow).entries
        assert "batch.applied" in {entry.action for entry in narrowed}
    assert "olivia" in search.people()
    first, latest = search.first_and_latest("olivia")
    assert first
    assert latest
    assert (first.action, latest.action) == ("change.requested", "change.finished")


def test_the_report_counts_for_a_person_what_batchops_did_for_them(world: World) -> None:
    world.pushed()
    now = timezone.now()
    day = dt.timedelta(days=1)
    report = reports.report(now - day, now + day, timezone.get_current_timezone())
    olivia = next(one.tally for one in report.people if one.name == "olivia")
    assert (olivia.confirmed, olivia.applied) == (1, 1)


def test_a_command_is_shown_with_the_account_of_the_machine(
    world: World, auditor: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUDO_USER", "anna")
    call_command(
        *("change", "--pause", "--batch", BATCH, "--as", "olivia", "--reason", "x", "--yes"),
        stdout=io.StringIO(),
        stderr=io.StringIO(),
    )
    entry = AuditEntry.objects.get(action="change.confirmed")
    words = f"olivia, by {audit.machine_account()}"
    assert entry.who == words
    assert sentence(entry).startswith(f"{words}, confirmed a change")
    client = Client()
    client.force_login(auditor)
    for page in (
        reverse("admin:batchops_auditentry_changelist"),
        reverse("admin:batchops_auditentry_change", args=[entry.pk]),
    ):
        assert audit.machine_account() in client.get(page).content.decode()
    change_page = reverse("admin:batchops_change_change", args=[entry.change_id])
    assert audit.machine_account() in client.get(change_page).content.decode()
    for kind in (exports.ExportFormat.CSV, exports.ExportFormat.JSON_LINES):
        out = exports.export(
            AuditEntry.objects.all(), kind, description="everything", **as_(auditor)
        )
        assert audit.machine_account() in b"".join(out.chunks).decode()


def test_an_export_says_for_whom_batchops_acted(world: World, auditor: User) -> None:
    world.pushed()
    out = exports.export(
        of_items(), exports.ExportFormat.JSON_LINES, description="batches", **as_(auditor)
    )
    entry = json.loads(b"".join(out.chunks).decode().splitlines()[1])
    assert (entry["actor_kind"], entry["on_behalf_of_name"]) == ("system", "olivia")


def test_an_account_named_like_the_system_is_told_from_it_by_its_kind(
    make_person: Callable[..., User],
) -> None:
    mallory = make_person("mallory")
    User.objects.filter(pk=mallory.pk).update(username="batchops")
    mallory.refresh_from_db()
    entry = audit.record_now(audit.Fact("sync.requested", audit.Actor.of_user(mallory)))[0]
    assert entry.actor_kind == ActorKind.PERSON
