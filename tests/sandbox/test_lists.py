"""Lists: pages, order, search, and what is wrong with the parameters."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from batchops.sandbox import EmbeddedSandbox, make_batch
from batchops.sandbox.world import Selection, World
from tests.sandbox.plain_http import BASE_PATH, PlainHttp


def listed(http: PlainHttp, **parameters: Any) -> list[str]:
    return [item["batch_id"] for item in http.batches(**parameters).json()["items"]]


def test_the_first_page_has_25_batches_unless_told(
    sandbox: EmbeddedSandbox, http: PlainHttp
) -> None:
    for _ in range(30):
        sandbox.add_batch()
    page = http.batches().json()
    assert (len(page["items"]), page["page"], page["page_size"]) == (25, 0, 25)
    assert (page["total_pages"], page["total_count"]) == (2, 30)


def test_a_page_beyond_the_last_is_empty(sandbox: EmbeddedSandbox, http: PlainHttp) -> None:
    sandbox.add_batch()
    assert listed(http, page=9) == []


def test_a_limit_of_0_gives_no_items(sandbox: EmbeddedSandbox, http: PlainHttp) -> None:
    sandbox.add_batch()
    page = http.batches(limit=0).json()
    assert (page["items"], page["total_pages"], page["total_count"]) == ([], 0, 1)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("batch_id", ["a", "b", "c"]),
        ("campaign_id", [1, 2, 3]),
        ("expires_on", ["2036-01-01T00:00:00Z", "2036-01-02T00:00:00Z", None]),
        ("last_updated_at", ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", None]),
    ],
)
def test_each_sortable_field_orders_both_ways_and_nulls_count_as_latest(
    sandbox: EmbeddedSandbox, http: PlainHttp, field: str, values: list[object]
) -> None:
    names = ["x0", "x1", "x2"] if field != "batch_id" else values
    for place in (1, 2, 0):
        sandbox.add_batch(**({"batch_id": names[place]} | {field: values[place]}))
    assert listed(http, order_by=field) == names
    assert listed(http, order_by=field, order_by_direction="desc") == names[::-1]


def test_ordering_by_status_follows_the_status_of_this_moment(
    sandbox: EmbeddedSandbox, http: PlainHttp
) -> None:
    for status in ("PENDING", "EXPIRED", "ACTIVE", "PAUSED"):
        sandbox.add_batch(batch_id=status, status=status)
    assert listed(http, order_by="status") == ["ACTIVE", "EXPIRED", "PAUSED", "PENDING"]


@pytest.mark.parametrize(
    ("field", "value", "found"),
    [
        ("batch_id", "SPRING", ["spring/retry #2"]),
        ("status", "PAUSED", ["held"]),
        ("status", "PAUSE", []),
        ("campaign_id", "2", ["held"]),
        ("expires_on", "2036-05", ["spring/retry #2"]),
    ],
)
def test_search_finds_part_of_an_id_and_whole_values(
    sandbox: EmbeddedSandbox, http: PlainHttp, field: str, value: str, found: list[str]
) -> None:
    sandbox.add_batch(batch_id="spring/retry #2", expires_on="2036-05-01T00:00:00Z")
    sandbox.add_batch(batch_id="held", paused=True, campaign_id=2)
    assert listed(http, search_fields=field, search_field_values=value) == found


def test_several_searches_all_have_to_hold(sandbox: EmbeddedSandbox, http: PlainHttp) -> None:
    sandbox.add_batch(batch_id="a", campaign_id=1, paused=True)
    sandbox.add_batch(batch_id="b", campaign_id=2, paused=True)
    fields = ["status", "campaign_id"]
    assert listed(http, search_fields=fields, search_field_values=["PAUSED", "2"]) == ["b"]


def test_bounds_of_time_include_both_ends_and_leave_out_what_was_never_updated(
    sandbox: EmbeddedSandbox, http: PlainHttp
) -> None:
    for day in (1, 2, 3):
        sandbox.add_batch(batch_id=f"{day}", last_updated_at=f"2026-03-0{day}T00:00:00Z")
    sandbox.add_batch(batch_id="never", last_updated_at=None)
    assert listed(http, start_datetime="2026-03-02T00:00:00Z") == ["2", "3"]
    assert listed(http, end_datetime="2026-03-02T01:00:00+01:00") == ["1", "2"]


@pytest.mark.parametrize(
    ("parameters", "place"),
    [
        ({"page": -1}, "page"),
        ({"page": "first"}, "page"),
        ({"limit": 501}, "limit"),
        ({"limit": -1}, "limit"),
        ({"order_by": "paused"}, "order_by"),
        ({"order_by_direction": "up"}, "order_by_direction"),
        ({"search_fields": "paused", "search_field_values": "x"}, "search_fields"),
        ({"search_fields": "status"}, "search_field_values"),
        ({"fields": "everything"}, "fields"),
        ({"start_datetime": "yesterday"}, "start_datetime"),
        ({"end_datetime": "2026-03-02 00:00:00 00:00"}, "end_datetime"),
    ],
)
def test_a_bad_parameter_is_refused_by_name(
    http: PlainHttp, parameters: dict[str, object], place: str
) -> None:
    reply = http.batches(**parameters)
    assert reply.status_code == 422
    assert reply.json()["detail"][0]["loc"] == ["query", place]
    assert set(reply.json()["detail"][0]) == {"loc", "msg", "type"}


def test_a_campaign_id_that_is_no_number_is_refused_by_name(http: PlainHttp) -> None:
    reply = http.send("GET", f"{BASE_PATH}/campaigns/first")
    assert (reply.status_code, reply.json()["detail"][0]["loc"]) == (422, ["path", "campaign_id"])


def test_campaigns_are_ordered_and_searched_in_their_own_fields(
    sandbox: EmbeddedSandbox, http: PlainHttp
) -> None:
    sandbox.add_campaign(id=2, campaign_name="Billing", labels=("urgent", "billing"))
    sandbox.add_campaign(id=3, campaign_name="Closures", labels=("urgent",), mode="sms")

    def found(**parameters: object) -> list[int]:
        return [item["id"] for item in http.campaigns(**parameters).json()["items"]]

    assert found(order_by="campaign_name", order_by_direction="desc") == [3, 2, 1]
    assert found(search_fields="labels", search_field_values="urgent") == [2, 3]
    assert found(search_fields="mode", search_field_values="SMS") == [3]
    assert found(search_fields="id", search_field_values="2") == [2]


def test_one_reply_names_everything_that_is_wrong(http: PlainHttp) -> None:
    details = http.batches(page=-1, limit=9_999, order_by="x").json()["detail"]
    assert {detail["loc"][1] for detail in details} == {"page", "limit", "order_by"}


def test_the_largest_limit_can_be_set() -> None:
    with EmbeddedSandbox(max_limit=10) as sandbox:
        http = PlainHttp(sandbox)
        assert http.batches(limit=10).status_code == 200
        assert http.batches(limit=11).status_code == 422


def test_lists_never_hold_counts_or_what_the_sandbox_keeps_for_itself(
    sandbox: EmbeddedSandbox, http: PlainHttp
) -> None:
    sandbox.add_batch()
    (item,) = http.batches().json()["items"]
    assert item.keys().isdisjoint({"status_counts", "contacts", "reached"})


def test_a_remembered_selection_notices_every_change_that_concerns_it() -> None:
    world = World(batches=[make_batch(batch_id="a", paused=False)])
    paused = Selection(searches=(("status", "PAUSED"),))
    by_rate = Selection(order_by="last_updated_at", descending=True)
    now = dt.datetime.now(dt.UTC)
    assert (world.select(paused, now), world.select(by_rate, now)) == ([], ["a"])
    world.put(make_batch(batch_id="a", paused=True))
    world.put(make_batch(batch_id="b", last_updated_at=now + dt.timedelta(hours=1)))
    assert (world.select(paused, now), world.select(by_rate, now)) == (["a"], ["b", "a"])
    world.vanish("a")
    assert (world.select(paused, now), world.select(by_rate, now)) == ([], ["b"])


def test_a_remembered_search_by_status_notices_that_an_expiry_passed() -> None:
    now = dt.datetime.now(dt.UTC)
    world = World(batches=[make_batch(batch_id="a", expires_on=now + dt.timedelta(minutes=1))])
    expired = Selection(searches=(("status", "EXPIRED"),))
    assert world.select(expired, now) == []
    assert world.select(expired, now + dt.timedelta(minutes=1)) == ["a"]
