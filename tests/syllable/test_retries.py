"""Reads are tried again, a few times and with growing waits; writes never are."""

from __future__ import annotations

import json

import pytest

from batchops.syllable.client import RETRY_AFTER_CAP_SECONDS, SyllableClient
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
from batchops.syllable.patch import BatchPatch
from tests.syllable.loopback import (
    KEY,
    Said,
    answering,
    batch,
    client_of,
    http,
    loopback,
    raw,
    said_json,
    unused_port,
)

CUT_OFF = json.dumps(batch("b")).encode()[:-3]

PASSING = [
    (http(429), RateLimited),
    (http(500), Unavailable),
    (http(502, b"<html>Bad Gateway</html>"), Unavailable),
    (http(503), Unavailable),
    (http(408), Unavailable),
    (raw(ending="reset"), ReplyLost),
    (raw(ending="close"), ReplyLost),
    (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"), ReplyLost),
    (http(200, CUT_OFF), ReplyLost),
]
LASTING = [
    (http(302, Location="https://evil.example"), Redirected),
    (http(401), Unauthorized),
    (http(403), Unauthorized),
    (http(404), NotFound),
    (http(422), Refused),
    (http(200, b"<html>hello</html>"), MalformedReply),
    (http(200, b"[]"), MalformedReply),
]


@pytest.mark.parametrize(("trouble", "kind"), PASSING)
def test_a_read_survives_trouble_that_passes(trouble: Said, kind: type[SyllableError]) -> None:
    answers = iter([trouble, trouble, trouble, said_json(batch("b"))])
    with loopback(lambda heard: next(answers)) as server, client_of(server) as client:
        assert client.get_batch("b").record.batch_id == "b"
        assert len(server.heard) == 4


@pytest.mark.parametrize(("trouble", "kind"), PASSING)
def test_a_read_gives_up_after_its_last_try(trouble: Said, kind: type[SyllableError]) -> None:
    with answering(trouble, read_attempts=3) as (client, server):
        with pytest.raises(kind):
            client.list_batches()
        assert len(server.heard) == 3


@pytest.mark.parametrize(("trouble", "kind"), LASTING)
def test_trouble_that_would_not_pass_is_told_at_once(
    trouble: Said, kind: type[SyllableError]
) -> None:
    with answering(trouble) as (client, server):
        with pytest.raises(kind):
            client.get_batch("b")
        assert len(server.heard) == 1


@pytest.mark.parametrize(("trouble", "kind"), PASSING + LASTING)
def test_a_write_is_sent_once(trouble: Said, kind: type[SyllableError]) -> None:
    with answering(trouble) as (client, server):
        with pytest.raises(kind):
            client.update_batch("b", BatchPatch(paused=True))
        assert len(server.heard) == 1


def test_waits_grow_and_are_jittered_below_their_cap() -> None:
    waits: list[float] = []
    with (
        answering(http(500), read_attempts=12, sleep=waits.append) as (client, _),
        pytest.raises(Unavailable),
    ):
        client.get_batch("b")
    limits = [min(30.0, 0.5 * 2**tries) for tries in range(11)]
    assert len(waits) == 11
    assert all(0 <= wait <= limit for wait, limit in zip(waits, limits, strict=True))
    assert len(set(waits)) > 1


@pytest.mark.parametrize("status", [429, 503])
def test_a_wait_asked_for_is_kept_up_to_a_cap(status: int) -> None:
    waits: list[float] = []
    answers = iter([http(status, Retry_After="7"), http(status, Retry_After="86400")])
    with (
        loopback(lambda heard: next(answers, said_json(batch("b")))) as server,
        client_of(server, sleep=waits.append) as client,
    ):
        client.get_batch("b")
    assert waits == [7.0, RETRY_AFTER_CAP_SECONDS]


def test_a_vendor_that_is_not_there_is_tried_again() -> None:
    waits: list[float] = []
    client = SyllableClient(f"http://127.0.0.1:{unused_port()}", KEY, sleep=waits.append)
    with pytest.raises(Unavailable):
        client.list_campaigns()
    assert len(waits) == 3
