"""Replies that are too long, too slow, cut off, or not what was asked for."""

from __future__ import annotations

import gzip
import itertools
import json
import time
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchops.syllable import client as client_module
from batchops.syllable.errors import MalformedReply, ReplyLost, SyllableError
from batchops.syllable.patch import BatchPatch
from tests.syllable.loopback import (
    Heard,
    Said,
    answering,
    batch,
    client_of,
    http,
    loopback,
    page_of,
    raw,
    said_json,
)

PAUSE = BatchPatch(paused=True)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def drip(head: bytes, byte: bytes, pause: float = 0.05) -> Iterator[bytes]:
    yield head
    for _ in range(200):
        time.sleep(pause)
        yield byte


@pytest.mark.parametrize(
    ("head", "byte"),
    [
        (HEAD + b"Content-Length: 100000\r\n\r\n", b" "),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        (HEAD + b"X-Slow: ", b"x"),
        (b"HTTP/1.1 2", b"0"),
        (HEAD, b"X: y\r\n"),
    ],
    ids=["body", "chunks", "header", "status", "headers"],
)
def test_a_reply_that_drips_is_given_up_when_the_time_for_it_is_over(
    head: bytes, byte: bytes
) -> None:
    with (
        answering(Said(drip(head, byte), "close"), read_timeout=0.4) as (client, _),
        pytest.raises(ReplyLost, match=r"took too long|timed out") as error,
    ):
        client.update_batch("b", PAUSE)
    assert error.value.may_have_applied


def test_the_time_for_a_reply_starts_anew_with_each_request() -> None:
    def slow(heard: Heard) -> Said:
        time.sleep(0.25)
        return said_json(batch("b"))

    with loopback(slow) as server, client_of(server, read_timeout=0.6) as client:
        for _ in range(4):
            assert client.get_batch("b").record.batch_id == "b"


@pytest.mark.parametrize("framing", ["length", "chunked", "until closed"])
def test_a_single_batch_larger_than_the_bound_is_refused(framing: str) -> None:
    body = b" " * (client_module.BATCH_BYTES + 1)
    said = {
        "length": http(200, body),
        "chunked": raw(
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(body), body, b"\r\n0\r\n\r\n"
        ),
        "until closed": raw(HEAD + b"\r\n", body),
    }[framing]
    with answering(said) as (client, _), pytest.raises(MalformedReply, match="1024 KiB"):
        client.update_batch("b", PAUSE)


def test_an_endless_page_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "PAGE_BYTES", 300_000)
    endless = itertools.chain([HEAD + b"\r\n["], itertools.repeat(b"1," * 10_000))
    with answering(Said(endless)) as (client, _), pytest.raises(MalformedReply, match="KiB"):
        client.list_batches()


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_reply_is_measured_unpacked(encoding: str) -> None:
    bomb = b" " * 50_000_000
    packed = gzip.compress(bomb) if encoding == "gzip" else zlib.compress(bomb)
    said = http(200, packed, Content_Encoding=encoding)
    with answering(said) as (client, _), pytest.raises(MalformedReply, match="larger"):
        client.get_batch("b")


def test_a_packed_reply_is_read() -> None:
    packed = gzip.compress(json.dumps(batch("b")).encode())
    with answering(http(200, packed, Content_Encoding="gzip")) as (client, _):
        assert client.get_batch("b").record.batch_id == "b"


def test_a_packed_reply_that_cannot_be_unpacked_is_lost() -> None:
    said = http(200, b"not gzip", Content_Encoding="gzip")
    with answering(said) as (client, _), pytest.raises(ReplyLost):
        client.update_batch("b", PAUSE)


def test_another_batch_than_asked_for_is_malformed() -> None:
    with answering(said_json(batch("other"))) as (client, _):
        with pytest.raises(MalformedReply, match="other"):
            client.get_batch("b")
        with pytest.raises(MalformedReply) as error:
            client.update_batch("b", PAUSE)
    assert error.value.may_have_applied


@pytest.mark.parametrize(
    "reply",
    [
        batch("b"),
        [],
        None,
        {},
        {"items": []},
        {"items": {}, "page": 0, "page_size": 25},
        {"items": None, "page": 0, "page_size": 25},
        page_of(page=1),
        {"items": [], "page": True, "page_size": 25},
        {"items": [], "page": "0", "page_size": 25},
        {"items": [], "page": 0, "page_size": -1},
    ],
)
def test_a_page_that_is_not_the_page_asked_for_is_malformed(reply: object) -> None:
    with answering(said_json(reply)) as (client, _), pytest.raises(MalformedReply):
        client.list_batches()


def test_campaigns_may_be_null() -> None:
    with answering(said_json(None)) as (client, _):
        page = client.list_campaigns()
    assert page.items == () and page.total_count == 0


def test_campaigns_of_another_page_are_malformed() -> None:
    with answering(said_json(page_of(page=2))) as (client, _), pytest.raises(MalformedReply):
        client.list_campaigns()


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"1", b'"b"', b"\xff\xfe\x00", b"[" * 100_000, b"NaN", b"{]"]
)
def test_a_yes_that_is_no_batch_is_an_error_that_says_so(body: bytes) -> None:
    with (
        answering(http(200, body), read_attempts=1) as (client, _),
        pytest.raises((MalformedReply, ReplyLost)) as error,
    ):
        client.get_batch("b")
    assert error.value.http_status == 200
    assert error.value.message


@pytest.mark.parametrize("status", [200, 201, 202, 203])
def test_any_success_that_shows_the_batch_is_one(status: int) -> None:
    with answering(said_json(batch("b"), status)) as (client, _):
        assert client.update_batch("b", PAUSE).batch_id == "b"


def test_a_success_that_shows_nothing_is_malformed() -> None:
    with answering(http(204)) as (client, _), pytest.raises(MalformedReply):
        client.update_batch("b", PAUSE)


def test_after_a_hostile_reply_the_next_request_is_unharmed() -> None:
    answers = iter(
        [
            http(200, b" " * (client_module.BATCH_BYTES + 1)),
            http(409, b"x" * 1_000_000),
            raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{"),
            said_json(batch("b")),
        ]
    )
    with loopback(lambda heard: next(answers)) as server, client_of(server) as client:
        for _ in range(3):
            with pytest.raises(SyllableError):
                client.update_batch("b", PAUSE)
        assert client.update_batch("b", PAUSE).batch_id == "b"


STATUS_LINES = st.sampled_from(
    [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 200\r\n", b"HTTP/1.1 302 X\r\n", b"HTTP/1.1 429 X\r\n", b""]
)
HEADERS = st.sampled_from(
    [
        b"",
        b"Content-Length: x\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: 1, 2\r\n",
        b"Content-Length: 99999999999999999999\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Content-Encoding: gzip, gzip, gzip\r\n",
        b"Content-Encoding: deflate\r\n",
        b"Location: \xff//[\r\n",
        b"Retry-After: \xff\r\n",
        b"Set-Cookie: a=\xff; expires=x\r\n",
        b": nameless\r\n",
        b"no colon\r\n",
    ]
)


def test_whatever_bytes_come_back_the_error_is_one_of_ours() -> None:
    replies: list[bytes] = [b""]
    with loopback(lambda heard: raw(replies[0])) as server:

        @settings(max_examples=200)
        @given(STATUS_LINES, st.lists(HEADERS, max_size=4), st.binary(max_size=200))
        def is_ours(status_line: bytes, headers: list[bytes], rest: bytes) -> None:
            replies[0] = status_line + b"".join(headers) + (b"\r\n" if headers else b"") + rest
            # Each with a client of its own, or one would learn from a 429 to wait.
            with client_of(server) as client, pytest.raises(SyllableError):
                client.update_batch("b", PAUSE)

        is_ours()


def test_a_bad_row_does_not_lose_the_page() -> None:
    rows: list[Any] = [batch("a"), {"batch_id": "b"}, None, batch("c", status="NEW_STATUS")]
    with answering(said_json(page_of(*rows))) as (client, _):
        page = client.list_batches()
    assert [record.batch_id for record in page.items] == ["a", "c"]
    assert page.items[1].status == "NEW_STATUS"
    assert page.unreadable == (
        "Row 2 of page 0 (b): campaign_id is missing or not a whole number.",
        "Row 3 of page 0: A batch should be a JSON object.",
    )
