"""Drafts are frozen slice by slice: whole or not at all, and nobody waits for a long lock."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from batchops import audit
from batchops.models import AuditEntry, Batch, Campaign, Change, ChangeItem, ChangeState
from batchops.services.changes import drafts, emergency, freezing, lifecycle
from batchops.services.errors import EmptySelection, InvalidInput, WrongState
from tests.services.changes.world import batch, batches, confirm, draft, ended

pytestmark = pytest.mark.django_db


def by(user: User) -> dict[str, Any]:
    return {"user": user, "actor": audit.Actor.of_user(user)}


@pytest.fixture(autouse=True)
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SELECTED_AT_ONCE", "WRITTEN_AT_ONCE", "READ_AT_ONCE"):
        monkeypatch.setattr(freezing, name, 3)


@contextmanager
def dying_at_insert(number: int) -> Iterator[None]:
    """The process ends at its n-th insert of items, as by a power cut."""
    seen = 0

    def watch(execute: Any, sql: str, parameters: Any, many: bool, context: Any) -> Any:
        nonlocal seen
        if sql.startswith("INSERT") and "changeitem" in sql:
            seen += 1
            if seen == number:
                raise SystemExit
        return execute(sql, parameters, many, context)

    with connection.execute_wrapper(watch), pytest.raises(SystemExit):
        yield


@pytest.mark.parametrize("number", [1, 2, 3, 4, 6, 7])
def test_every_batch_is_frozen_once_wherever_slices_end(operator: User, number: int) -> None:
    batches(number)
    change = draft(operator)
    assert change.item_count == number
    frozen = list(change.items.order_by("pk").values_list("batch_id", flat=True))
    assert frozen == sorted(Batch.objects.values_list("pk", flat=True))


def test_a_selection_that_is_a_question_is_frozen_by_its_answer(operator: User) -> None:
    batches(4)
    for index in range(5):
        batch(f"other-{index}", campaign_id=2)
    found = Batch.objects.filter(campaign__in=Campaign.objects.filter(pk=2)).order_by("-pk")
    assert draft(operator, batches=found).item_count == 5


def test_an_undo_of_many_puts_back_each_once(operator: User) -> None:
    batches(8)
    undo = drafts.draft_undo(ended(operator), **by(operator))
    assert undo.item_count == undo.acting_count == undo.expanding_count == 8


@pytest.mark.parametrize("drafting", ["selection", "undo", "retry"])
def test_what_fails_on_the_way_leaves_nothing(operator: User, drafting: str) -> None:
    batches(8)
    done = ended(operator)
    tries: dict[str, Callable[[], object]] = {
        "selection": lambda: draft(operator),
        "undo": lambda: drafts.draft_undo(done, **by(operator)),
        "retry": lambda: drafts.draft_retry(done, **by(operator)),
    }
    done.items.update(state="failed" if drafting == "retry" else "applied")
    entries = AuditEntry.objects.count()
    with dying_at_insert(2):
        tries[drafting]()
    assert list(Change.objects.all()) == [done]
    assert ChangeItem.objects.count() == 8
    assert AuditEntry.objects.count() == entries


def test_what_broke_off_is_nobodys_to_confirm_and_is_dropped_by_a_worker(
    operator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches(8)
    with monkeypatch.context() as patch, dying_at_insert(2):
        # A process that is killed cleans up nothing.
        patch.setattr(drafts, "_abandon", lambda change: None)
        draft(operator)
    half = Change.objects.get()
    assert half.state == ChangeState.DRAFTING
    assert not Change.objects.visible().exists()
    with pytest.raises(WrongState, match="still being drafted"):
        confirm(half, operator)
    with pytest.raises(WrongState):
        lifecycle.discard(half, **by(operator))
    drafts.expire_drafts()
    assert Change.objects.exists(), "it may still be under way"
    Change.objects.update(created_at=timezone.now() - 2 * drafts.DRAFTING_LIFETIME)
    drafts.expire_drafts()
    assert not Change.objects.exists()
    assert not ChangeItem.objects.exists()


def test_items_left_by_a_discard_that_broke_off_go_later(operator: User) -> None:
    batches(8)
    change = draft(operator)
    Change.objects.update(state=ChangeState.DISCARDED, finished_at=timezone.now())
    drafts.expire_drafts()
    assert not change.items.exists()


def test_nothing_selected_leaves_nothing(operator: User) -> None:
    for nothing in (Batch.objects.none(), Batch.objects.filter(pk="no such")):
        with pytest.raises(EmptySelection):
            draft(operator, batches=nothing)
    assert not Change.objects.exists()


# Room ----------------------------------------------------------------------------------------


def test_a_person_has_only_so_many_drafts_open_and_an_emergency_finds_room(
    operator: User, make_person: Callable[..., User], settings: Settings
) -> None:
    settings.OPEN_DRAFTS = 2
    batches(1)
    first = draft(operator)
    draft(operator)
    with pytest.raises(InvalidInput, match="2 drafts open"):
        draft(operator)
    assert emergency.draft_pause(**by(operator)).state == ChangeState.DRAFT
    draft(make_person("otto", "Operator"))
    lifecycle.discard(first, **by(operator))
    Change.objects.filter(priority=Change.Priority.EMERGENCY).delete()
    assert draft(operator).state == ChangeState.DRAFT


# Locks ---------------------------------------------------------------------------------------


def test_no_transaction_writes_more_than_a_slice(
    operator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each slice is a transaction of its own, so that others come to write in between."""
    batches(10)
    sizes: list[int] = []
    insert = freezing._insert

    def counted(change: Change, part: Any, now: dt.datetime) -> None:
        before = change.items.count()
        insert(change, part, now)
        sizes.append(change.items.count() - before)

    monkeypatch.setattr(freezing, "_insert", counted)
    draft(operator)
    assert sizes == [3, 3, 3, 1]
