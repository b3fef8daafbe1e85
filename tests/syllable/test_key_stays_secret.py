"""The key is in the header of each request to one origin, and nowhere else."""

from __future__ import annotations

import logging
import pickle
import traceback
from collections.abc import Callable

import pytest

from batchops.syllable.client import SyllableClient
from batchops.syllable.errors import Misconfigured, SyllableError
from batchops.syllable.patch import BatchPatch
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

TROUBLES = {
    "accepted": said_json(batch("b")),
    "echoed in json": said_json({"detail": f"key {KEY} is revoked"}, 401),
    "echoed in html": http(403, f"<p>{KEY}</p>".encode()),
    "echoed at the cut": http(409, b"x" * 490 + KEY.encode()),
    "echoed in a redirect": http(302, Location=f"https://evil.example/?key={KEY}"),
    "echoed as a batch": said_json(batch("other")),
    "reset": raw(ending="reset"),
    "cut off": raw(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"),
    "bad header": raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\n"),
    "not json": http(200, b"<html>"),
    "too large": http(200, b" " * 2_000_000),
    "server error": http(500),
}
CALLS: list[Callable[[SyllableClient], object]] = [
    lambda client: client.get_batch("b"),
    lambda client: client.update_batch("b", BatchPatch(paused=True)),
    lambda client: client.list_batches(),
]


def told_by(client: SyllableClient, call: Callable[[SyllableClient], object]) -> str:
    """All that an error report about a call could show, local variables included."""
    try:
        call(client)
    except SyllableError as error:
        report = traceback.TracebackException.from_exception(error, capture_locals=True)
        chained = (error.__cause__, error.__context__)
        return "".join(report.format()) + repr((error, vars(error), error.args, chained))
    return ""


@pytest.fixture(autouse=True)
def everything_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    for name in (None, "urllib3", "requests", "batchops"):
        caplog.set_level(logging.DEBUG, logger=name)


@pytest.mark.parametrize("said", TROUBLES.values(), ids=TROUBLES.keys())
@pytest.mark.parametrize("call", CALLS, ids=["get", "update", "list"])
def test_no_error_and_no_log_shows_the_key(
    said: Said, call: Callable[[SyllableClient], object], caplog: pytest.LogCaptureFixture
) -> None:
    with answering(said) as (client, server):
        told = told_by(client, call)
        assert server.heard[0].headers["syllable-api-key"] == KEY
    assert "urllib3" not in told
    assert KEY not in told
    assert "Starting new HTTP connection" in caplog.text
    assert KEY not in caplog.text


def test_no_error_shows_the_key_when_the_vendor_is_not_there(
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = SyllableClient(f"http://127.0.0.1:{unused_port()}", KEY, read_attempts=1)
    for call in CALLS:
        told = told_by(client, call)
        assert "cannot be reached" in told
        assert KEY not in told
    assert KEY not in caplog.text


def test_a_very_short_key_does_not_cut_up_ordinary_words() -> None:
    with loopback(lambda heard: said_json({"detail": "no"}, 409)) as server:
        client = SyllableClient(server.url, "n")
        with pytest.raises(SyllableError, match=r"^no$"):
            client.get_batch("b")
        client.close()


def test_the_client_shows_its_host_alone() -> None:
    client = SyllableClient("https://api.syllable.cloud/x", KEY)
    assert repr(client) == str(client) == "<SyllableClient api.syllable.cloud>"


def test_a_key_that_cannot_be_one_is_not_shown() -> None:
    with pytest.raises(Misconfigured) as error:
        SyllableClient("https://api.syllable.cloud", f"{KEY}\n")
    assert KEY not in "".join(traceback.format_exception(error.value))


def test_an_error_can_be_handed_to_another_process() -> None:
    said = http(503, Retry_After="5")
    with answering(said) as (client, _), pytest.raises(SyllableError) as caught:
        client.update_batch("b", BatchPatch(paused=True))
    copy = pickle.loads(pickle.dumps(caught.value))
    assert type(copy) is type(caught.value)
    assert vars(copy) == vars(caught.value)
