"""Lists that are wrong with a 200: empty, halved, repeated, out of order, with one id twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from batchops.sandbox import EmbeddedSandbox, make_batch
from batchops.sandbox.storage import StateFile
from batchops.sandbox.world import World
from tests.sandbox.plain_http import PlainHttp


def fill(sandbox: EmbeddedSandbox, number: int) -> None:
    for index in range(number):
        sandbox.add_batch(batch_id=f"b{index:03}", campaign_id=1)


def listed(http: PlainHttp, **parameters: Any) -> list[str]:
    return [item["batch_id"] for item in http.batches(**parameters).json()["items"]]


def test_a_list_may_seem_empty(sandbox: EmbeddedSandbox, http: PlainHttp) -> None:
    fill(sandbox, 3)
    sandbox.set_faults(empty_list=1)
    page = http.batches().json()
    assert (page["items"], page["total_count"], page["total_pages"]) == ([], 0, 0)
    assert http.campaigns().json()["items"] == []
    sandbox.set_faults(total_count="whole")
    assert http.batches().json()["total_count"] == 3


@pytest.mark.parametrize(("told", "total"), [("listed", None), ("whole", 200)])
def test_a_list_may_leave_out_a_share_that_is_always_the_same(
    sandbox: EmbeddedSandbox, http: PlainHttp, told: str, total: int | None
) -> None:
    fill(sandbox, 200)
    sandbox.set_faults(partial_list=1, left_out=0.3, total_count=told)
    shown = listed(http, limit=500)
    assert 0.6 * 200 < len(shown) < 0.8 * 200
    assert listed(http, limit=50) + listed(http, limit=50, page=1) == shown[:100]
    assert http.batches().json()["total_count"] == (total or len(shown))
    assert http.batch("b000").status_code == 200


@pytest.mark.parametrize("endpoint", ["batches", "campaigns"])
def test_a_list_may_repeat_its_first_page_for_ever(
    sandbox: EmbeddedSandbox, http: PlainHttp, endpoint: str
) -> None:
    fill(sandbox, 3)
    sandbox.add_campaign(id=2)
    repeated = {"share": 1, "endpoints": [endpoint]}
    sandbox.set_faults(repeated_page=repeated, total_count="endless")
    ask = getattr(http, endpoint)
    first, last = ask(limit=1).json(), ask(limit=1, page=999).json()
    assert (first["items"], first["total_pages"]) == (last["items"], 10**9)
    assert (last["page"], len(last["items"])) == (999, 1)
    other = http.campaigns if endpoint == "batches" else http.batches
    assert other(page=999).json()["items"] == []


def test_a_total_may_be_too_small(sandbox: EmbeddedSandbox, http: PlainHttp) -> None:
    fill(sandbox, 30)
    sandbox.set_faults(total_count="short")
    page = http.batches(limit=10).json()
    assert (page["total_count"], page["total_pages"], len(page["items"])) == (10, 1, 10)
    assert len(listed(http, limit=10, page=2)) == 10


def test_what_has_no_date_comes_first_or_last_when_descending(
    sandbox: EmbeddedSandbox, http: PlainHttp
) -> None:
    dates = {"far": "2099-01-01T00:00:00Z", "old": "0001-01-01T00:00:00Z", "none": None}
    for batch_id, date in dates.items():
        sandbox.add_batch(batch_id=batch_id, last_updated_at=date)

    def order(direction: str) -> list[str]:
        return listed(http, order_by="last_updated_at", order_by_direction=direction)

    assert order("desc") == ["none", "far", "old"]
    sandbox.set_faults(undated_last=True)
    assert (order("desc"), order("asc")) == (["far", "old", "none"], ["old", "far", "none"])


@pytest.mark.parametrize(
    ("handling", "shown"),
    [("refuse", None), ("cut", (10, 10)), ("cut_silently", (10, 50))],
)
def test_the_largest_page_can_change_while_running_and_be_held_to_in_three_ways(
    sandbox: EmbeddedSandbox, http: PlainHttp, handling: str, shown: tuple[int, int] | None
) -> None:
    fill(sandbox, 60)
    assert len(listed(http, limit=50)) == 50
    sandbox.set_faults(max_limit=10, large_limit=handling)
    reply = http.batches(limit=50)
    assert reply.status_code == (422 if shown is None else 200)
    if shown is not None:
        page = reply.json()
        assert (len(page["items"]), page["page_size"], page["total_pages"]) == (*shown, 6)
    sandbox.set_faults(max_limit=0)
    assert len(listed(http, limit=50)) == 50


def test_the_same_id_may_be_in_two_campaigns(sandbox: EmbeddedSandbox, http: PlainHttp) -> None:
    sandbox.add_batch(batch_id="same", campaign_id=1, paused=False)
    sandbox.add_batch(batch_id="same", campaign_id=2, paused=False)
    http.update("same", {"paused": True})

    def rows() -> list[tuple[int, bool]]:
        items = http.batches(order_by="campaign_id").json()["items"]
        return [(item["campaign_id"], item["paused"]) for item in items]

    assert rows() == [(1, True), (2, False)]
    assert http.batch("same").json()["campaign_id"] == 1
    sandbox.vanish("same")
    assert rows() == [(2, False)]
    assert http.batch("same").json()["campaign_id"] == 2


def test_the_same_id_twice_survives_a_restart(tmp_path: Path) -> None:
    world = World()
    for campaign_id in (1, 2):
        world.add(make_batch(batch_id="same", campaign_id=campaign_id))
    with_twins = StateFile(tmp_path / "state")
    with_twins.save(world.take_changes())
    loaded = with_twins.load()
    assert loaded is not None
    assert loaded.batches == world.batches
    loaded.vanish("same")
    with_twins.save(loaded.take_changes())
    again = with_twins.load()
    assert again is not None
    assert [one.campaign_id for one in again.batches.values()] == [2]
    with_twins.close()


def test_the_journal_tells_what_a_list_was_asked_for(
    sandbox: EmbeddedSandbox, http: PlainHttp
) -> None:
    http.batches(limit=7, page=2)
    assert sandbox.journal()[-1]["query"] == "limit=7&page=2"
