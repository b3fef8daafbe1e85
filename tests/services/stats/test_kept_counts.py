"""The numbers that the database keeps are those that counting would find."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest
from django.db import connection, transaction
from django.db.models import Count, Q, Sum
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from batchops.models import Batch, BatchCount
from batchops.services.mirror import store
from batchops.services.stats import kept_counts
from tests.services.changes import world

pytestmark = pytest.mark.django_db

NAMES: Final = [f"b-{number}" for number in range(6)]
DATES: Final = ("deleted_at", "missing_since", "changed_externally_at", "id_shared_since")
FIELDS: Final[dict[str, list[Any]]] = {
    "campaign_id": [1, 2],
    "status": ["ACTIVE", "EXPIRED", "FAILED", ""],
    "paused": [True, False, None],
    "call_rate": [1, 2],
    **{name: [None, timezone.now()] for name in DATES},
}
"""What batches may become; the call rate is not counted."""

values = st.fixed_dictionaries(
    {}, optional={name: st.sampled_from(choices) for name, choices in FIELDS.items()}
)
chosen = st.sets(st.sampled_from(NAMES), min_size=1)
moves = st.lists(st.tuples(st.sampled_from(["write", "update", "delete"]), chosen, values))


def write(names: set[str], fields: dict[str, Any]) -> None:
    """As syncs and the push do: new ones are inserted, known ones updated, by one statement."""
    now = timezone.now()
    rows = [Batch(batch_id=name, synced_at=now, observed_at=now) for name in names]
    for row in rows:
        for field, value in {"campaign_id": 1, **fields}.items():
            setattr(row, field, value)
    store.write_rows(rows)


def update(names: set[str], fields: dict[str, Any]) -> None:
    if fields:
        Batch.objects.filter(pk__in=names).update(**fields)


def delete(names: set[str], _: dict[str, Any]) -> None:
    Batch.objects.filter(pk__in=names).delete()


MOVES: Final[dict[str, Callable[[set[str], dict[str, Any]], None]]] = {
    "write": write,
    "update": update,
    "delete": delete,
}


def kept() -> dict[tuple[Any, ...], int]:
    """The numbers by all that is told apart; several rows may be alike."""
    alike = BatchCount.objects.order_by().values_list(*kept_counts.MIGRATION.KINDS)
    return {row[:-1]: row[-1] for row in alike.annotate(batches=Sum("number")) if row[-1]}


def found() -> dict[tuple[Any, ...], int]:
    """The same by counting."""
    dated = {f"has_{name}": Q(**{f"{name}__isnull": False}) for name in DATES}
    alike = Batch.objects.order_by().annotate(**dated)
    rows = alike.values_list("campaign_id", "status", "paused", *dated).annotate(Count("pk"))
    return {row[:-1]: row[-1] for row in rows}


@given(moves)
def test_after_any_moves_the_numbers_are_those_that_counting_finds(
    moves: list[tuple[str, set[str], dict[str, Any]]],
) -> None:
    with transaction.atomic():
        world.campaign(1)
        world.campaign(2)
        for name, names, fields in moves:
            MOVES[name](names, fields)
            assert kept() == found()
        kept_counts.merge()
        assert kept() == found()
        ask_all_questions()
        transaction.set_rollback(True)


def ask_all_questions() -> None:
    for question in (
        "present",
        "missing",
        "sharing_their_id",
        "changed_externally",
        "live",
        "live_and_not_paused",
        "paused",
        "failed",
        "all",
    ):
        batches = getattr(Batch.objects.all(), question)()
        assert getattr(BatchCount.objects.all(), question)().total() == batches.count(), question


def test_what_is_rolled_back_was_never_counted() -> None:
    world.batch("b-1")
    with transaction.atomic():
        write({"b-1", "b-2"}, {"status": "EXPIRED"})
        transaction.set_rollback(True)
    assert kept() == found() != {}


def test_many_rows_that_are_alike_become_one() -> None:
    for number in range(8):
        world.batch(f"b-{number}")
    kept_counts.merge()
    assert BatchCount.objects.count() == 1
    assert kept() == found()


def test_where_a_trigger_is_missing_after_a_migration_it_is_made_anew_and_all_are_counted() -> None:
    world.batches(3)
    kept_counts.MIGRATION.remove(connection)
    world.batch("unseen", paused=True)
    assert kept() != found()
    kept_counts.ensure()
    assert kept() == found()
    world.batch("seen")
    assert kept() == found()
