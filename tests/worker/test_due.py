"""What is due is found by asking the database, in one query, whether or not anybody told it."""

from __future__ import annotations

import datetime as dt

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from batchops import audit
from batchops.models import AuditHead, Change, ItemState
from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.services.changes import timed_pauses
from batchops.services.push import driver
from batchops.services.runs import due, leases
from tests.services.push.world import confirmed, fill

pytestmark = pytest.mark.django_db(transaction=True)

PAST = dt.timedelta(seconds=1)


@pytest.fixture
def change(sandbox: EmbeddedSandbox, operator: User) -> Change:
    fill(sandbox, 3)
    return confirmed(operator)


def test_where_nothing_is_due_one_query_says_so(
    change: Change, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    driver.drive()
    AuditHead.objects.get_or_create(pk=1)
    with django_assert_num_queries(2):
        assert not due.has_work()
        assert not due.keep_time()


def test_a_confirmed_change_is_work_until_all_of_it_is_under_way(change: Change) -> None:
    assert due.has_work()
    leases.claim(change, "of a worker that lives", 10)
    assert not due.has_work()


def test_a_change_that_waits_for_the_vendor_is_work_when_its_wait_is_over(change: Change) -> None:
    wait = Change.objects.filter(pk=change.pk)
    wait.update(waiting_until=timezone.now() + dt.timedelta(seconds=60))
    assert not due.has_work()
    wait.update(waiting_until=timezone.now() - PAST)
    assert due.has_work()


def test_what_is_settled_but_was_never_finished_is_work(change: Change) -> None:
    Change.objects.filter(pk=change.pk).update(state="running", started_at=timezone.now())
    change.items.update(state="applied")
    assert due.has_work()


def test_what_a_stopped_change_may_have_sent_is_work(change: Change) -> None:
    Change.objects.filter(pk=change.pk).update(state="stopped")
    change.items.filter(pk=change.items.earliest("pk").pk).update(attempts=1)
    assert due.has_work()


def test_a_scheduled_start_that_has_come_is_queued(change: Change) -> None:
    scheduled = Change.objects.filter(pk=change.pk)
    scheduled.update(state="scheduled", starts_at=timezone.now() + dt.timedelta(seconds=60))
    assert not due.keep_time()
    scheduled.update(starts_at=timezone.now() - PAST)
    assert due.keep_time()
    assert scheduled.get().state == "queued"


def test_a_lease_that_has_expired_is_reclaimed(change: Change) -> None:
    leases.claim(change, "of a worker that died", 10)
    assert not due.keep_time()
    change.items.update(lease_until=timezone.now() - PAST)
    assert due.keep_time()
    assert set(change.items.values_list("state", flat=True)) == {ItemState.PENDING}


def test_a_pause_whose_end_has_come_is_resumed(change: Change, operator: User) -> None:
    driver.drive()
    later = timezone.now() + dt.timedelta(hours=1)
    timed_pauses.move_resume(change, later, user=operator, actor=audit.Actor.of_user(operator))
    assert not due.keep_time()
    Change.objects.filter(pk=change.pk).update(resume_at=timezone.now() - PAST)
    assert due.keep_time()
    assert Change.objects.filter(source=Change.Source.END).exists()
    assert not due.keep_time()
