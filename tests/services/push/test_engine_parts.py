"""The small parts of the engine: intervals, a database that is gone, and its leases."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError
from pytest_django import Settings

from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.services import vendor
from batchops.services.attempts.dispatcher import Dispatcher, running_clock
from batchops.services.push.database_outage import DatabaseOutage
from batchops.services.push.intervals import Interval
from batchops.services.push.lease_keeper import LeaseKeeper
from batchops.services.runs import leases
from tests.services.push.world import confirmed, fill

GONE = OperationalError("server closed the connection unexpectedly")


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("at_once", [True, False])
def test_an_interval_is_due_once_each_time(at_once: bool) -> None:
    clock = Clock()
    interval = Interval(5, at_once=at_once, clock=clock)
    assert interval.is_due() is at_once
    assert not interval.is_due()
    clock.now += 5
    assert interval.is_due()
    assert not interval.is_due()


@pytest.mark.django_db(transaction=True)
def test_a_database_may_be_gone_for_a_while_and_not_for_ever() -> None:
    clock = Clock()
    outage = DatabaseOutage(clock)
    for _ in range(3):
        outage.goes_on(GONE)
        outage.is_over()
        clock.now += 1_000
    assert not outage.is_on
    outage.goes_on(GONE)
    clock.now += 1_000
    with pytest.raises(OperationalError):
        outage.goes_on(GONE)


@pytest.mark.django_db
def test_leases_are_renewed_and_what_others_took_over_is_sent_no_more(
    sandbox: EmbeddedSandbox, operator: User, settings: Settings
) -> None:
    settings.PUSH_LEASE_SECONDS = 0
    fill(sandbox, 3)
    dispatcher = Dispatcher(vendor.client(), 1)
    keeper = LeaseKeeper(dispatcher)
    items = leases.claim(confirmed(operator), keeper.name, 3)
    items[0].lease = "of another worker"
    items[0].save(update_fields=["lease"])
    settings.PUSH_LEASE_SECONDS = 60
    assert keeper.renew_when_due({item.pk for item in items}) == {items[0].pk}
    assert dispatcher.lost == {items[0].pk}
    assert dispatcher.leased_until > running_clock()
    assert not keeper.is_half_over()


@pytest.mark.django_db
def test_only_what_its_worker_does_not_know_of_is_taken_from_under_a_lease(
    sandbox: EmbeddedSandbox, operator: User
) -> None:
    fill(sandbox, 3)
    change = confirmed(operator)
    known, _, _ = leases.claim(change, "mine", 3)
    assert leases.reclaim_unknown("of another worker", set()) == 0
    assert leases.reclaim_unknown("mine", {known.pk}) == 2
    assert change.items.filter(state="sending").get().pk == known.pk
    assert change.items.filter(state="pending", attempts=1, lease="").count() == 2
