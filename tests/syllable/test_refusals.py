"""What the client makes of a reply that is not a yes, and of no reply at all."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import re
import socket
import time
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchops.syllable.client import SyllableClient
from batchops.syllable.errors import (
    MESSAGE_LENGTH,
    MalformedReply,
    NotFound,
    RateLimited,
    Redirected,
    Refused,
    ReplyLost,
    SyllableError,
    Unauthorized,
    Unavailable,
    plain,
)
from batchops.syllable.patch import BatchPatch
from batchops.syllable.refusals import error_for, vendor_words
from tests.syllable.loopback import (
    KEY,
    Said,
    answering,
    batch,
    http,
    loopback,
    raw,
    said_json,
    unused_port,
)

PAUSE = BatchPatch(paused=True)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def refusal_of(said: Said, **options: Any) -> SyllableError:
    """The error of a write that was answered so."""
    with answering(said, **options) as (client, server):
        with pytest.raises(SyllableError) as error:
            client.update_batch("b", PAUSE)
        assert len(server.heard) == 1, "a write is sent once"
    return error.value


@pytest.mark.parametrize(
    ("status", "kind", "in_doubt"),
    [
        (301, Redirected, False),
        (302, Redirected, False),
        (303, Redirected, True),
        (304, Redirected, False),
        (307, Redirected, False),
        (308, Redirected, False),
        (400, Refused, False),
        (401, Unauthorized, False),
        (403, Unauthorized, False),
        (404, NotFound, False),
        (405, Refused, False),
        (408, Unavailable, True),
        (409, Refused, False),
        (410, NotFound, False),
        (418, Refused, False),
        (422, Refused, False),
        (429, RateLimited, False),
        (500, Unavailable, True),
        (502, Unavailable, True),
        (503, Unavailable, True),
        (504, Unavailable, True),
        (599, Unavailable, True),
    ],
)
def test_a_status_means_one_kind_of_error(
    status: int, kind: type[SyllableError], in_doubt: bool
) -> None:
    error = refusal_of(http(status))
    assert type(error) is kind
    assert error.http_status == status
    assert error.may_have_applied is in_doubt
    assert error.message == str(error) != ""


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"detail": "Batch is canceled"}', "Batch is canceled"),
        (
            b'{"detail":[{"loc":["body","call_rate"],"msg":"Input should be at most 3600",'
            b'"type":"less_than_equal"}]}',
            "call_rate: Input should be at most 3600",
        ),
        (b'{"detail":[{"loc":["body","a",0],"msg":"x"},{"msg":"y"}]}', "a.0: x; y"),
        (b'{"detail":[{"loc":["body"],"msg":"whole body"}]}', "whole body"),
        (b'{"detail":["first", {"why": 2}]}', 'first; {"why": 2}'),
        (b'{"detail": {"code": 7}}', '{"code": 7}'),
        (b'{"error": "no"}', '{"error": "no"}'),
        (b'"just text"', "just text"),
        (b"[1, 2]", "1; 2"),
        (
            b"<html><head><title>Oops</title></head><body><h1>409</h1> Conflict</body></html>",
            "409 Conflict",
        ),
        (b"<script>alert(1)</script>plain", "plain"),
        (b'{"detail": "rate < 5 and > 3"}', "rate < 5 and > 3"),
        (b'{"detail": "<img src=x onerror=alert(1)>no"}', "no"),
        (b"plain\x00 \x1b[31mtext\r\n", "plain [31mtext"),
    ],
)
def test_a_refusal_keeps_the_vendors_own_words(body: bytes, words: str) -> None:
    error = refusal_of(http(409, body))
    assert isinstance(error, Refused)
    assert error.message == words


@pytest.mark.parametrize(
    "body", [b"", b"null", b"{}", b"[]", b'{"detail": []}', b'{"detail": null}']
)
def test_a_refusal_without_words_still_says_something(body: bytes) -> None:
    assert refusal_of(http(409, body)).message == "The vendor answered 409 without a reason."


def test_the_words_of_other_errors_are_kept_as_well() -> None:
    assert "quota" in refusal_of(said_json({"detail": "quota"}, 429)).message
    assert "deploying" in refusal_of(http(503, b"<h1>deploying</h1>")).message
    assert "revoked" in refusal_of(said_json({"detail": "revoked"}, 401)).message


@given(JSON)
def test_any_json_is_short_safe_words(data: object) -> None:
    words = vendor_words(json.dumps({"detail": data}).encode())
    assert len(words) <= MESSAGE_LENGTH
    assert words.isprintable()


@given(st.binary())
def test_any_bytes_are_short_safe_words(body: bytes) -> None:
    words = vendor_words(body)
    assert len(words) <= MESSAGE_LENGTH
    assert words.isprintable()


@given(st.text("<>/!?scriptyleabc \n\x00\u202e") | st.text())
def test_no_markup_and_no_control_character_survives(text: str) -> None:
    words = plain(text)
    assert words.isprintable()
    assert not re.search(r"<[a-zA-Z/!?]", words)


def test_a_long_refusal_is_cut() -> None:
    error = refusal_of(http(409, b"x" * 100_000))
    assert len(error.message) == MESSAGE_LENGTH
    assert error.message.endswith("…")


def test_deeply_nested_words_are_no_trouble() -> None:
    assert refusal_of(http(409, b"[" * 10_000)).http_status == 409


def test_a_refusal_whose_body_breaks_off_is_still_that_refusal() -> None:
    error = refusal_of(raw(b"HTTP/1.1 422 No\r\nContent-Length: 500\r\n\r\n{"))
    assert isinstance(error, Refused)
    assert error.http_status == 422


@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7.0), ("0", 0.0), ("2.5", 2.5), ("99999999", 99999999.0)]
)
def test_the_wait_asked_for_is_told_in_seconds(header: str, seconds: float) -> None:
    for status in (429, 503):
        error = refusal_of(http(status, Retry_After=header))
        assert isinstance(error, RateLimited | Unavailable)
        assert error.retry_after == seconds


def test_the_wait_asked_for_may_be_a_date() -> None:
    moment = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=3000)
    error = refusal_of(http(429, Retry_After=format_datetime(moment, usegmt=True)))
    assert isinstance(error, RateLimited)
    assert error.retry_after is not None and 2900 < error.retry_after <= 3000


@pytest.mark.parametrize("header", ["", "soon", "nan", "-5", "inf"])
def test_a_wait_that_makes_no_sense_is_no_wait(header: str) -> None:
    error = refusal_of(http(429, Retry_After=header))
    assert isinstance(error, RateLimited)
    assert error.retry_after is None


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["read", "write"])
def test_a_redirect_is_never_followed_and_names_its_target(status: int, method: str) -> None:
    with loopback(lambda heard: said_json(batch("b"))) as elsewhere:
        target = elsewhere.url.replace("127.0.0.1", "localhost")
        with answering(http(status, Location=f"{target}/steal")) as (client, server):
            with pytest.raises(Redirected) as error:
                client.get_batch("b") if method == "read" else client.update_batch("b", PAUSE)
            assert error.value.target_host == "localhost"
            assert "localhost" in error.value.message
            assert len(server.heard) == 1
        assert elsewhere.heard == []


@pytest.mark.parametrize(
    ("location", "host"),
    [("/login", "127.0.0.1"), ("http://[bad", ""), ("//evil.example/x", "evil.example")],
)
def test_the_target_of_a_redirect_may_be_odd(location: str, host: str) -> None:
    error = refusal_of(http(302, Location=location))
    assert isinstance(error, Redirected)
    assert error.target_host == host


def test_the_endless_body_of_a_redirect_is_not_read() -> None:
    head = b"HTTP/1.1 302 Found\r\nLocation: https://evil.example\r\n\r\n"

    def endless() -> Any:
        yield head
        while True:
            yield b"x" * 65_536

    error = refusal_of(Said(endless()))
    assert isinstance(error, Redirected)


def test_nobody_listening_is_unavailable_and_surely_not_applied() -> None:
    client = SyllableClient(f"http://127.0.0.1:{unused_port()}", KEY)
    with pytest.raises(Unavailable) as error:
        client.update_batch("b", PAUSE)
    assert error.value.http_status is None
    assert not error.value.may_have_applied
    assert "refused" in error.value.message


def test_a_name_that_does_not_resolve_is_unavailable_and_surely_not_applied() -> None:
    client = SyllableClient("https://no-such-host.invalid", KEY)
    with pytest.raises(Unavailable) as error:
        client.update_batch("b", PAUSE)
    assert not error.value.may_have_applied


def test_a_connection_not_made_in_time_is_unavailable_and_surely_not_applied() -> None:
    with socket.socket() as full, contextlib.ExitStack() as waiting:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(3):
            queued = waiting.enter_context(socket.socket())
            queued.setblocking(False)
            queued.connect_ex(full.getsockname())
        client = SyllableClient(
            f"http://127.0.0.1:{full.getsockname()[1]}", KEY, connect_timeout=0.2
        )
        with pytest.raises(Unavailable, match="too long") as error:
            client.update_batch("b", PAUSE)
    assert not error.value.may_have_applied


def test_a_failed_tls_handshake_is_unavailable_and_surely_not_applied() -> None:
    with loopback(lambda heard: http(200)) as server:
        client = SyllableClient(server.url.replace("http:", "https:"), KEY, connect_timeout=2)
        with pytest.raises(Unavailable) as error:
            client.update_batch("b", PAUSE)
        client.close()
    assert not error.value.may_have_applied


@pytest.mark.parametrize("ending", ["close", "reset"])
def test_a_connection_that_breaks_after_the_request_leaves_the_write_in_doubt(ending: str) -> None:
    error = refusal_of(raw(ending=ending))
    assert isinstance(error, ReplyLost)
    assert error.http_status is None
    assert error.may_have_applied


def test_a_reply_cut_short_leaves_the_write_in_doubt() -> None:
    error = refusal_of(raw(b'HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{"batch_id": "b"'))
    assert isinstance(error, ReplyLost)
    assert error.may_have_applied


def test_no_reply_in_time_leaves_the_write_in_doubt() -> None:
    def silence() -> Any:
        time.sleep(1)
        yield b""

    error = refusal_of(Said(silence()), read_timeout=0.2)
    assert isinstance(error, ReplyLost)
    assert error.may_have_applied
    assert "too long" in error.message


def test_a_yes_that_makes_no_sense_leaves_the_write_in_doubt() -> None:
    error = refusal_of(http(200, b"<html>Welcome to the hotel network</html>"))
    assert isinstance(error, MalformedReply)
    assert error.may_have_applied


def test_an_unexpected_informational_status_is_malformed() -> None:
    error = error_for(103, {}, "", url="https://x.example", now=dt.datetime.now(dt.UTC))
    assert isinstance(error, MalformedReply)
