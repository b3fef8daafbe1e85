"""States that are worth a word are told once, kept as they stand, and said to be over."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from batchops import audit
from batchops.models import Action, Batch, Change, SyncRun
from batchops.notices import conditions, facts, inbox, kinds, watching
from batchops.notices.conditions import CONDITIONS
from batchops.notices.models import Notice
from batchops.services.changes import approvals
from batchops.services.runs import run_state
from tests.services.changes import world

pytestmark = pytest.mark.django_db


def watch() -> None:
    for condition in CONDITIONS:
        if condition.find is not conditions.disk:
            watching.watch(condition)


def open_titles(user: User) -> list[str]:
    return [item.notice.title for item in inbox.of(user).filter(notice__closed_at=None)]


def ago(**span: int) -> dt.datetime:
    return timezone.now() - dt.timedelta(**span)


def test_approvers_are_told_what_waits_for_them_and_when_it_no_longer_does(
    operator: User, approver: User, make_person: Callable[..., User], settings: Settings
) -> None:
    settings.APPROVAL_FOR = "all"
    world.batches(2)
    change = world.confirm(world.draft(operator), operator)
    watch()
    watch()
    told = "olivia asks for approval: pause, on 2 batches. Why: wrong list"
    assert open_titles(approver) == [told]
    assert open_titles(operator) == []

    another = make_person("anna", "Approver")
    watch()
    assert open_titles(another) == [told]

    approvals.approve(
        change, user=approver, actor=audit.Actor.of_user(approver), seen=change.fingerprint
    )
    watch()
    assert open_titles(approver) == open_titles(another) == []
    assert Notice.objects.get(kind=kinds.DRAFT_READY.name).is_over
    facts.take_up()
    assert open_titles(operator) == []
    assert "amir approved: pause, on 2 batches" in [
        item.notice.title for item in inbox.unread(operator)
    ]


def test_a_state_that_comes_back_is_a_notice_of_its_own(operator: User) -> None:
    world.batch()
    change = world.confirm(world.draft(operator), operator)
    for _ in range(2):
        run_state.halt(change, "the key was refused")
        watch()
        assert open_titles(operator) == ["Halted: pause, on 1 batch"]
        Change.objects.filter(pk=change.pk).update(halted_reason="")
        watch()
        assert open_titles(operator) == []
    assert Notice.objects.filter(kind=kinds.HALTED.name).count() == 2


def paused_for_long(operator: User) -> str:
    world.batches(3)
    change = world.ended(operator)
    Change.objects.update(started_at=ago(days=20))
    Batch.objects.filter(pk="b-0").update(paused=False, paused_by=None)
    assert change.paused_batches.count() == 2
    return "Paused by olivia for 14 days or more, with no end: 2 batches"


def paused_by_others(operator: User) -> str:
    world.batches(2, paused=True, last_updated_at=ago(days=15))
    world.batch("fresh", paused=True, last_updated_at=ago(days=1))
    return "Paused outside batchops and unchanged for 14 days or more: 2 batches"


def expiring(operator: User) -> str:
    world.batches(2, expires_on=timezone.now() + dt.timedelta(hours=5))
    world.batch("later", expires_on=timezone.now() + dt.timedelta(days=3))
    world.batch("ended", status="EXPIRED", expires_on=timezone.now() + dt.timedelta(hours=5))
    return "Expiring: 2 batches, in Campaign 1 within 24 hours"


def expiring_while_paused(operator: User) -> str:
    world.batch(paused=True, expires_on=timezone.now() + dt.timedelta(hours=5))
    return "Expiring: 1 batch, paused in Campaign 1 within 24 hours"


def with_one_id(operator: User) -> str:
    world.batch(id_shared_since=timezone.now(), shared_with=[2])
    return "With the same id in several campaigns: 1 batch"


def old_mirror(operator: User) -> str:
    _synced(SyncRun.State.DONE, ago(hours=1))
    return "The mirror is out of date"


def rejected_key(operator: User) -> str:
    _synced(SyncRun.State.DONE, ago(minutes=2))
    _synced(SyncRun.State.FAILED, ago(minutes=1), key_rejected=True)
    return "The vendor rejects the key"


def waiting(operator: User) -> str:
    world.batch()
    change = world.confirm(world.draft(operator), operator)
    Change.objects.filter(pk=change.pk).update(
        waiting_reason="no answer", waiting_since=ago(minutes=16)
    )
    return "Still waiting for the vendor: pause, on 1 batch"


def starting(operator: User) -> str:
    world.batch()
    soon = timezone.now() + dt.timedelta(minutes=10)
    world.confirm(world.draft(operator), operator, starts_at=soon)
    return "Starts within 15 minutes: pause, on 1 batch"


def ending(operator: User) -> str:
    world.batch()
    change = world.ended(operator)
    Change.objects.filter(pk=change.pk).update(resume_at=timezone.now() + dt.timedelta(minutes=30))
    return "Ends within an hour: pause, on 1 batch"


def _synced(state: str, began: dt.datetime, **more: Any) -> None:
    SyncRun.objects.create(
        kind=SyncRun.Kind.FULL,
        state=state,
        started_at=began,
        alive_at=began,
        finished_at=began,
        **more,
    )


@pytest.mark.parametrize(
    "state",
    [
        *(paused_for_long, paused_by_others, expiring, expiring_while_paused, with_one_id),
        *(old_mirror, rejected_key, waiting, starting, ending),
    ],
)
def test_who_can_do_something_is_told_once_with_a_page_that_they_may_see(
    operator: User, running_worker: None, state: Callable[[User], str]
) -> None:
    title = state(operator)
    watch()
    watch()
    found = [item.notice for item in inbox.unread(operator)]
    assert [notice.title for notice in found] == [title]
    reader = Client()
    reader.force_login(operator)
    assert reader.get(found[0].link).status_code == 200


def test_a_burst_of_failed_sign_ins_is_told_to_auditors(auditor: User) -> None:
    nobody = audit.Actor.nobody("guess", "192.0.2.9")
    audit.record(*(audit.Fact(Action.ACCOUNT_SIGN_IN_FAILED, nobody) for _ in range(9)))
    watch()
    assert open_titles(auditor) == []
    audit.record(audit.Fact(Action.ACCOUNT_SIGN_IN_FAILED, nobody))
    watch()
    assert open_titles(auditor) == ["10 sign-ins failed within 10 minutes"]
    reader = Client()
    reader.force_login(auditor)
    assert reader.get(inbox.of(auditor)[0].notice.link).status_code == 200


def test_the_day_on_which_the_key_ends_is_told_in_time(operator: User, settings: Settings) -> None:
    today = timezone.localdate()
    for days, number in ((15, 0), (14, 1), (-1, 1)):
        settings.SYLLABLE_KEY_EXPIRES = today + dt.timedelta(days=days)
        watch()
        assert len(open_titles(operator)) == number
    assert "expired" in open_titles(operator)[0]


def test_each_host_speaks_for_its_own_disk_alone(
    operator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conditions, "FREE_LEAST", 2.0)
    condition = next(one for one in CONDITIONS if one.find is conditions.disk)
    watching.watch(condition)
    Notice.objects.update(key="disk.nearly_full:elsewhere")
    watching.watch(condition)
    monkeypatch.setattr(conditions, "FREE_LEAST", 0.0)
    watching.watch(condition)
    assert list(Notice.objects.filter(closed_at=None).values_list("key", flat=True)) == [
        "disk.nearly_full:elsewhere"
    ]
