"""A page of batches is the one that sorting them all would give, however it is found."""

from __future__ import annotations

import datetime as dt
from typing import Final

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from batchops.models import Batch, BatchCount
from batchops.services.stats import batch_pages
from batchops.services.stats.batch_pages import Matching
from tests.services.changes import world

pytestmark = pytest.mark.django_db

SIZE: Final = 7
COLUMNS: Final = [*batch_pages.ORDERS, "dispatch_id"]


@pytest.fixture
def many() -> None:
    """Batches that share many values, in campaigns of which two have the same name."""
    now = timezone.now()
    for number in (1, 2, 3):
        world.campaign(number, campaign_name="Flu" if number > 1 else "Refills")
    for number in range(40):
        world.batch(
            f"b-{number * 7 % 40:02}",
            campaign_id=number % 3 + 1,
            status=["ACTIVE", "PAUSED", "EXPIRED"][number % 3],
            paused=[True, False, None, False][number % 4],
            expires_on=now + dt.timedelta(hours=number % 5) if number % 6 else None,
            call_rate=[None, 5, 7][number % 3],
            last_updated_at=now - dt.timedelta(hours=number % 9) if number % 7 else None,
            deleted_at=now if number % 13 == 0 else None,
        )


@pytest.mark.parametrize("few", [0, 5_000], ids=["walked", "sorted"])
@pytest.mark.parametrize("column", [*COLUMNS, *(f"-{name}" for name in COLUMNS)])
def test_the_pages_are_those_of_a_sorted_list(
    many: None, column: str, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_pages, "FEW", few)
    for batches, counts in (
        (Batch.objects.present(), BatchCount.objects.present()),
        (Batch.objects.filter(status="ACTIVE"), BatchCount.objects.filter(status="ACTIVE")),
        (Batch.objects.filter(campaign_id=2), BatchCount.objects.filter(campaign_id=2)),
        (Batch.objects.filter(pk__contains="1"), None),
        (Batch.objects.none(), None),
    ):
        listed = batches.order_by(*batch_pages.order(column))
        everything = list(listed.values_list("pk", flat=True))
        matching = batch_pages.count(listed, counts)
        assert matching.number == len(everything)
        for start in range(0, len(everything) + SIZE, SIZE):
            found = batch_pages.keys(listed, matching, start, start + SIZE)
            assert found == everything[start : start + SIZE]


@pytest.mark.parametrize("column", list(batch_pages.INDEXES))
def test_of_many_batches_a_page_is_read_from_an_index_and_nothing_is_sorted(
    many: None, column: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_pages, "FEW", 0)
    for name in (column, f"-{column}"):
        listed = Batch.objects.present().order_by(*batch_pages.order(name))
        for start in (0, 28):
            with CaptureQueriesContext(connection) as queries:
                batch_pages.keys(listed, Matching(40), start, start + SIZE)
            plan = how_it_is_read(queries[0]["sql"])
            assert "INDEX" in plan
            assert "SORT" not in plan
            assert "TEMP B-TREE" not in plan


def how_it_is_read(statement: str) -> str:
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute(f"EXPLAIN QUERY PLAN {statement}")
        else:
            # Its statistics say that there are few, which it would read and sort.
            cursor.execute("SET LOCAL enable_sort = off; SET LOCAL enable_seqscan = off")
            cursor.execute(f"EXPLAIN {statement}")
        return "\n".join(str(row[-1]) for row in cursor.fetchall()).upper()


def test_of_which_nobody_keeps_the_number_are_counted_up_to_a_limit(
    many: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_pages, "COUNT_LIMIT", 10)
    batches = Batch.objects.order_by("pk")
    assert batch_pages.count(batches, None) == Matching(10, is_exact=False)
    assert batch_pages.count(batches.filter(pk__lt="b-10"), None) == Matching(10)
    assert batch_pages.keys(batches, Matching(10, is_exact=False), 7, 14) == [
        "b-07",
        "b-08",
        "b-09",
    ]
