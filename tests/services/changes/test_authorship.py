"""Authorship follows the hand: whoever last determined what runs never approves it."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from batchops import audit
from batchops.models import AuditEntry, Batch, Change, ChangeState
from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.services import authorization, bulk
from batchops.services.changes import (
    approvals,
    drafts,
    fingerprints,
    lifecycle,
    timed_pauses,
)
from batchops.services.errors import ChangeError, InvalidInput, Moved, NotAllowed
from batchops.services.push import driver
from batchops.services.runs import run_state
from batchops.syllable.patch import BatchPatch
from tests.services.changes.world import RESUME, batch, batches, confirm, draft, ended

pytestmark = pytest.mark.django_db

HOUR = dt.timedelta(hours=1)


def by(user: User, ip: str = "192.0.2.9") -> dict[str, Any]:
    return {"user": user, "actor": audit.Actor.of_user(user, ip)}


@pytest.fixture
def both(make_person: Callable[..., User]) -> User:
    """Somebody who may both ask and approve."""
    return make_person("bea", "Operator", "Approver")


def due(pause: Change) -> list[Change]:
    """Let the end of a pause come now."""
    Change.objects.filter(pk=pause.pk).update(resume_at=timezone.now() - HOUR)
    return timed_pauses.resume_due()


# The end of a pause --------------------------------------------------------------------------


def test_who_moves_the_end_of_anothers_pause_asks_for_the_resume_and_may_not_approve_it(
    operator: User, both: User, approver: User, settings: Settings
) -> None:
    settings.APPROVAL_FOR = "expanding"
    batches(2)
    pause = ended(operator)
    timed_pauses.move_resume(pause, timezone.now() + HOUR, reason="list is clean", **by(both))
    [resume] = due(pause)
    assert (resume.requested_by, resume.requested_by_name) == (both, "bea")
    assert resume.requested_from == "192.0.2.9"
    assert resume.reason == "End of the pause: list is clean"
    entry = AuditEntry.objects.get(action="change.confirmed", change_id=resume.pk)
    assert entry.who == "batchops, for bea"
    with pytest.raises(NotAllowed, match="another person has to decide"):
        approvals.approve(resume, seen=resume.fingerprint, **by(both))
    approvals.approve(resume, seen=resume.fingerprint, **by(approver))


def test_an_end_for_anothers_pause_needs_a_reason_of_ones_own(operator: User, both: User) -> None:
    batches(2)
    pause = ended(operator)
    with pytest.raises(InvalidInput, match="Give a reason"):
        timed_pauses.move_resume(pause, timezone.now() + HOUR, **by(both))
    timed_pauses.move_resume(pause, timezone.now() + HOUR, **by(operator))


@pytest.mark.parametrize("cancels", [False, True])
def test_who_moves_or_cancels_the_end_before_the_approval_may_not_give_it(
    operator: User, both: User, settings: Settings, cancels: bool
) -> None:
    settings.APPROVAL_FOR = "all"
    batches(2)
    pause = confirm(draft(operator), operator, resume_at=timezone.now() + HOUR)
    end = None if cancels else timezone.now() + 2 * HOUR
    pause = timed_pauses.move_resume(pause, end, reason="later", **by(both))
    with pytest.raises(NotAllowed, match="another person has to decide"):
        approvals.approve(pause, seen=pause.fingerprint, **by(both))


def test_a_resume_ends_with_the_right_of_whoever_set_the_end(operator: User, both: User) -> None:
    batches(2)
    pause = ended(operator)
    timed_pauses.move_resume(pause, timezone.now() + HOUR, reason="clean", **by(both))
    both.groups.clear()
    assert due(pause) == []
    assert Batch.objects.filter(paused=True).count() == 2
    denied = AuditEntry.objects.get(action="change.denied")
    assert denied.who == "batchops, for bea", "the denial was not rolled back with the resume"
    told = AuditEntry.objects.get(action="change.resume_cancelled")
    assert "may not let outreach reach more people" in told.detail["why"]


def test_an_end_is_carried_out_once_however_many_workers_find_it_due(operator: User) -> None:
    batches(2)
    pause = ended(operator)
    timed_pauses.move_resume(pause, timezone.now() + HOUR, **by(operator))
    Change.objects.filter(pk=pause.pk).update(
        resume_at=timezone.now() - HOUR, resume_lease_until=timezone.now() + HOUR
    )
    assert timed_pauses.resume_due() == []
    Change.objects.filter(pk=pause.pk).update(resume_lease_until=timezone.now() - HOUR)
    assert len(timed_pauses.resume_due()) == 1, "the lease of a dead worker lapses"
    assert timed_pauses.resume_due() == []


def test_an_end_moved_while_its_resume_is_drafted_does_not_happen(
    operator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches(2)
    pause = ended(operator)
    timed_pauses.move_resume(pause, timezone.now() + HOUR, **by(operator))
    frozen = drafts.draft_resume

    def moved_meanwhile(*args: Any, **more: Any) -> Change:
        change = frozen(*args, **more)
        Change.objects.filter(pk=pause.pk).update(resume_at=timezone.now() + 9 * HOUR)
        return change

    monkeypatch.setattr(drafts, "draft_resume", moved_meanwhile)
    assert due(pause) == []
    pause.refresh_from_db()
    assert pause.resume_at is not None
    assert not Change.objects.filter(source="resume", state=ChangeState.QUEUED).exists()


# Continuing ----------------------------------------------------------------------------------


def halted(change: Change) -> Change:
    lifecycle.queue_due()
    assert run_state.halt(change, "looked odd")
    change.refresh_from_db()
    return change


def test_who_approved_a_change_does_not_go_on_with_it(
    operator: User, both: User, settings: Settings, make_person: Callable[..., User]
) -> None:
    settings.APPROVAL_FOR = "all"
    batches(2)
    change = confirm(draft(operator), operator)
    change = halted(approvals.approve(change, seen=change.fingerprint, **by(both)))
    with pytest.raises(NotAllowed, match="another person has to continue it"):
        lifecycle.proceed(change, **by(both))
    otto = make_person("otto", "Operator")
    assert lifecycle.proceed(change, **by(otto)).responsible_name == "otto"


def test_an_expired_approval_is_asked_for_anew_before_going_on(
    operator: User, both: User, settings: Settings
) -> None:
    settings.APPROVAL_FOR = "all"
    batches(2)
    change = confirm(draft(operator), operator)
    change = halted(approvals.approve(change, seen=change.fingerprint, **by(both)))
    Change.objects.update(approval_expires_at=timezone.now())
    assert lifecycle.proceed(change, **by(operator)).state == ChangeState.AWAITING_APPROVAL


def test_what_had_begun_and_is_rejected_later_is_stopped(
    operator: User, both: User, settings: Settings
) -> None:
    """So that what may have been sent of it is read and settled, as of every stopped change."""
    settings.APPROVAL_FOR = "all"
    batches(2)
    change = confirm(draft(operator), operator)
    change = halted(approvals.approve(change, seen=change.fingerprint, **by(both)))
    Change.objects.update(approval_expires_at=timezone.now(), started_at=timezone.now())
    change = lifecycle.proceed(change, **by(operator))
    assert change.decided_by is None, "nobody stands for it now"
    assert approvals.reject(change, comment="too late", **by(both)).state == ChangeState.STOPPED


def test_a_continue_that_broke_off_can_be_done_again(
    operator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches(5)
    change = confirm(draft(operator), operator)
    Change.objects.update(started_at=timezone.now())
    lifecycle.stop(change, **by(operator))
    monkeypatch.setattr(lifecycle, "CHUNK", 2)
    reopened = bulk.update_in_order

    def dies(*args: Any, **more: Any) -> int:
        if change.items.filter(state="pending").exists():
            raise SystemExit
        return reopened(*args, **more)

    monkeypatch.setattr(lifecycle, "update_in_order", dies)
    with pytest.raises(SystemExit):
        lifecycle.proceed(change, **by(operator))
    change.refresh_from_db()
    assert change.is_halted, "no worker touches it"
    monkeypatch.setattr(lifecycle, "update_in_order", reopened)
    change = lifecycle.proceed(change, **by(operator))
    assert (change.state, change.is_halted) == (ChangeState.QUEUED, False)
    assert lifecycle.counts(change) == {"pending": 5}


# What an approver saw ------------------------------------------------------------------------


def moved_after_the_page(operator: User, settings: Settings) -> tuple[Change, str]:
    settings.APPROVAL_FOR = "all"
    batches(2)
    change = confirm(draft(operator), operator, resume_at=timezone.now() + HOUR)
    seen = change.fingerprint
    return timed_pauses.move_resume(change, timezone.now() + 5 * HOUR, **by(operator)), seen


def test_a_stale_page_approves_nothing_and_is_told_what_moved(
    operator: User, approver: User, settings: Settings
) -> None:
    change, seen = moved_after_the_page(operator, settings)
    with pytest.raises(Moved) as stale:
        approvals.approve(change, seen=seen, **by(approver))
    assert [entry.action for entry in stale.value.since] == ["change.resume_moved"]
    change.refresh_from_db()
    assert change.state == ChangeState.AWAITING_APPROVAL
    assert (
        approvals.approve(change, seen=change.fingerprint, **by(approver)).state
        == ChangeState.QUEUED
    )


@pytest.mark.parametrize(
    "moved",
    [
        {"patch_json": {"paused": True, "call_rate": 1}},
        {"starts_at": timezone.now() + 3 * HOUR},
        {"resume_at": timezone.now() + 9 * HOUR},
        {"requested_by_name": "mallory"},
        {"resume_set_by_name": "mallory"},
        {"priority": 10},
    ],
    ids=lambda moved: next(iter(moved)),
)
def test_whatever_determines_what_runs_is_covered_by_the_fingerprint(
    operator: User, approver: User, settings: Settings, moved: dict[str, Any]
) -> None:
    settings.APPROVAL_FOR = "all"
    batches(2)
    change = confirm(draft(operator), operator, resume_at=timezone.now() + 7 * HOUR)
    Change.objects.filter(pk=change.pk).update(**moved)
    with pytest.raises(ChangeError, match="no longer what was reviewed"):
        approvals.approve(change, seen=change.fingerprint, **by(approver))


@pytest.mark.parametrize(
    "moved",
    [
        {"before_paused": True},
        {"before_call_rate": 7},
        {"before_expires_on": timezone.now()},
        {"patch_json": {"paused": False}},
        {"plan": "already"},
    ],
    ids=lambda moved: next(iter(moved)),
)
def test_so_is_every_item_with_what_was_seen_before_it(
    operator: User, approver: User, settings: Settings, moved: dict[str, Any]
) -> None:
    settings.APPROVAL_FOR = "all"
    batches(2)
    change = confirm(draft(operator), operator)
    change.items.filter(batch="b-1").update(**moved)
    with pytest.raises(ChangeError, match="no longer what was reviewed"):
        approvals.approve(change, seen=change.fingerprint, **by(approver))


# Rules ---------------------------------------------------------------------------------------


def test_all_means_expiring_too_and_emergencies_never_wait(
    operator: User, settings: Settings
) -> None:
    settings.APPROVAL_FOR = "all"
    batches(2)
    soon = BatchPatch(expires_on=timezone.now() + HOUR)
    assert confirm(draft(operator, soon), operator).state == ChangeState.AWAITING_APPROVAL
    emergency = draft(operator, priority=Change.Priority.EMERGENCY)
    assert confirm(emergency, operator).state == ChangeState.QUEUED


def test_splitting_a_change_does_not_evade_the_threshold(
    operator: User, both: User, settings: Settings
) -> None:
    settings.APPROVAL_THRESHOLD = 5
    batches(8)
    few = [Batch.objects.filter(pk__in=ids) for ids in (["b-0", "b-1", "b-2"], ["b-3", "b-4"])]
    for part in few:
        assert confirm(draft(operator, batches=part), operator).state == ChangeState.QUEUED
    rest = Batch.objects.filter(pk="b-5")
    waits = confirm(draft(operator, batches=rest), operator)
    assert waits.state == ChangeState.AWAITING_APPROVAL
    assert waits.approval_reason == (
        "It changes 1 batch; with the 5 that olivia changed within the hour that is more than 5."
    )
    assert confirm(draft(both, batches=rest), both).state == ChangeState.QUEUED, "another person"
    Change.objects.update(confirmed_at=timezone.now() - 2 * HOUR)
    assert confirm(draft(operator, batches=rest), operator).state == ChangeState.QUEUED, (
        "an hour later"
    )


@pytest.mark.django_db(transaction=True)
def test_an_approval_that_has_expired_does_not_start_a_change(
    sandbox: EmbeddedSandbox, operator: User, approver: User, settings: Settings
) -> None:
    settings.APPROVAL_FOR, settings.APPROVAL_HOURS = "all", 2
    batch("b-0")
    change = confirm(draft(operator), operator, starts_at=timezone.now() + HOUR)
    change = approvals.approve(change, seen=change.fingerprint, **by(approver))
    expires = change.approval_expires_at
    assert expires is not None
    assert change.starts_at is not None
    assert expires - change.starts_at == 2 * HOUR, "what it was approved to wait for does not count"
    past = timezone.now() - HOUR
    Change.objects.update(starts_at=past, approval_expires_at=past, fingerprint="", state="queued")
    stale = Change.objects.get()
    stamp = fingerprints.of(stale)
    Change.objects.update(fingerprint=stamp, approved_fingerprint=stamp)
    driver.drive()
    change.refresh_from_db()
    assert (change.state, change.approved_fingerprint) == (ChangeState.AWAITING_APPROVAL, "")
    entry = AuditEntry.objects.get(action="change.approval_expired")
    assert (entry.who, entry.detail["approved_by"]) == ("batchops, for olivia", "amir")
    assert sandbox.journal() == []
    again = approvals.approve(change, seen=change.fingerprint, **by(approver))
    assert again.state == ChangeState.QUEUED


def test_what_the_schedule_moves_by_rule_stays_approved(
    operator: User, approver: User, settings: Settings
) -> None:
    settings.APPROVAL_FOR = "expanding"
    batches(2, paused=True)
    change = confirm(draft(operator, RESUME), operator)
    change = approvals.approve(change, seen=change.fingerprint, **by(approver))
    tomorrow = f"{timezone.now() + 24 * HOUR:%a}".lower()
    settings.RESUME_WINDOWS, settings.TIME_ZONE = f"{tomorrow} 00:00-24:00", "UTC"
    assert lifecycle.postpone(change)
    change.refresh_from_db()
    assert change.state == ChangeState.SCHEDULED
    assert approvals.require(change)


@pytest.mark.django_db(transaction=True)
def test_two_halves_confirmed_at_once_count_as_one_whole(
    operator: User, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.APPROVAL_THRESHOLD = 3
    batches(4)
    halves = [
        draft(operator, batches=Batch.objects.filter(pk__in=ids))
        for ids in (["b-0", "b-1"], ["b-2", "b-3"])
    ]
    counted = authorization._not_approved_lately

    def slowly(change: Change) -> int:
        before = counted(change)
        time.sleep(0.3)
        return before

    monkeypatch.setattr(authorization, "_not_approved_lately", slowly)

    def confirm_half(change: Change) -> ChangeState:
        try:
            return ChangeState(confirm(change, User.objects.get(pk=operator.pk)).state)
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        states = list(pool.map(confirm_half, halves))
    assert sorted(states) == [ChangeState.AWAITING_APPROVAL, ChangeState.QUEUED]
