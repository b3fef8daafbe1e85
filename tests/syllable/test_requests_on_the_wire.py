"""What leaves this machine, byte for byte, when the client is asked for something."""

from __future__ import annotations

import datetime as dt
import threading
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchops.syllable.client import SyllableClient
from batchops.syllable.errors import Misconfigured, Refused
from batchops.syllable.patch import CLEAR, BatchPatch
from tests.syllable.loopback import (
    KEY,
    Heard,
    Said,
    answering,
    batch,
    client_of,
    loopback,
    page_of,
    said_json,
)

PREFIX = "/api/v1/outbound/batches/"


def echo(heard: Heard) -> Said:
    """Answer as the batch whose one path segment was asked for."""
    assert heard.target.startswith(PREFIX)
    segment = heard.target.removeprefix(PREFIX)
    assert "/" not in segment and "?" not in segment and "#" not in segment
    return said_json(batch(unquote(segment)))


@pytest.mark.parametrize(
    "batch_id",
    [
        "20260324.9",
        ".",
        "..",
        "...",
        "../campaigns/1",
        "a/b?c#d%2F",
        "%2E%2E",
        "%",
        "two words",
        "plus+and&amp=;,@:$!'()*",
        "Ünïcödé-批次-🙂",
        "line\nbreak\r\nX-Injected: yes",
        "x" * 255,
    ],
)
def test_a_batch_id_is_one_path_segment_whatever_it_holds(batch_id: str) -> None:
    with loopback(echo) as server, client_of(server) as client:
        assert client.get_batch(batch_id).record.batch_id == batch_id
        assert client.update_batch(batch_id, BatchPatch(paused=True)).batch_id == batch_id
        targets = {heard.target for heard in server.heard}
    assert len(targets) == 1
    assert not unquoted_dots(targets.pop())


def unquoted_dots(target: str) -> bool:
    return any(segment in (".", "..") for segment in target.split("/"))


def test_any_text_reaches_the_vendor_unchanged() -> None:
    ids = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)

    with loopback(echo) as server, client_of(server) as client:

        @settings(max_examples=150)
        @given(ids.filter(lambda text: len(text) <= 255))
        def reaches(batch_id: str) -> None:
            assert client.get_batch(batch_id).record.batch_id == batch_id

        reaches()


@pytest.mark.parametrize("batch_id", ["", "\ud800"])
def test_an_id_that_has_no_address_is_refused_before_anything_is_sent(batch_id: str) -> None:
    with answering(said_json(batch())) as (client, server):
        with pytest.raises(Refused) as refusal:
            client.update_batch(batch_id, BatchPatch(paused=True))
        assert refusal.value.http_status is None
        assert not refusal.value.may_have_applied
        assert server.heard == []


def test_an_update_sends_only_what_changes_and_null_only_to_clear() -> None:
    with loopback(echo) as server, client_of(server) as client:
        client.update_batch("b", BatchPatch(paused=False, expires_on=CLEAR))
        client.update_batch("b", BatchPatch(expires_on=dt.datetime(2027, 1, 1, 6, tzinfo=dt.UTC)))
        client.update_batch("b", BatchPatch(call_rate=25, auto_call_rate=True))
        bodies = [heard.json for heard in server.heard]
    assert bodies == [
        {"paused": False, "expires_on": None},
        {"expires_on": "2027-01-01T06:00:00Z"},
        {"call_rate": 25, "auto_call_rate": True},
    ]


def test_an_update_of_nothing_is_never_sent() -> None:
    with answering(said_json(batch())) as (client, server):
        with pytest.raises(Refused):
            client.update_batch("b", BatchPatch())
        assert server.heard == []


def test_each_request_carries_the_key_and_asks_for_json() -> None:
    with loopback(echo) as server, client_of(server) as client:
        client.get_batch("b")
        client.update_batch("b", BatchPatch(paused=True))
    read, write = server.heard
    assert read.method == "GET" and write.method == "PUT"
    for heard in server.heard:
        assert heard.headers["syllable-api-key"] == KEY
        assert heard.headers["accept"] == "application/json"
        assert "cookie" not in heard.headers
        assert "authorization" not in heard.headers
    assert write.headers["content-type"] == "application/json"
    assert "content-type" not in read.headers


def test_a_list_is_asked_for_by_page_order_search_and_start() -> None:
    with answering(said_json(page_of(page=3))) as (client, server):
        client.list_batches(
            page=3,
            limit=50,
            order_by="last_updated_at",
            descending=True,
            updated_since=dt.datetime(2026, 8, 22, 12, tzinfo=dt.UTC),
            search=("status", "ACTIVE & more"),
        )
        target = urlsplit(server.heard[0].target)
    assert target.path == "/api/v1/outbound/batches"
    assert parse_qs(target.query) == {
        "page": ["3"],
        "limit": ["50"],
        "order_by": ["last_updated_at"],
        "order_by_direction": ["desc"],
        "start_datetime": ["2026-08-22T12:00:00Z"],
        "search_fields": ["status"],
        "search_field_values": ["ACTIVE & more"],
    }


def test_a_plain_list_asks_for_a_page_and_a_limit_alone() -> None:
    with answering(said_json(page_of())) as (client, server):
        client.list_batches()
        client.list_campaigns(limit=7)
        targets = [heard.target for heard in server.heard]
    assert targets == [
        "/api/v1/outbound/batches?page=0&limit=100",
        "/api/v1/outbound/campaigns?page=0&limit=7",
    ]


def test_cookies_are_neither_kept_nor_sent() -> None:
    said = said_json(batch("b"), Set_Cookie="session=1; Path=/")
    with answering(said) as (client, server):
        client.get_batch("b")
        client.get_batch("b")
        assert all("cookie" not in heard.headers for heard in server.heard)


def test_a_path_before_the_api_is_kept() -> None:
    with loopback(lambda heard: said_json(batch("b"))) as server:
        client = SyllableClient(f"{server.url}/gateway/", KEY)
        client.get_batch("b")
        client.close()
        assert server.heard[0].target == "/gateway/api/v1/outbound/batches/b"


def test_many_threads_share_a_client() -> None:
    with loopback(echo) as server, client_of(server, pool_size=8) as client:
        seen: list[str] = []

        def work(number: int) -> None:
            for step in range(10):
                batch_id = f"{number}/{step}"
                seen.append(client.get_batch(batch_id).record.batch_id)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(seen) == sorted(f"{n}/{s}" for n in range(8) for s in range(10))


def test_a_closed_client_can_be_used_again() -> None:
    with loopback(echo) as server, client_of(server) as client:
        client.get_batch("b")
        client.close()
        assert client.get_batch("b").record.batch_id == "b"


@pytest.mark.parametrize(
    "environment", [{"HTTP_PROXY": "http://127.0.0.1:1"}, {"ALL_PROXY": "http://127.0.0.1:1"}]
)
def test_proxies_of_the_environment_are_ignored_unless_wanted(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_PROXY", "no_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with loopback(echo) as server, client_of(server) as client:
        assert client.get_batch("b").record.batch_id == "b"


def test_a_proxy_of_the_environment_is_used_when_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with loopback(lambda heard: said_json(batch("b"))) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        client = SyllableClient("http://127.0.0.1:9", KEY, use_environment_proxies=True)
        assert client.get_batch("b").record.batch_id == "b"
        client.close()
        assert proxy.heard[0].target.startswith("http://127.0.0.1:9/api/v1/")


@pytest.mark.parametrize(
    "base_url",
    [
        "https://api.syllable.cloud",
        "https://api.syllable.cloud/",
        "https://api.syllable.cloud:8443/prefix",
        "HTTPS://API.SYLLABLE.CLOUD",
        "http://127.0.0.1:8000",
        "http://127.8.9.1",
        "http://localhost:8000/",
        "http://[::1]:8000",
    ],
)
def test_https_or_this_machine_is_accepted(base_url: str) -> None:
    client = SyllableClient(base_url, KEY)
    assert not client.base_url.endswith("/")


@pytest.mark.parametrize(
    "base_url",
    [
        "",
        "   ",
        "api.syllable.cloud",
        "http://api.syllable.cloud",
        "http://10.0.0.1",
        "http://127.0.0.1.example.com",
        "http://localhost.example.com",
        "http://127.0.0.1@example.com",
        "http://127.0.0.1\\@example.com",
        "https://user:secret@api.syllable.cloud",
        "https://api.syllable.cloud?x=1",
        "https://api.syllable.cloud#x",
        "https://api.syllable.cloud/a b",
        "https://api.syllable.cloud\n",
        "https://",
        "https:///path",
        "https://api.syllable.cloud:99999",
        "https://api.syllable.cloud:port",
        "https://[::1",
        "ftp://127.0.0.1",
        "file:///etc/passwd",
        "//127.0.0.1",
    ],
)
def test_any_other_address_is_refused_when_the_client_is_made(base_url: str) -> None:
    with pytest.raises(Misconfigured) as error:
        SyllableClient(base_url, KEY)
    assert isinstance(error.value, ValueError)
    assert "secret" not in str(error.value)


@given(st.text(max_size=60) | st.text("htps:/@.#?[]127lo\\ %", max_size=30).map("http://".__add__))
def test_any_text_as_an_address_is_accepted_or_misconfigured(base_url: str) -> None:
    try:
        SyllableClient(base_url, KEY)
    except Misconfigured as error:
        assert error.message


@pytest.mark.parametrize("key", ["", " ", "two words", "line\nbreak", "tab\t", "né", "\x7f"])
def test_a_key_that_cannot_be_one_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(Misconfigured) as error:
        SyllableClient("https://api.syllable.cloud", key)
    assert not key.strip() or key not in str(error.value)
