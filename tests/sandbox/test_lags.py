"""Reads that lag behind writes, lists and single batches apart."""

from __future__ import annotations

import math
import time

import pytest

from batchops.sandbox import EmbeddedSandbox
from batchops.sandbox.fault_chooser import FaultChooser
from batchops.sandbox.faults import Endpoint, Faults
from batchops.sandbox.records import make_batch
from batchops.sandbox.world import World
from tests.sandbox.plain_http import PlainHttp


@pytest.fixture(autouse=True)
def two_batches(sandbox: EmbeddedSandbox) -> None:
    """Batches named `one` and `two`, of which `two` was changed last."""
    sandbox.add_batch(batch_id="one", paused=False, last_updated_at="2026-01-01T00:00:00Z")
    sandbox.add_batch(batch_id="two", paused=False, last_updated_at="2026-01-02T00:00:00Z")


def listed(http: PlainHttp) -> list[tuple[str, bool]]:
    page = http.batches(order_by="last_updated_at", order_by_direction="desc").json()
    return [(item["batch_id"], item["paused"]) for item in page["items"]]


def single(http: PlainHttp, batch_id: str = "one") -> bool:
    return bool(http.batch(batch_id).json()["paused"])


def test_lists_alone_may_lag_order_and_dates_included(
    sandbox: EmbeddedSandbox, http: PlainHttp
) -> None:
    sandbox.set_faults(list_lag_seconds=600)
    assert http.update("one", {"paused": True}).json()["paused"] is True
    assert listed(http) == [("two", False), ("one", False)]
    assert single(http) is True
    sandbox.set_faults(list_lag_seconds=0)
    assert listed(http) == [("one", True), ("two", False)]


def test_single_reads_alone_may_lag_dates_included(
    sandbox: EmbeddedSandbox, http: PlainHttp
) -> None:
    before = http.batch("one").json()
    sandbox.set_faults(get_lag_seconds=600)
    http.update("one", {"paused": True})
    assert http.batch("one").json() == before
    assert listed(http) == [("one", True), ("two", False)]


def test_an_update_counts_from_what_truly_is_whatever_reads_show(
    sandbox: EmbeddedSandbox, http: PlainHttp
) -> None:
    sandbox.set_faults(list_lag_seconds=600, get_lag_seconds=600)
    http.update("one", {"paused": True})
    assert http.update("one", {"call_rate": 9}).json()["paused"] is True
    assert (single(http), sandbox.batch("one")["paused"]) == (False, True)


def test_batches_that_come_and_go_do_so_later_for_a_lagging_reader(
    sandbox: EmbeddedSandbox, http: PlainHttp
) -> None:
    sandbox.set_faults(list_lag_seconds=600, get_lag_seconds=600)
    sandbox.add_batch(batch_id="three")
    sandbox.vanish("one")
    assert {name for name, _ in listed(http)} == {"one", "two"}
    assert (http.batch("three").status_code, http.batch("one").status_code) == (404, 200)


def test_each_of_several_writes_is_seen_in_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1_000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    world = World(batches=[make_batch(batch_id="one", call_rate=0)])
    for rate in (1, 2, 3):
        clock[0] += 10
        world.put(make_batch(batch_id="one", call_rate=rate))
    seen = [world.as_it_was(clock[0] - ago).batches["one"].call_rate for ago in (0, 5, 15, 25, 500)]
    assert seen == [3, 2, 1, 0, 0]


def test_a_lag_begins_when_it_is_set_and_other_faults_do_not_begin_it_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [1_000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    chooser = FaultChooser(Faults.of(list_lag_seconds=60))
    clock[0] += 7
    chooser.set(chooser.faults.updated({"latency": 1}))
    assert chooser.moment_shown(Endpoint.BATCHES) == 1_000
    clock[0] += 70
    assert chooser.moment_shown(Endpoint.BATCHES) == 1_017
    assert chooser.moment_shown(Endpoint.BATCH) == math.inf


def test_some_reads_may_lag_and_others_not(sandbox: EmbeddedSandbox, http: PlainHttp) -> None:
    sandbox.set_faults(get_lag_seconds=600, lagging_share=0.5)
    http.update("one", {"paused": True})
    assert {single(http) for _ in range(60)} == {True, False}
