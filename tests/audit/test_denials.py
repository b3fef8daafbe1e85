"""Every denied try is recorded, outside of what is rolled back; a burst is summed up."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import Group, Permission, User
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from batchops import audit
from batchops.audit import denials
from batchops.models import ActorKind, AuditEntry, Batch, Change, ChangeItem, DeniedTries
from batchops.services import authorization
from batchops.services.changes import approvals, drafts, lifecycle, timed_pauses
from batchops.services.errors import NotAllowed
from batchops.syllable.patch import BatchPatch
from tests.services.changes.world import RESUME, batches, confirm, draft, ended

pytestmark = pytest.mark.django_db


def by(user: User) -> dict[str, Any]:
    return {"user": user, "actor": audit.Actor.of_user(user, "192.0.2.9")}


def latest() -> AuditEntry:
    return AuditEntry.objects.latest("sequence")


# Doors ---------------------------------------------------------------------------------------


def sign_in(name: str, password: str = "password") -> None:
    Client(REMOTE_ADDR="192.0.2.9").post(
        reverse("admin:login"), {"username": name, "password": password}
    )


def test_the_right_password_on_an_account_without_access_is_recorded(operator: User) -> None:
    User.objects.filter(pk=operator.pk).update(is_staff=False)
    sign_in("olivia")
    entry = latest()
    assert (entry.action, entry.outcome) == ("account.sign_in_failed", "denied")
    assert (entry.actor_name, entry.actor_ip) == ("olivia", "192.0.2.9")
    assert entry.detail["why"].startswith("The password was right")


def test_a_password_typed_as_a_name_is_not_kept(operator: User) -> None:
    sign_in("hunter2-is-my-password")
    first = latest()
    sign_in("hunter2-is-my-password")
    sign_in("another")
    names = [entry.actor_name for entry in AuditEntry.objects.order_by("-sequence")[:3]]
    assert names[1] == names[2] == first.actor_name, "the same text is told again"
    assert names[0] != first.actor_name
    assert first.actor_name.startswith("no account ")
    assert first.actor_kind == ActorKind.NOBODY
    assert "hunter2" not in str(list(AuditEntry.objects.values()))
    sign_in("olivia", "wrong")
    assert latest().actor_name == "olivia"


def test_a_wrong_old_password_is_recorded(operator: User) -> None:
    client = Client()
    client.force_login(operator)
    form = {"old_password": "x", "new_password1": "a-long-pass-9", "new_password2": "a-long-pass-9"}
    client.post(reverse("admin:password_change"), form)
    entry = latest()
    assert (entry.action, entry.outcome, entry.actor_name) == (
        audit.Action.ACCOUNT_PASSWORD,
        "denied",
        "olivia",
    )


def test_a_form_that_proves_no_page_of_ours_is_recorded(operator: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(operator)
    assert client.post(reverse("admin:password_change"), {}).status_code == 403
    assert (latest().action, latest().actor_name) == ("access.denied", "olivia")
    Client(enforce_csrf_checks=True).post(reverse("admin:login"), {"username": "x"})
    assert latest().actor_kind == ActorKind.NOBODY


def test_an_account_that_lost_its_access_while_signed_in_is_recorded(operator: User) -> None:
    client = Client()
    client.force_login(operator)
    User.objects.filter(pk=operator.pk).update(is_staff=False)
    client.get(reverse("admin:index"))
    assert (latest().action, latest().actor_name) == ("access.denied", "olivia")


@pytest.mark.parametrize("active", [None, False])
def test_a_command_in_a_name_that_cannot_act_is_recorded(
    make_person: Callable[..., User], active: bool | None
) -> None:
    if active is not None:
        make_person("otto", "Operator", is_active=active)
    with pytest.raises(CommandError):
        call_command(
            *("change", "--pause", "--all", "--as", "otto", "--reason", "x", "--yes"),
            stdout=io.StringIO(),
            stderr=io.StringIO(),
        )
    assert (latest().action, latest().operated_by) == ("access.denied", audit.machine_account())


def test_members_lost_with_a_group_and_holders_lost_with_a_permission_are_recorded(
    operator: User,
) -> None:
    Group.objects.get(name="Operator").delete()
    lost = AuditEntry.objects.get(
        action=audit.Action.ACCOUNT_PERMISSIONS, detail__removed=["Operator"]
    )
    assert lost.detail["account"] == "olivia"
    deleted = AuditEntry.objects.get(action="group.deleted")
    assert deleted.before is not None
    assert deleted.before["members"] == ["olivia"]
    operator.user_permissions.set(Permission.objects.filter(codename="archive_auditentry"))
    Permission.objects.get(codename="archive_auditentry").delete()
    assert latest().detail["removed"] == ["batchops.archive_auditentry"]


# Services ------------------------------------------------------------------------------------


def test_the_right_is_asked_before_anything_else(
    operator: User, viewer: User, settings: Settings
) -> None:
    """Whoever may not do a thing learns nothing of it, and every such try is recorded."""
    batches(2)
    done = ended(operator)
    awaiting = done
    tries: dict[str, Callable[[], object]] = {
        "a rejection without a comment": lambda: approvals.reject(
            awaiting, comment=" ", **by(viewer)
        ),
        "an approval of what does not wait": lambda: approvals.approve(
            awaiting, seen="", **by(viewer)
        ),
        "a confirmation without a reason": lambda: lifecycle.confirm(
            draft(operator), reason="", **by(viewer)
        ),
        "an end without sense": lambda: timed_pauses.move_resume(
            draft(operator), timezone.now(), **by(viewer)
        ),
        "a draft of nothing": lambda: drafts.draft(
            Batch.objects.none(), BatchPatch(), source=Change.Source.ACTION, **by(viewer)
        ),
        "an undo of what has not ended": lambda: drafts.draft_undo(draft(operator), **by(viewer)),
        "a retry of what has not ended": lambda: drafts.draft_retry(draft(operator), **by(viewer)),
        "a resume of what has not ended": lambda: drafts.draft_resume(
            draft(operator), **by(viewer)
        ),
        "a stop of what has ended": lambda: lifecycle.stop(done, **by(viewer)),
        "a continue of what has ended": lambda: lifecycle.proceed(done, **by(viewer)),
        "a discard of what has ended": lambda: lifecycle.discard(done, **by(viewer)),
    }
    for name, trying in tries.items():
        with pytest.raises(NotAllowed):
            trying()
        assert (latest().outcome, latest().actor_name) == ("denied", "victor"), name


def test_an_unentitled_undo_of_many_writes_and_locks_nothing(
    operator: User, viewer: User, make_person: Callable[..., User]
) -> None:
    batches(3)
    done = ended(operator)
    pauser = make_person("pia")
    pauser.user_permissions.set(Permission.objects.filter(codename="request_change"))
    writes: list[str] = []

    def watch(execute: Any, sql: str, parameters: Any, many: bool, context: Any) -> Any:
        if sql.split()[0] in ("INSERT", "UPDATE", "DELETE"):
            writes.append(sql)
        return execute(sql, parameters, many, context)

    for person in (viewer, pauser):
        writes.clear()
        with connection.execute_wrapper(watch), pytest.raises(NotAllowed):
            drafts.draft_undo(done, **by(person))
        tables = ("batchops_audit", "batchops_deniedtries")
        assert all(any(table in sql for table in tables) for sql in writes), writes
    assert not ChangeItem.objects.exclude(change=done).exists()


def test_such_a_service_is_never_part_of_a_transaction(operator: User) -> None:
    batches(1)
    with pytest.raises(RuntimeError, match="in a transaction"), transaction.atomic():
        draft(operator)


def test_a_denial_survives_whatever_the_service_had_begun(operator: User, viewer: User) -> None:
    @authorization.records_denials
    def service() -> None:
        with transaction.atomic():
            batches(1)
            authorization.require(viewer, "batchops.request_change", audit.Actor.of_user(viewer))

    with pytest.raises(NotAllowed):
        service()
    assert not Batch.objects.exists()
    assert (latest().action, latest().actor_name) == ("change.denied", "victor")


# Bursts --------------------------------------------------------------------------------------


def test_a_burst_is_summed_up_in_one_entry(
    viewer: User, operator: User, settings: Settings
) -> None:
    settings.DENIALS_PER_MINUTE = 3
    batches(1, paused=True)
    with time_machine.travel("2026-03-24T06:00:00Z", tick=False) as clock:
        for _ in range(10):
            with pytest.raises(NotAllowed):
                draft(viewer, RESUME)
        of_others = confirm(draft(operator, RESUME), operator)
        with pytest.raises(NotAllowed):
            lifecycle.stop(of_others, **by(viewer))
        denied = AuditEntry.objects.filter(outcome="denied", actor_name="victor")
        assert denied.count() == 3
        denials.sum_up_due()
        assert not AuditEntry.objects.filter(action="access.denials_summed_up").exists()
        clock.shift(61)
        denials.sum_up_due()
        denials.sum_up_due()
        summed = AuditEntry.objects.get(action="access.denials_summed_up")
        assert summed.detail["tries"] == 8
        assert summed.detail["by"] == {
            "victor from 192.0.2.7: change.denied": 7,
            "victor from 192.0.2.9: change.denied": 1,
        }
        assert not DeniedTries.objects.exists()
        with pytest.raises(NotAllowed):
            draft(viewer, RESUME)
        assert denied.count() == 4


def test_the_next_denial_sums_up_the_burst_before_it(settings: Settings) -> None:
    settings.DENIALS_PER_MINUTE = 1
    with time_machine.travel("2026-03-24T06:00:00Z", tick=False) as clock:
        for name in ("a", "b", "c"):
            denials.record(audit.Fact("access.denied", audit.Actor.nobody(name)))
        clock.shift(90)
        denials.record(audit.Fact("access.denied", audit.Actor.nobody("d")))
    told = list(AuditEntry.objects.order_by("-sequence").values_list("action", flat=True)[:3])
    assert told == ["access.denied", "access.denials_summed_up", "access.denied"]


def test_those_who_are_not_signed_in_do_not_use_up_what_others_have(
    viewer: User, settings: Settings
) -> None:
    settings.DENIALS_PER_MINUTE = 1
    for number in range(5):
        denials.record(audit.Fact("access.denied", audit.Actor.nobody(str(number))))
    denials.record(audit.Fact("access.denied", audit.Actor.of_user(viewer)))
    assert latest().actor_name == "victor"
