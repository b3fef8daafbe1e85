"""Several workers, several changes, stops and emergencies at the same time."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from django.contrib.auth.models import User
from django.db import connections
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from batchops import audit
from batchops.models import AuditEntry, Batch, Change, ChangeItem, ChangeState
from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.services import vendor
from batchops.services.changes import drafts, lifecycle
from batchops.services.mirror import list_pages
from batchops.services.push import driver, engine
from batchops.services.runs import leases
from batchops.syllable.client import SyllableClient
from batchops.syllable.patch import BatchPatch
from batchops.syllable.records import BatchRecord
from tests.services.push.world import (
    PAUSE,
    RESUME,
    assert_all_agree,
    confirmed,
    drive_to_the_end,
    fill,
    wait_for,
)

pytestmark = pytest.mark.django_db(transaction=True)

ONE_MINUTE = dt.timedelta(minutes=1)
Background = Callable[[Callable[[], None]], threading.Thread]


@pytest.fixture
def in_background() -> Iterator[Background]:
    """Runs something in a thread that has a database connection of its own."""
    threads: list[threading.Thread] = []
    errors: list[BaseException] = []

    def start(work: Callable[[], None]) -> threading.Thread:
        def run() -> None:
            try:
                work()
            except BaseException as error:
                errors.append(error)
                raise
            finally:
                connections.close_all()

        thread = threading.Thread(target=run)
        threads.append(thread)
        thread.start()
        return thread

    yield start
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert not errors


def engine_run() -> None:
    engine.Engine(vendor.client(read_attempts=1), 8).run()


def until_ended(*some: Change) -> Callable[[], None]:
    def work() -> None:
        deadline = time.monotonic() + 25
        while Change.objects.filter(pk__in=[change.pk for change in some]).open().exists():
            engine_run()
            assert time.monotonic() < deadline

    return work


def test_two_workers_share_a_change_and_send_nothing_twice(
    sandbox: EmbeddedSandbox, operator: User, in_background: Background
) -> None:
    fill(sandbox, 300)
    sandbox.set_faults(latency=0.01)
    change = confirmed(operator)
    workers = [in_background(until_ended(change)) for _ in range(2)]
    for worker in workers:
        worker.join(30)
    assert lifecycle.counts(change) == {"applied": 300}
    assert len(sandbox.journal(method="PUT")) == 300
    assert_all_agree(sandbox, change)


def test_two_changes_of_the_same_batches_at_once_never_interleave(
    sandbox: EmbeddedSandbox, operator: User, in_background: Background
) -> None:
    ids = fill(sandbox, 150)
    pause = confirmed(operator, PAUSE)
    pace = confirmed(operator, BatchPatch(call_rate=30))
    sandbox.set_faults(latency=0.01)
    workers = [in_background(until_ended(pause, pace)) for _ in range(2)]
    for worker in workers:
        worker.join(30)
    for change in (pause, pace):
        assert lifecycle.counts(change) == {"applied": 150}
    assert all(sandbox.batch(name)["paused"] for name in ids)
    assert all(sandbox.batch(name)["call_rate"] == 30 for name in ids)
    assert_all_agree(sandbox, pause, pace)


def test_opposite_wishes_at_once_end_as_conflicts_of_the_second(
    sandbox: EmbeddedSandbox, operator: User
) -> None:
    fill(sandbox, 60)
    pause, resume = confirmed(operator, PAUSE), confirmed(operator, RESUME)
    drive_to_the_end(resume, operator)
    drive_to_the_end(pause, operator)
    assert lifecycle.counts(pause) == {"applied": 60}
    assert lifecycle.counts(resume) == {"conflict": 60}
    assert_all_agree(sandbox, pause, resume)


def test_a_batch_at_work_for_one_change_is_left_by_the_other(
    sandbox: EmbeddedSandbox, operator: User
) -> None:
    fill(sandbox, 3)
    first, second = confirmed(operator, BatchPatch(call_rate=9)), confirmed(operator, PAUSE)
    assert len(leases.claim(first, "one", 2)) == 2
    assert [item.batch_id for item in leases.claim(second, "two", 3)] == ["20261124.2"]


def test_claiming_many_takes_as_few_queries_as_claiming_one(
    sandbox: EmbeddedSandbox,
    operator: User,
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    fill(sandbox, 50)
    change = confirmed(operator)
    change = Change.objects.get(pk=change.pk)
    with django_assert_max_num_queries(4):
        items = leases.claim(change, "one", 50)
        assert [item.requested(change) for item in items] == [PAUSE] * 50
        assert len({item.batch.campaign_id for item in items}) == 1


def test_what_reaches_people_never_overtakes_an_earlier_change_of_the_same_batch(
    sandbox: EmbeddedSandbox, operator: User
) -> None:
    fill(sandbox, 3)
    pause, faster = confirmed(operator, PAUSE), confirmed(operator, BatchPatch(call_rate=9))
    assert leases.claim(faster, "two", 3) == []
    assert len(leases.claim(pause, "one", 3)) == 3


def test_a_pause_overtakes_and_what_it_overtook_does_not_undo_it(
    sandbox: EmbeddedSandbox, operator: User
) -> None:
    """Also a pause that finds the batch paused already is the later wish, and counts."""
    ids = fill(sandbox, 3, paused=True)
    resume, pause = confirmed(operator, RESUME), confirmed(operator, PAUSE)
    Change.objects.filter(pk=resume.pk).update(waiting_until=timezone.now() + ONE_MINUTE)
    driver.drive()
    assert lifecycle.counts(pause) == {"unchanged": 3}
    Change.objects.filter(pk=resume.pk).update(waiting_until=None)
    drive_to_the_end(resume, operator)
    assert lifecycle.counts(resume) == {"conflict": 3}
    assert all(sandbox.batch(name)["paused"] for name in ids)
    assert_all_agree(sandbox, resume, pause)


@pytest.mark.parametrize("number", [3, 70])
def test_a_pause_counts_also_where_an_earlier_resume_came_first(
    sandbox: EmbeddedSandbox, operator: User, number: int
) -> None:
    """The person saw them paused, while a resume was on its way that was confirmed before."""
    ids = fill(sandbox, number, paused=True)
    resume = confirmed(operator, RESUME)
    batches = Batch.objects.all()
    actor = audit.Actor.of_user(operator)
    pause = drafts.draft(batches, PAUSE, user=operator, actor=actor, source=Change.Source.ACTION)
    drive_to_the_end(resume, operator)
    sandbox.edit_batch(ids[0], call_rate=99)
    lifecycle.confirm(pause, user=operator, actor=actor, reason="a test", typed_count=number)
    drive_to_the_end(pause, operator)
    assert lifecycle.counts(pause) == {"applied": number}
    assert all(sandbox.batch(name)["paused"] for name in ids)
    assert_all_agree(sandbox, resume, pause)


def test_a_pause_is_no_answer_to_what_others_resumed_meanwhile(
    sandbox: EmbeddedSandbox, operator: User
) -> None:
    ids = fill(sandbox, 3, paused=True)
    drive_to_the_end(confirmed(operator, RESUME), operator)
    drive_to_the_end(confirmed(operator, PAUSE), operator)
    pause = confirmed(operator, PAUSE)
    sandbox.edit_batch(ids[0], paused=False)
    drive_to_the_end(pause, operator)
    assert lifecycle.counts(pause) == {"conflict": 1, "unchanged": 2}


def test_a_stopped_change_stops_long_before_its_last_batch(
    sandbox: EmbeddedSandbox, operator: User, olivia: audit.Actor, in_background: Background
) -> None:
    fill(sandbox, 400)
    change = confirmed(operator)
    sandbox.set_faults(latency=0.1)
    worker = in_background(driver.drive)
    wait_for(lambda: len(sandbox.journal(method="PUT")) > 40)
    lifecycle.stop(change, user=operator, actor=olivia)
    worker.join(30)
    numbers = lifecycle.counts(change)
    assert set(numbers) == {"applied", "stopped"}
    assert numbers["applied"] == len(sandbox.journal(method="PUT"))
    assert_all_agree(sandbox, change)


def test_a_change_that_waits_at_the_vendors_gate_stops_before_it_opens(
    sandbox: EmbeddedSandbox,
    operator: User,
    olivia: audit.Actor,
    in_background: Background,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("batchops.syllable.limits.GATE_CAP_SECONDS", 600.0)
    fill(sandbox, 100)
    change = confirmed(operator)
    sandbox.set_faults(
        rate_limited={"share": 1.0, "methods": ["PUT"]}, retry_after_seconds=600, latency=0.05
    )
    worker = in_background(driver.drive)
    wait_for(lambda: len(sandbox.journal(method="PUT")) > 0)
    lifecycle.stop(change, user=operator, actor=olivia)
    wait_for(lambda: not change.items.filter(state="sending").exists())
    sent = len(sandbox.journal(method="PUT"))
    sandbox.clear_faults()
    monkeypatch.setattr("batchops.syllable.limits.GATE_CAP_SECONDS", 0.1)
    driver.stop_when(lambda: True)
    worker.join(10)
    driver.stop_when(lambda: False)

    def are_all_stopped() -> bool:
        driver.drive()
        return lifecycle.counts(change) == {"stopped": 100}

    wait_for(are_all_stopped)
    assert len(sandbox.journal(method="PUT")) == sent
    assert_all_agree(sandbox, change)


def test_what_a_stopped_change_may_have_sent_is_settled_by_reading_alone(
    sandbox: EmbeddedSandbox, operator: User, olivia: audit.Actor
) -> None:
    ids = fill(sandbox, 4)
    change = confirmed(operator)
    leases.claim(change, "of a worker that died", 4)
    sandbox.edit_batch(ids[0], paused=True)
    leases.reclaim_expired()
    lifecycle.stop(change, user=operator, actor=olivia)
    ChangeItem.objects.update(lease_until=timezone.now())
    time.sleep(0.01)
    driver.drive()
    assert lifecycle.counts(change) == {"applied": 1, "stopped": 3}
    assert not sandbox.journal(method="PUT")
    assert_all_agree(sandbox, change)


def test_of_a_stopped_change_only_what_may_have_been_sent_is_claimed(
    sandbox: EmbeddedSandbox, operator: User
) -> None:
    fill(sandbox, 3)
    change = confirmed(operator)
    leases.claim(change, "of a worker that died", 1)
    ChangeItem.objects.filter(state="sending").update(state="pending", lease="", lease_until=None)
    Change.objects.update(state=ChangeState.STOPPED)
    change.refresh_from_db()
    assert len(leases.claim(change, "of another", 3)) == 1


@pytest.mark.parametrize("fault", ["error_503", "unauthorized"])
def test_doubts_of_a_stopped_change_wait_for_the_vendor(
    sandbox: EmbeddedSandbox, operator: User, olivia: audit.Actor, fault: str
) -> None:
    fill(sandbox, 2)
    change = confirmed(operator)
    leases.claim(change, "of a worker that died", 2)
    ChangeItem.objects.update(lease_until=timezone.now())
    lifecycle.stop(change, user=operator, actor=olivia)
    sandbox.set_faults(**{fault: 1.0})
    driver.drive()
    assert lifecycle.counts(change) == {"pending": 2}
    sandbox.clear_faults()
    time.sleep(0.4)
    driver.drive()
    assert lifecycle.counts(change) == {"stopped": 2}


def test_outreach_is_not_started_in_the_name_of_someone_who_was_deactivated(
    sandbox: EmbeddedSandbox,
    operator: User,
    make_person: Callable[..., User],
    in_background: Background,
) -> None:
    fill(sandbox, 300, paused=True)
    change = confirmed(operator, RESUME)
    sandbox.set_faults(latency=0.1)
    worker = in_background(driver.drive)
    wait_for(lambda: len(sandbox.journal(method="PUT")) > 20)
    User.objects.filter(pk=operator.pk).update(is_active=False)
    worker.join(10)
    change.refresh_from_db()
    assert "no longer active" in change.halted_reason
    assert lifecycle.counts(change)["pending"] > 0
    sandbox.set_faults(latency=0)
    drive_to_the_end(change, make_person("oscar", "Operator"))
    assert lifecycle.counts(change) == {"applied": 300}
    assert_all_agree(sandbox, change)


def test_a_pause_goes_on_although_its_author_was_deactivated(
    sandbox: EmbeddedSandbox, operator: User
) -> None:
    fill(sandbox, 60)
    change = confirmed(operator)
    User.objects.filter(pk=operator.pk).update(is_active=False)
    driver.drive()
    assert lifecycle.counts(change) == {"applied": 60}
    assert_all_agree(sandbox, change)


def test_an_emergency_overtakes_a_change_whose_comparison_is_under_way(
    sandbox: EmbeddedSandbox,
    operator: User,
    in_background: Background,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(sandbox, 120)
    sandbox.add_batch(batch_id="urgent", campaign_id=1, status="ACTIVE")
    slow = confirmed(operator)
    fill(sandbox, 0)
    all_batches = list_pages.all_batches
    asked, answered = threading.Event(), threading.Event()

    def slow_list(client: SyllableClient) -> Iterator[list_pages.Fetched[BatchRecord]]:
        asked.set()
        assert answered.wait(30)
        yield from all_batches(client)

    monkeypatch.setattr(list_pages, "all_batches", slow_list)
    worker = in_background(driver.drive)
    assert asked.wait(30)
    urgent = confirmed(
        operator, PAUSE, Batch.objects.filter(pk="urgent"), priority=Change.Priority.EMERGENCY
    )
    wait_for(lambda: sandbox.batch("urgent")["paused"])
    assert len(sandbox.journal(method="PUT")) == 1
    answered.set()
    worker.join(30)
    for change in (slow, urgent):
        drive_to_the_end(change, operator)
    assert_all_agree(sandbox, slow, urgent)


def test_the_trail_names_the_person_for_every_item(
    sandbox: EmbeddedSandbox, operator: User
) -> None:
    fill(sandbox, 60)
    change = confirmed(operator)
    sandbox.set_faults(error_503=0.2)
    drive_to_the_end(change, operator)
    entries = AuditEntry.objects.filter(change_id=change.pk, action__startswith="batch.")
    assert {entry.who for entry in entries} == {"batchops, for olivia"}


def test_two_workers_overcome_faults_together(
    sandbox: EmbeddedSandbox, operator: User, in_background: Background
) -> None:
    fill(sandbox, 200)
    change = confirmed(operator)
    sandbox.set_faults(error_503=0.1, reset_after=0.1, error_500=0.1)
    workers = [in_background(until_ended(change)) for _ in range(2)]
    for worker in workers:
        worker.join(30)
    assert lifecycle.counts(change) == {"applied": 200}
    assert_all_agree(sandbox, change)
