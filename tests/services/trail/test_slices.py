"""Long work on the trail never holds the database's lock for long, and is done by one at a time."""

from __future__ import annotations

import datetime as dt

import pytest
from django.db import connection
from django.utils import timezone

from batchops.models import AuditLease
from batchops.services.trail import slices

pytestmark = pytest.mark.django_db(transaction=True)


def test_steps_are_parted_into_transactions_by_time_and_none_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(slices, "PAUSE_SECONDS", 0)
    done: list[int] = []
    transactions = 0

    def renew(_lease: slices.Lease) -> None:
        nonlocal transactions
        assert connection.in_atomic_block
        transactions += 1

    monkeypatch.setattr(slices.Lease, "renew", renew)
    for seconds, expected in ((0, 5), (60, 1)):
        done.clear()
        transactions = 0
        monkeypatch.setattr(slices, "SLICE_SECONDS", seconds)
        with slices.lease("review") as lease:
            slices.in_slices(range(1, 6), done.append, lease)
        assert done == [1, 2, 3, 4, 5]
        assert transactions == expected


def test_nothing_to_do_opens_no_transaction() -> None:
    with slices.lease("review") as lease:
        slices.in_slices([], lambda _: pytest.fail("there was no step"), lease)


def test_one_is_at_it_at_a_time_and_a_lease_lapses() -> None:
    with slices.lease("review") as mine:
        with pytest.raises(slices.Busy), slices.lease("review"):
            pass
        AuditLease.objects.update(until=timezone.now() - dt.timedelta(seconds=1))
        with slices.lease("review"), pytest.raises(slices.Busy):
            mine.renew()
    with slices.lease("review"):
        pass
