"""The client and the sandbox, a whole vendor, over real HTTP."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator
from typing import Any

import pytest

from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.syllable.client import SyllableClient
from batchops.syllable.errors import (
    MalformedReply,
    NotFound,
    RateLimited,
    Redirected,
    Refused,
    ReplyLost,
    SyllableError,
    Unauthorized,
    Unavailable,
)
from batchops.syllable.patch import CLEAR, BatchPatch, Values
from batchops.syllable.rate.limiter import RateLimiter

NEW_YEAR = dt.datetime(2027, 1, 1, 6, tzinfo=dt.UTC)
PAUSE = BatchPatch(paused=True)


@pytest.fixture
def vendor() -> Iterator[EmbeddedSandbox]:
    with EmbeddedSandbox(seed=1) as running:
        yield running


@pytest.fixture
def client(vendor: EmbeddedSandbox) -> Iterator[SyllableClient]:
    client = SyllableClient(
        vendor.url, vendor.key, read_timeout=2, read_attempts=6, sleep=lambda seconds: None
    )
    yield client
    client.close()


@pytest.mark.parametrize("faults", [{}, {"total_count": "hidden"}])
def test_all_pages_bring_all_batches(
    vendor: EmbeddedSandbox, client: SyllableClient, faults: dict[str, bool]
) -> None:
    vendor.set_faults(**faults)
    for _ in range(60):
        vendor.add_batch()
    pages = [client.list_batches(page=number, limit=25, order_by="batch_id") for number in range(4)]
    assert [len(page.items) for page in pages] == [25, 25, 10, 0]
    assert sorted(r.batch_id for page in pages for r in page.items) == sorted(vendor.batch_ids())


def test_a_limit_beyond_the_vendors_is_refused() -> None:
    with EmbeddedSandbox(max_limit=60) as vendor:
        client = SyllableClient(vendor.url, vendor.key)
        with pytest.raises(Refused):
            client.list_batches(limit=400)
        client.close()


def test_batches_come_in_the_order_asked_for(
    vendor: EmbeddedSandbox, client: SyllableClient
) -> None:
    for day in (3, 1, 2):
        vendor.add_batch(batch_id=f"b{day}", last_updated_at=NEW_YEAR + dt.timedelta(days=day))
    page = client.list_batches(order_by="last_updated_at", descending=True)
    assert [record.batch_id for record in page.items] == ["b3", "b2", "b1"]


def test_batches_are_searched(vendor: EmbeddedSandbox, client: SyllableClient) -> None:
    vendor.add_batch(batch_id="quiet", status="PAUSED")
    vendor.add_batch(batch_id="loud")
    page = client.list_batches(search=("status", "PAUSED"))
    assert [record.batch_id for record in page.items] == ["quiet"]


def test_each_field_is_set_and_cleared(vendor: EmbeddedSandbox, client: SyllableClient) -> None:
    vendor.add_batch(batch_id="b")
    patches = [
        PAUSE,
        BatchPatch(paused=False),
        BatchPatch(expires_on=NEW_YEAR),
        BatchPatch(call_rate=25),
        BatchPatch(auto_call_rate=True),
        BatchPatch(auto_call_rate=False),
        BatchPatch(expires_on=CLEAR, call_rate=CLEAR),
    ]
    for patch in patches:
        before = Values.of(client.get_batch("b").record)
        after = client.update_batch("b", patch)
        assert patch.is_satisfied_by(after)
        assert patch.unrequested(before, after) == ()
        assert patch.is_satisfied_by(client.get_batch("b").record)


@pytest.mark.parametrize("batch_id", ["a/b", "a?b#c", "a%2Fb", "..", "two words", "批次 🙂"])
def test_special_ids_are_read_and_changed(
    vendor: EmbeddedSandbox, client: SyllableClient, batch_id: str
) -> None:
    vendor.add_batch(batch_id=batch_id)
    assert client.update_batch(batch_id, PAUSE).paused is True
    assert vendor.batch(batch_id)["paused"] is True
    assert client.get_batch(batch_id).record.batch_id == batch_id


def test_details_hold_counts(vendor: EmbeddedSandbox, client: SyllableClient) -> None:
    vendor.add_batch(batch_id="b")
    counts = client.get_batch("b").status_counts
    assert counts is not None and sum(counts.values()) == 100


def test_campaigns_are_listed(vendor: EmbeddedSandbox, client: SyllableClient) -> None:
    vendor.add_campaign(id=2, campaign_name="Late payments", labels=("x",))
    assert {c.campaign_name for c in client.list_campaigns().items} >= {"Late payments"}
    vendor.set_faults(null_campaigns=1)
    assert client.list_campaigns().items == ()


def test_nothing_of_ours_is_unknown_to_the_record(
    vendor: EmbeddedSandbox, client: SyllableClient
) -> None:
    vendor.add_batch(batch_id="b")
    assert client.get_batch("b").record.unknown_fields == frozenset()
    vendor.set_faults(extra_fields=1)
    assert client.get_batch("b").record.unknown_fields != frozenset()


@pytest.mark.parametrize("form", ["Z", "+00:00", "offset", "naive", "microseconds", "seconds"])
def test_instants_are_read_in_any_form(
    vendor: EmbeddedSandbox, client: SyllableClient, form: str
) -> None:
    vendor.add_batch(batch_id="b", expires_on=NEW_YEAR)
    vendor.set_faults(timestamp_format=form)
    assert client.get_batch("b").record.expires_on == NEW_YEAR


def test_an_unknown_batch_is_not_found(client: SyllableClient) -> None:
    with pytest.raises(NotFound):
        client.get_batch("nowhere")
    with pytest.raises(NotFound):
        client.update_batch("nowhere", PAUSE)


def test_a_wrong_key_is_unauthorized(vendor: EmbeddedSandbox) -> None:
    stranger = SyllableClient(vendor.url, "another-key")
    with pytest.raises(Unauthorized):
        stranger.list_batches()
    stranger.close()


def test_what_the_vendor_refuses_is_told_in_its_words(
    vendor: EmbeddedSandbox, client: SyllableClient
) -> None:
    vendor.add_batch(batch_id="b")
    with pytest.raises(Refused, match="expires_on"):
        client.update_batch("b", BatchPatch(auto_call_rate=True))


@pytest.mark.parametrize(
    ("fault", "kind", "applied"),
    [
        ("rate_limited", RateLimited, False),
        ("unauthorized", Unauthorized, False),
        ("forbidden", Unauthorized, False),
        ("not_found", NotFound, False),
        ("refused", Refused, False),
        ("error_500", Unavailable, False),
        ("error_502", Unavailable, False),
        ("error_503", Unavailable, False),
        ("redirect", Redirected, False),
        ("reset_before", ReplyLost, False),
        ("stall_before", ReplyLost, False),
        ("reset_after", ReplyLost, True),
        ("stall_after", ReplyLost, True),
        ("error_after", Unavailable, True),
        ("truncated", ReplyLost, True),
        ("not_json", MalformedReply, True),
        ("empty", MalformedReply, True),
        ("oversized", MalformedReply, True),
        ("wrong_batch_id", MalformedReply, True),
    ],
)
def test_what_was_applied_is_never_said_to_be_surely_not(
    vendor: EmbeddedSandbox,
    client: SyllableClient,
    fault: str,
    kind: type[SyllableError],
    applied: bool,
) -> None:
    vendor.add_batch(batch_id="b")
    vendor.set_faults(**{fault: 1}, stall_seconds=3.0, oversized_bytes=2_000_000)
    with pytest.raises(kind) as error:
        client.update_batch("b", PAUSE)
    assert bool(vendor.batch("b")["paused"]) is applied
    assert error.value.may_have_applied or not applied
    assert len(vendor.journal("PUT")) == 1


@pytest.mark.parametrize(
    "fault", ["rate_limited", "error_500", "error_503", "reset_before", "truncated"]
)
def test_reads_get_through_a_vendor_that_fails_now_and_then(
    vendor: EmbeddedSandbox, client: SyllableClient, fault: str
) -> None:
    vendor.add_batch(batch_id="b")
    vendor.set_faults(**{fault: 0.1})
    for _ in range(30):
        assert client.get_batch("b").record.batch_id == "b"
        assert len(client.list_batches().items) == 1


def test_a_page_that_is_none_is_malformed(vendor: EmbeddedSandbox, client: SyllableClient) -> None:
    vendor.set_faults(not_a_page=1)
    with pytest.raises(MalformedReply):
        client.list_batches()


def test_a_connection_that_breaks_is_told_in_plain_words(
    vendor: EmbeddedSandbox, client: SyllableClient
) -> None:
    vendor.set_faults(reset_before=1)
    with pytest.raises(ReplyLost) as error:
        client.get_batch("b")
    assert error.value.message.endswith(" did not arrive: Connection reset by peer")


@pytest.mark.parametrize(
    ("faults", "is_learnt"),
    [
        ({"rate_limited": 1}, True),
        ({"rate_limited": 1, "retry_after": "none"}, True),
        ({"error_503": 1, "unavailable_retry_after": "seconds"}, True),
        # That it is down says nothing of a rate.
        ({"error_503": 1}, False),
        ({"error_500": 1}, False),
        ({"refused": 1}, False),
    ],
)
def test_a_rate_is_learnt_from_what_asks_to_come_back_later(
    vendor: EmbeddedSandbox, client: SyllableClient, faults: dict[str, Any], is_learnt: bool
) -> None:
    vendor.add_batch(batch_id="b")
    vendor.set_faults(**faults)
    with pytest.raises(SyllableError):
        client.update_batch("b", PAUSE)
    assert math.isfinite(client.limiter.rate) is is_learnt


def test_a_reader_without_patience_is_told_at_once(vendor: EmbeddedSandbox) -> None:
    client = SyllableClient(vendor.url, vendor.key, limiter=RateLimiter(0.01), patience=0)
    assert client.list_batches().items == ()
    with pytest.raises(RateLimited) as error:
        client.list_batches()
    assert error.value.http_status is None
    assert len(vendor.journal()) == 1
