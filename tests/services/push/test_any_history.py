"""Whatever happens in whatever order: no false fact, and the vendor ends as was last wished."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import time_machine
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.utils import timezone
from hypothesis import Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pytest_django import Settings

from batchops.models import Action, AuditEntry, Batch, Change, ChangeItem, SyncRun
from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.sandbox.records import CONSOLE_USER
from batchops.sandbox.vendor import KEY_OWNER
from batchops.services.errors import ChangeError
from batchops.services.mirror import refresh, sync
from batchops.services.push import driver
from batchops.services.runs import leases, read_back
from batchops.syllable.patch import BatchPatch
from tests.services.push.world import confirmed

pytestmark = pytest.mark.django_db(transaction=True)

LAG = 120
BATCHES = 3
WISHES = (
    BatchPatch(paused=True),
    BatchPatch(paused=False),
    BatchPatch(call_rate=10),
    BatchPatch(call_rate=20),
    BatchPatch(paused=True, call_rate=30),
)
_numbers = itertools.count()

choices = st.sets(st.integers(0, BATCHES - 1), min_size=1)
steps = st.one_of(
    st.tuples(st.just("change"), choices, st.sampled_from(WISHES)),
    st.tuples(st.just("change_by_pages"), choices, st.sampled_from(WISHES)),
    st.tuples(st.just("die_while_sending"), choices, st.sampled_from(WISHES), st.booleans()),
    st.tuples(st.just("edit_outside"), st.integers(0, BATCHES - 1), st.sampled_from(WISHES[:2])),
    st.tuples(st.just("rate_outside"), st.integers(0, BATCHES - 1), st.integers(900, 990)),
    st.tuples(st.just("sync"), st.sampled_from(list(SyncRun.Kind))),
    st.tuples(st.just("refresh"), st.integers(0, BATCHES - 1)),
    st.tuples(st.just("drive")),
    st.tuples(st.just("read_back")),
    st.tuples(st.just("lag"), st.booleans(), st.booleans(), st.sampled_from([0.5, 1.0])),
    st.tuples(st.just("lose_replies"), st.integers(1, 3)),
    st.tuples(st.just("fail_reads"), st.integers(1, 3)),
    st.tuples(st.just("wait"), st.sampled_from([1, 10, LAG + 1])),
)


@dataclass
class World:
    """Some batches of their own, a clock that goes forward, and what was really done by others."""

    sandbox: EmbeddedSandbox
    operator: User
    monkeypatch: pytest.MonkeyPatch
    clock: time_machine.Traveller
    ids: list[str] = field(default_factory=list)
    lags: tuple[bool, bool, float] | None = None
    waited: int = 0
    others: set[tuple[str, str, object]] = field(default_factory=set)

    def __post_init__(self) -> None:
        name = next(_numbers)
        self.ids = [f"{name}.{index}" for index in range(BATCHES)]
        for batch_id in self.ids:
            self.sandbox.add_batch(
                batch_id=batch_id, campaign_id=1, status="ACTIVE", paused=False, call_rate=5
            )
        self.sync(SyncRun.Kind.FULL)

    def chosen(self, numbers: set[int]) -> QuerySet[Batch]:
        return Batch.objects.filter(pk__in=[self.ids[number] for number in numbers])

    def change(self, numbers: set[int], wish: BatchPatch) -> None:
        self.clock.shift(0.01)
        confirmed(self.operator, wish, self.chosen(numbers))
        self.drive()

    def change_by_pages(self, numbers: set[int], wish: BatchPatch) -> None:
        with self.monkeypatch.context() as patched:
            patched.setattr("batchops.services.runs.preflight.better_one_by_one", lambda _: False)
            self.change(numbers, wish)

    def die_while_sending(self, numbers: set[int], wish: BatchPatch, arrived: bool) -> None:
        change = confirmed(self.operator, wish, self.chosen(numbers))
        for item in leases.claim(change, "of a worker that died", 2):
            if arrived:
                values = dict(wish.requested_values())
                self.sandbox.edit_batch(item.batch_id, **values, last_updated_by=KEY_OWNER)
        # By the clock of the database, which does not travel.
        long_ago = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
        change.items.filter(state="sending").update(lease_until=long_ago)

    def edit_outside(self, number: int, wish: BatchPatch) -> None:
        self._edit(number, **dict(wish.requested_values()))

    def rate_outside(self, number: int, rate: int) -> None:
        self._edit(number, call_rate=rate)

    def _edit(self, number: int, **values: object) -> None:
        self.clock.shift(2)
        batch_id = self.ids[number]
        self.sandbox.edit_batch(batch_id, **values)
        self.others |= {(batch_id, name, value) for name, value in values.items()}
        self.clock.shift(2)

    def sync(self, kind: SyncRun.Kind) -> None:
        sync.run_sync(kind)

    def refresh(self, number: int) -> None:
        refresh.refresh([self.ids[number]])

    def drive(self) -> None:
        Change.objects.update(waiting_until=None)
        driver.drive()

    def read_back(self) -> None:
        read_back.all_due()

    def lag(self, lists: bool, single: bool, share: float) -> None:
        self.lags, self.waited = (lists, single, share), 0
        self.sandbox.set_faults(list_lag_seconds=0.0, get_lag_seconds=0.0)
        self.sandbox.set_faults(
            list_lag_seconds=100.0 * lists, get_lag_seconds=100.0 * single, lagging_share=share
        )

    def lose_replies(self, times: int) -> None:
        self.sandbox.set_faults(reset_after={"share": 1.0, "methods": ["PUT"], "times": times})

    def fail_reads(self, times: int) -> None:
        self.sandbox.set_faults(error_500={"share": 1.0, "endpoints": ["batch"], "times": times})

    def wait(self, seconds: int) -> None:
        self.waited += seconds
        self.clock.shift(seconds)
        if self.lags and self.waited > 60:
            # No read lags for longer than the vendor's do.
            self.lag(*self.lags)

    def end(self) -> None:
        """The vendor is well again; everything is seen through."""
        self.sandbox.clear_faults()
        for _ in range(3):
            self.clock.shift(LAG + 1)
            self.drive()
            self.sync(SyncRun.Kind.FULL)
            read_back.all_due()


def check(world: World) -> None:
    ours = AuditEntry.objects.filter(batch_id__in=world.ids)
    for entry in ours.filter(outcome="outside").exclude(action=Action.BATCH_STATUS_CHANGED):
        assert entry.actor_name == CONSOLE_USER, describe(world, entry)
        for name in entry.detail["fields"]:
            done = (entry.batch_id, name, (entry.after or {})[name])
            assert done in world.others, describe(world, entry)
    touched = {batch_id for batch_id, _, _ in world.others}
    for entry in ours.filter(outcome__in=["unrequested", "not_confirmed", "refuted"]):
        assert entry.batch_id in touched, describe(world, entry)
    for entry in ours.filter(action=Action.BATCH_APPLIED, detail__in_doubt=False):
        if entry.batch_id not in touched:
            assert entry.before != entry.after or "200" in entry.detail["tries"]
    for batch_id in world.ids:
        at_the_vendor, row = world.sandbox.batch(batch_id), Batch.objects.get(pk=batch_id)
        assert (row.paused, row.call_rate) == (at_the_vendor["paused"], at_the_vendor["call_rate"])
        assert not row.change_items.filter(state__in=["pending", "sending"]).exists()
        if batch_id not in touched:
            assert_last_wish(row)


def assert_last_wish(row: Batch) -> None:
    """Nobody else touched it: each field is as the last change of ours that was carried out."""
    carried_out = row.change_items.filter(state__in=["applied", "unchanged"])
    wished: dict[str, object] = {"paused": False, "call_rate": 5}
    for item in carried_out.select_related("change").order_by("settled_at"):
        wished |= dict(item.requested(item.change).requested_values())
    assert {name: getattr(row, name) for name in wished} == wished
    assert not row.change_items.filter(state__in=["failed", "refused", "not_applied"]).exists()


def describe(world: World, entry: AuditEntry) -> str:
    items = ChangeItem.objects.filter(batch_id=entry.batch_id).order_by("pk")
    told = [(str(i.change.patch), i.state, i.message) for i in items]
    return (
        f"{entry.action} by {entry.actor_name}: {entry.before} -> {entry.after} "
        f"{entry.detail}; {told}; others did {world.others}"
    )


@hypothesis_settings(
    # Without making it smaller: each history takes a second, and the message tells enough.
    phases=[Phase.generate],
    max_examples=20,
)
@given(st.lists(steps, min_size=3, max_size=10))
def test_no_history_leads_to_a_false_fact_or_a_lost_wish(
    sandbox: EmbeddedSandbox,
    operator: User,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    history: list[tuple[object, ...]],
) -> None:
    settings.SYLLABLE_READ_LAG = LAG
    sandbox.clear_faults()
    # Each history begins after the one before, since the database remembers.
    begins = timezone.now() + dt.timedelta(seconds=2_000 * next(_numbers))
    with time_machine.travel(begins, tick=True) as clock:
        world = World(sandbox, operator, monkeypatch, clock)
        for name, *arguments in history:
            step: Callable[..., None] = getattr(world, str(name))
            try:
                step(*arguments)
            except ChangeError:
                # Nothing is left to do, for example.
                continue
        world.end()
        check(world)
