"""Each fault looks as it should, and the journal tells what truly happened."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Callable
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from requests.exceptions import ChunkedEncodingError, ReadTimeout

from batchops.sandbox import EmbeddedSandbox
from tests.sandbox.plain_http import BASE_PATH, PlainHttp

PAUSE = {"paused": True}


@pytest.fixture(autouse=True)
def one_batch(sandbox: EmbeddedSandbox) -> None:
    """A batch named `one` that is not paused."""
    sandbox.add_batch(batch_id="one", paused=False, call_rate=7)


def last_entry(sandbox: EmbeddedSandbox) -> dict[str, Any]:
    return sandbox.journal()[-1]


def eventually(holds: Callable[[], bool]) -> bool:
    """Whether something comes to hold within a few seconds."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize(
    ("fault", "status", "content_type"),
    [
        ("rate_limited", 429, "application/json"),
        ("unauthorized", 401, "application/json"),
        ("forbidden", 403, "application/json"),
        ("not_found", 404, "text/html"),
        ("refused", 422, "application/json"),
        ("error_500", 500, "text/html"),
        ("error_502", 502, "text/html"),
        ("error_503", 503, "text/html"),
        ("error_status", 504, "text/html"),
    ],
)
def test_a_refusal_changes_nothing(
    sandbox: EmbeddedSandbox, http: PlainHttp, fault: str, status: int, content_type: str
) -> None:
    sandbox.set_faults(**{fault: 1})
    reply = http.update("one", PAUSE)
    entry = last_entry(sandbox)
    assert (reply.status_code, reply.headers["Content-Type"]) == (status, content_type)
    assert sandbox.batch("one")["paused"] is False
    assert (entry["fault"], entry["status"], entry["applied"]) == (fault, status, False)


@pytest.mark.parametrize(("fault", "applied"), [("reset_before", False), ("reset_after", True)])
def test_a_reset_connection_leaves_the_batch_as_the_journal_says(
    sandbox: EmbeddedSandbox, http: PlainHttp, fault: str, applied: bool
) -> None:
    sandbox.set_faults(**{fault: 1})
    with pytest.raises(requests.ConnectionError, match="reset by peer"):
        http.update("one", PAUSE)
    assert sandbox.batch("one")["paused"] is applied
    assert (last_entry(sandbox)["status"], last_entry(sandbox)["applied"]) == ("reset", applied)


@pytest.mark.parametrize(("fault", "applied"), [("stall_before", False), ("stall_after", True)])
def test_a_stall_gives_no_answer_in_time(
    sandbox: EmbeddedSandbox, http: PlainHttp, fault: str, applied: bool
) -> None:
    sandbox.set_faults(**{fault: 1, "stall_seconds": 30})
    with pytest.raises(ReadTimeout):
        http.update("one", PAUSE, timeout=0.2)
    assert sandbox.batch("one")["paused"] is applied


def test_a_stall_ends_in_a_reset(sandbox: EmbeddedSandbox, http: PlainHttp) -> None:
    sandbox.set_faults(stall_before=1, stall_seconds=0.05)
    with pytest.raises(requests.ConnectionError, match="reset by peer"):
        http.update("one", PAUSE)


def test_an_error_after_applying_hides_that_it_was_applied(
    sandbox: EmbeddedSandbox, http: PlainHttp
) -> None:
    sandbox.set_faults(error_after=1)
    assert http.update("one", PAUSE).status_code == 502
    assert sandbox.batch("one")["paused"] is True
    assert (last_entry(sandbox)["status"], last_entry(sandbox)["applied"]) == (502, True)


def test_a_truncated_reply_ends_before_its_length(
    sandbox: EmbeddedSandbox, http: PlainHttp
) -> None:
    sandbox.set_faults(truncated=1)
    with pytest.raises(ChunkedEncodingError, match="IncompleteRead"):
        http.update("one", PAUSE)
    assert sandbox.batch("one")["paused"] is True


@pytest.mark.parametrize(("fault", "start"), [("not_json", b"<html>"), ("empty", b"")])
def test_a_200_may_hold_no_json(
    sandbox: EmbeddedSandbox, http: PlainHttp, fault: str, start: bytes
) -> None:
    sandbox.set_faults(**{fault: 1})
    reply = http.update("one", PAUSE)
    assert (reply.status_code, reply.content[:6]) == (200, start)
    assert sandbox.batch("one")["paused"] is True


def test_an_oversized_reply_is_as_large_as_asked_and_does_not_say_so(
    sandbox: EmbeddedSandbox, http: PlainHttp
) -> None:
    sandbox.set_faults(oversized=1, oversized_bytes=1_000_000)
    reply = http.update("one", PAUSE)
    assert "Content-Length" not in reply.headers
    assert len(reply.content) > 1_000_000
    assert reply.json()["batch_id"] == "one"


def test_a_redirect_names_another_host_and_keeps_the_path(
    sandbox: EmbeddedSandbox, http: PlainHttp
) -> None:
    sandbox.set_faults(redirect=1, redirect_to="https://elsewhere.invalid")
    reply = http.update("one", PAUSE)
    location = f"https://elsewhere.invalid{BASE_PATH}/batches/one"
    assert (reply.status_code, reply.headers["Location"]) == (307, location)


def test_a_reply_may_speak_of_another_batch(sandbox: EmbeddedSandbox, http: PlainHttp) -> None:
    sandbox.set_faults(wrong_batch_id=1)
    assert http.update("one", PAUSE).json()["batch_id"] == "one-other"
    assert http.batch("one").json()["batch_id"] == "one-other"
    assert http.batches().json()["items"][0]["batch_id"] == "one"


def test_a_page_may_not_be_a_page(sandbox: EmbeddedSandbox, http: PlainHttp) -> None:
    sandbox.set_faults(not_a_page=1)
    assert not isinstance(http.batches().json()["items"], list)
    assert not isinstance(http.campaigns().json()["items"], list)
    assert http.batch("one").json()["batch_id"] == "one"


def test_the_list_of_campaigns_may_be_null(sandbox: EmbeddedSandbox, http: PlainHttp) -> None:
    sandbox.set_faults(null_campaigns=1)
    assert http.campaigns().json() is None
    assert len(http.batches().json()["items"]) == 1


def test_statuses_may_be_unknown(sandbox: EmbeddedSandbox, http: PlainHttp) -> None:
    sandbox.set_faults(unknown_status=1)
    assert http.batch("one").json()["status"] == "ARCHIVED"
    assert http.batches().json()["items"][0]["status"] == "ARCHIVED"


def test_fields_may_be_new(sandbox: EmbeddedSandbox, http: PlainHttp) -> None:
    sandbox.set_faults(extra_fields=1)
    assert {"priority", "outreach_window"} <= http.batch("one").json().keys()


def test_fields_may_be_missing(sandbox: EmbeddedSandbox, http: PlainHttp) -> None:
    sandbox.set_faults(missing_fields=1)
    required = {"batch_id", "campaign_id", "last_updated_by"}
    assert http.batches().json()["items"][0].keys() == required


@pytest.mark.parametrize(("fault", "shown"), [("not_applied", False), ("not_kept", True)])
def test_an_update_may_be_accepted_and_not_applied(
    sandbox: EmbeddedSandbox, http: PlainHttp, fault: str, shown: bool
) -> None:
    before = sandbox.batch("one")
    sandbox.set_faults(**{fault: 1})
    reply = http.update("one", PAUSE)
    assert (reply.status_code, reply.json()["paused"]) == (200, shown)
    assert sandbox.batch("one") == before
    assert last_entry(sandbox)["applied"] is False


@pytest.mark.parametrize(("fault", "shown"), [("extra_change", 77), ("extra_change_hidden", 7)])
def test_another_field_may_move_too(
    sandbox: EmbeddedSandbox, http: PlainHttp, fault: str, shown: int
) -> None:
    sandbox.set_faults(**{fault: 1})
    reply = http.update("one", PAUSE).json()
    after = sandbox.batch("one")
    assert (reply["call_rate"], after["call_rate"], after["paused"]) == (shown, 77, True)


@pytest.mark.parametrize(
    "asked",
    [
        {"call_rate": 9},
        {"call_rate": 9, "paused": True},
        {"call_rate": 9, "paused": True, "expires_on": "2037-01-01T00:00:00Z"},
    ],
)
def test_the_field_that_moves_too_is_never_one_that_was_asked_for(
    sandbox: EmbeddedSandbox, http: PlainHttp, asked: dict[str, Any]
) -> None:
    before = sandbox.batch("one")
    sandbox.set_faults(extra_change=1)
    http.update("one", asked)
    after = sandbox.batch("one")
    consequences = {"last_updated_at", "last_updated_by", "status"}
    moved = {name for name in after if after[name] != before[name]} - consequences
    assert len(moved - asked.keys()) == 1
    assert all(after[name] == value for name, value in asked.items())


@pytest.mark.parametrize(
    ("handling", "status", "expiry_kept"),
    [("clear", 200, False), ("ignore", 200, True), ("refuse", 422, True)],
)
def test_null_clears_or_is_ignored_or_is_refused(
    sandbox: EmbeddedSandbox, http: PlainHttp, handling: str, status: int, expiry_kept: bool
) -> None:
    sandbox.edit_batch("one", expires_on="2037-01-01T00:00:00Z")
    sandbox.set_faults(null_handling=handling)
    assert http.update("one", {"expires_on": None}).status_code == status
    assert (sandbox.batch("one")["expires_on"] is not None) is expiry_kept


@pytest.mark.parametrize(
    ("form", "written"),
    [
        ("Z", "2036-02-03T04:05:06.070000Z"),
        ("+00:00", "2036-02-03T04:05:06.070000+00:00"),
        ("offset", "2036-02-02T23:05:06.070000-05:00"),
        ("naive", "2036-02-03T04:05:06.070000"),
        ("microseconds", "2036-02-03T04:05:06.070000Z"),
        ("seconds", "2036-02-03T04:05:06Z"),
    ],
)
def test_instants_are_written_in_the_form_asked_for(
    sandbox: EmbeddedSandbox, http: PlainHttp, form: str, written: str
) -> None:
    sandbox.edit_batch("one", expires_on="2036-02-03T04:05:06.070Z")
    sandbox.set_faults(timestamp_format=form)
    assert http.batch("one").json()["expires_on"] == written


@pytest.mark.parametrize("form", ["Z", "offset", "naive", "microseconds", "seconds"])
@pytest.mark.parametrize("date", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_the_ends_of_the_calendar_are_written_in_every_form(
    sandbox: EmbeddedSandbox, http: PlainHttp, form: str, date: str
) -> None:
    sandbox.edit_batch("one", last_updated_at=date)
    sandbox.set_faults(timestamp_format=form)
    assert http.batch("one").json()["last_updated_at"][:3] == date[:3]


def test_lists_may_leave_deleted_batches_out(sandbox: EmbeddedSandbox, http: PlainHttp) -> None:
    sandbox.delete_batch("one", reason="Wrong file uploaded")
    assert http.batches().json()["items"][0]["deleted_reason"] == "Wrong file uploaded"
    sandbox.set_faults(deleted_hidden=True)
    assert http.batches().json()["items"] == []
    assert http.batch("one").status_code == 200


def test_pages_may_lack_their_totals(sandbox: EmbeddedSandbox, http: PlainHttp) -> None:
    sandbox.set_faults(total_count="hidden")
    assert http.batches().json().keys() == {"items", "page", "page_size"}


@pytest.mark.parametrize("status", [400, 404, 409, 422])
def test_updates_of_ended_batches_may_be_refused(
    sandbox: EmbeddedSandbox, http: PlainHttp, status: int
) -> None:
    sandbox.delete_batch("one")
    sandbox.set_faults(ended_status=status)
    assert http.update("one", PAUSE).status_code == status
    assert sandbox.batch("one")["paused"] is False


def test_answers_take_the_latency_and_up_to_the_jitter_more(
    sandbox: EmbeddedSandbox, http: PlainHttp
) -> None:
    sandbox.set_faults(latency=0.1, jitter=0.05)
    started = time.monotonic()
    http.batch("one")
    assert time.monotonic() - started >= 0.1


def test_beyond_the_rate_limit_requests_are_refused_until_time_has_passed(
    sandbox: EmbeddedSandbox, http: PlainHttp
) -> None:
    sandbox.set_faults(rate_limit=1, rate_limit_burst=2)
    statuses = [http.batch("one").status_code for _ in range(3)]
    assert statuses == [200, 200, 429]
    assert eventually(lambda: http.batch("one").status_code == 200)


@pytest.mark.parametrize("fault", ["rate_limited", "error_503"])
def test_a_refusal_says_when_to_come_back_in_the_form_asked_for(
    sandbox: EmbeddedSandbox, http: PlainHttp, fault: str
) -> None:
    option = "retry_after" if fault == "rate_limited" else "unavailable_retry_after"

    def header(form: str) -> str | None:
        sandbox.set_faults(**{fault: 1, option: form, "retry_after_seconds": 3})
        return http.batch("one").headers.get("Retry-After")

    assert (header("seconds"), header("none"), header("absurd")) == ("3", None, "86400")
    asked_at = time.time()
    moment = email.utils.parsedate_to_datetime(header("date") or "")
    assert asked_at + 2 <= moment.timestamp() <= time.time() + 3


def test_the_connection_is_kept_for_further_requests(sandbox: EmbeddedSandbox) -> None:
    place = urlsplit(sandbox.url)
    connection = HTTPConnection(place.hostname or "", place.port, timeout=5)
    used = set()
    for _ in range(3):
        connection.request("GET", f"{BASE_PATH}/batches", headers={"Syllable-API-Key": "no"})
        assert connection.getresponse().read()
        used.add(connection.sock.getsockname())
    connection.close()
    assert len(used) == 1
