"""Where the vendor's own client gives up or goes astray, side by side with ours."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import unquote

import pytest
from syllable_sdk import SyllableSDK, errors

from batchops.syllable.errors import MalformedReply, Redirected
from batchops.syllable.patch import BatchPatch
from tests.syllable.loopback import (
    KEY,
    Heard,
    Said,
    answering,
    batch,
    client_of,
    http,
    loopback,
    page_of,
    said_json,
)

PREFIX = "/api/v1/outbound/batches/"


def vendor_client(url: str) -> SyllableSDK:
    return SyllableSDK(api_key_header=KEY, server_url=url, timeout_ms=5_000)


def exact_batch(batch_id: str) -> Callable[[Heard], Said]:
    """A vendor that knows one batch, by the one path segment that is its address."""

    def answer(heard: Heard) -> Said:
        segment = heard.target.removeprefix(PREFIX)
        if segment.count("/") or "?" in segment or unquote(segment) != batch_id:
            return said_json({"detail": "Not found"}, 404)
        return said_json(batch(batch_id, status="ACTIVE"))

    return answer


def test_one_unknown_status_costs_the_vendors_client_the_page_and_ours_nothing() -> None:
    rows = [batch("a", status="ACTIVE"), batch("b", status="COMPLETED"), batch("c")]
    with answering(said_json(page_of(*rows))) as (client, server):
        with pytest.raises(errors.ResponseValidationError):
            vendor_client(server.url).outbound.batches.list()
        statuses = [record.status for record in client.list_batches().items]
    assert statuses == ["ACTIVE", "COMPLETED", ""]


def test_one_bad_row_costs_the_vendors_client_the_page_and_ours_the_row() -> None:
    rows = [batch("a"), {"batch_id": None}]
    with answering(said_json(page_of(*rows))) as (client, server):
        with pytest.raises(errors.ResponseValidationError):
            vendor_client(server.url).outbound.batches.list()
        page = client.list_batches()
    assert [record.batch_id for record in page.items] == ["a"]
    assert len(page.unreadable) == 1


@pytest.mark.parametrize("batch_id", ["a/b", "a#b", "a%2Fb", "../campaigns/1", "..", "a?b"])
def test_ids_that_the_vendors_client_cannot_reach_are_reached(batch_id: str) -> None:
    with loopback(exact_batch(batch_id)) as server, client_of(server) as client:
        with pytest.raises(errors.SyllableSDKError):
            vendor_client(server.url).outbound.batches.get_by_id(batch_id=batch_id)
        assert client.get_batch(batch_id).record.batch_id == batch_id
        assert client.update_batch(batch_id, BatchPatch(paused=True)).batch_id == batch_id


def test_both_reach_an_ordinary_id() -> None:
    with loopback(exact_batch("20260324.9")) as server, client_of(server) as client:
        theirs = vendor_client(server.url).outbound.batches.get_by_id(batch_id="20260324.9")
        assert theirs.batch_id == client.get_batch("20260324.9").record.batch_id == "20260324.9"


@pytest.mark.parametrize("batch_id", ["a?b", "a#b"])
def test_the_vendors_client_pauses_another_batch_than_it_was_told_to(batch_id: str) -> None:
    with answering(said_json(batch("a", paused=True))) as (client, server):
        vendor_client(server.url).outbound.batches.update(
            batch_id=batch_id, communication_batch_update={"paused": True}
        )
        with pytest.raises(MalformedReply):
            client.update_batch(batch_id, BatchPatch(paused=True))
        theirs, ours = (heard.target for heard in server.heard)
    assert theirs == f"{PREFIX}a"
    assert unquote(ours) == f"{PREFIX}{batch_id}" and ours != theirs


def test_another_batch_is_believed_by_the_vendors_client_and_refused_by_ours() -> None:
    with answering(said_json(batch("other"))) as (client, server):
        believed = vendor_client(server.url).outbound.batches.get_by_id(batch_id="wanted")
        assert believed.batch_id == "other"
        with pytest.raises(MalformedReply):
            client.get_batch("wanted")


def test_the_vendors_client_takes_the_key_to_another_host_and_ours_does_not() -> None:
    with loopback(lambda heard: said_json(batch("b"))) as elsewhere:
        target = elsewhere.url.replace("127.0.0.1", "localhost")
        with answering(http(307, Location=f"{target}{PREFIX}b")) as (client, server):
            vendor_client(server.url).outbound.batches.get_by_id(batch_id="b")
            assert elsewhere.heard[0].headers["syllable-api-key"] == KEY
            elsewhere.heard.clear()
            with pytest.raises(Redirected):
                client.get_batch("b")
            assert elsewhere.heard == []
