"""Freezes batches into the items of a draft, slice by slice.

Each slice is a transaction of its own, so that nobody's pause waits behind a selection of 100,000.
Until all are in, the change is "being drafted", which nobody can confirm; what is broken off on
the way is dropped, at once or by a worker.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from typing import Any, Final

from django.db import connection, transaction
from django.db.models import Case, F, JSONField, Q, QuerySet, UUIDField, Value, When
from django.db.models.fields import BooleanField, CharField, SmallIntegerField, TextField

from batchops.models import SUCCESS_STATES, Batch, Change, ChangeItem, ItemState
from batchops.services.bulk import in_chunks, sql_of
from batchops.services.changes import eligibility
from batchops.services.holds import covered

SELECTED_AT_ONCE: Final = 4_000
"""Batches frozen by one statement; some tens of milliseconds on SQLite."""
WRITTEN_AT_ONCE: Final = 150
"""Items written in one transaction, where each is made by itself; some tens of milliseconds too."""
READ_AT_ONCE: Final = 1_000

Plan = ChangeItem.Plan


def selection(change: Change, batches: QuerySet[Batch], now: dt.datetime) -> None:
    """Freeze a selection whose batches are all asked for the same, in the order of their ids."""
    for part in _slices(batches.order_by()):
        with transaction.atomic():
            _insert(change, part, now)


def each(items: Iterable[ChangeItem]) -> None:
    """Write items that are each made by themselves."""
    for chunk in in_chunks(items, WRITTEN_AT_ONCE):
        with transaction.atomic():
            ChangeItem.objects.bulk_create(chunk)


def pages(items: QuerySet[ChangeItem]) -> Iterator[ChangeItem]:
    """Items in order, read page by page: no reading stays open while something is written."""
    last = 0
    while page := list(items.filter(pk__gt=last).order_by("pk")[:READ_AT_ONCE]):
        yield from page
        last = page[-1].pk


def drop_items(change: Change) -> None:
    """Delete all items of a draft, slice by slice."""
    while keys := list(change.items.order_by("pk").values_list("pk", flat=True)[:SELECTED_AT_ONCE]):
        with transaction.atomic():
            change.items.filter(pk__gte=keys[0], pk__lte=keys[-1]).delete()


def _slices(batches: QuerySet[Batch]) -> Iterator[QuerySet[Batch]]:
    after = ""
    while True:
        rest = batches.filter(pk__gt=after)
        ids = rest.order_by("pk").values_list("pk", flat=True)
        end = list(ids[SELECTED_AT_ONCE - 1 : SELECTED_AT_ONCE])
        if not end:
            yield rest
            return
        yield rest.filter(pk__lte=end[0])
        after = end[0]


def _insert(change: Change, batches: QuerySet[Batch], now: dt.datetime) -> None:
    """Freeze batches into items by one INSERT … SELECT."""
    patch = change.patch
    skipped = {"plan_": Plan.SKIP}
    plan, message = eligibility.plan(patch), eligibility.skip_message(patch)
    if patch.paused is False:
        # What is gone or has ended says so first; what others hold stays paused.
        is_kept = ~eligibility.ineligible(patch) & Q(covered.kept(change))
        plan = _unless_kept(is_kept, Plan.SKIP.value, plan)
        message = _unless_kept(is_kept, covered.KEPT, message)
    columns: dict[str, Any] = {
        "change_id": Value(change.pk, UUIDField()),
        "batch_id": F("batch_id"),
        "plan": plan,
        "state": Case(
            When(**skipped, then=Value(ItemState.SKIPPED.value)),
            default=Value(ItemState.PENDING.value),
            output_field=CharField(),
        ),
        "expands_outreach": Case(
            When(eligibility.expands_outreach(patch, now), then=Value(True)),
            default=Value(False),
            output_field=BooleanField(),
        ),
        "message": message,
        "before_paused": F("paused"),
        "before_expires_on": F("expires_on"),
        "before_call_rate": F("call_rate"),
        "before_auto_call_rate": F("auto_call_rate"),
        "before_status": F("status"),
        "attempts": Value(0, SmallIntegerField()),
        "lease": Value("", CharField()),
        "confirmation": Value("", CharField()),
        "unrequested": Value([], JSONField()),
    }
    selected = {f"{name}_": value for name, value in columns.items()}
    source = (
        Batch.objects.filter(pk__in=batches.values("pk"))
        .annotate(**selected)
        .order_by("batch_id")
        .values_list(*selected)
    )
    query = sql_of(source)
    if query is None:
        return
    select, parameters = query
    names = ", ".join(connection.ops.quote_name(name) for name in columns)
    table = connection.ops.quote_name(ChangeItem._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {table} ({names}) {select}", parameters)


def _unless_kept(is_kept: Q, value: str, otherwise: Case) -> Case:
    return Case(When(is_kept, then=Value(value)), default=otherwise, output_field=TextField())


def undone(change: Change) -> QuerySet[ChangeItem]:
    """What changes that undo this one have put back, or found as it was before."""
    return ChangeItem.objects.filter(
        change__follows=change, change__source=Change.Source.UNDO, state__in=SUCCESS_STATES
    )
