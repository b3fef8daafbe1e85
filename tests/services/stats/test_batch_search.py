"""A search finds what reading all ids and all names would find, whichever index serves it."""

from __future__ import annotations

import shlex
from typing import Final

import pytest
from django.db import connection, transaction
from hypothesis import given
from hypothesis import strategies as st

from batchops.models import Batch, BatchCount
from batchops.services.stats import batch_search, kept_counts
from tests.services.changes import world

pytestmark = pytest.mark.django_db

NAMES: Final = {1: "Flu 65+", 2: "Ab initio", 3: "100% late"}
LETTERS: Final = 'ab0-."%_\\ '
ids = st.text(LETTERS, min_size=1, max_size=8).filter(lambda text: bool(text.strip()))
words = st.lists(st.text("AaBb0-.%_", min_size=1, max_size=4), max_size=3)


def expected(words: list[str]) -> set[str]:
    def has(batch: Batch, word: str) -> bool:
        batch_id, word = batch.pk.lower(), word.lower()
        of_id = batch_id.startswith(word) if len(word) < 3 else word in batch_id
        return of_id or word in NAMES[batch.campaign_id].lower()

    return {batch.pk for batch in Batch.objects.all() if all(has(batch, word) for word in words)}


def found(text: str) -> set[str]:
    return set(batch_search.search(text).narrow(Batch.objects.all()).values_list("pk", flat=True))


@pytest.mark.parametrize("many", [0, 20_000], ids=["frequent words", "rare words"])
@pytest.mark.parametrize("table", [batch_search.IDS, "no_such_table"], ids=["indexed", "read"])
@given(st.sets(ids, max_size=6), words)
def test_a_search_finds_what_reading_everything_finds(
    many: int, table: str, ids: set[str], words: list[str]
) -> None:
    with pytest.MonkeyPatch.context() as patch, transaction.atomic():
        patch.setattr(batch_search, "MANY", many)
        patch.setattr(batch_search, "IDS", table)
        for number, name in NAMES.items():
            world.campaign(number, campaign_name=name)
        for number, batch_id in enumerate(sorted(ids)):
            world.batch(batch_id, campaign_id=number % 3 + 1)
        assert found(" ".join(words)) == expected(words)
        numbers = batch_search.search(" ".join(words)).count(BatchCount.objects.all())
        assert numbers is None or numbers.total() == len(expected(words))
        transaction.set_rollback(True)


def test_what_stands_in_quotes_is_one_word() -> None:
    world.batch("late list 7")
    world.batch("list late 7")
    assert found(shlex.quote("late list")) == {"late list 7"}
    assert found('late "list 7"') == {"late list 7"}
    assert found('"') == set()


def test_ids_that_came_while_the_trigger_was_missing_are_found_after_the_next_migrate() -> None:
    with connection.cursor() as cursor:
        on = "" if connection.vendor == "sqlite" else f" ON {kept_counts.SEARCH.BATCHES}"
        cursor.execute(f"DROP TRIGGER {kept_counts.SEARCH.TRIGGER}{on}")
    world.batch("unseen-1")
    assert found("seen") == set()
    kept_counts.ensure()
    world.batch("seen-2")
    assert found("seen") == {"unseen-1", "seen-2"}
