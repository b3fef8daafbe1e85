"""The control endpoint and the journal: what happens behind the vendor's back."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from batchops.sandbox import EmbeddedSandbox
from tests.sandbox.plain_http import PlainHttp


def test_somebody_else_changes_a_batch_in_the_console(
    sandbox: EmbeddedSandbox, http: PlainHttp
) -> None:
    before = sandbox.add_batch(batch_id="a/b #1")
    body = {"paused": True, "last_updated_by": "priya.raman@harborline.example"}
    http.control("POST", "batches/a%2Fb%20%231", json=body)
    seen = http.batch("a/b #1").json()
    assert (seen["paused"], seen["last_updated_by"]) == (True, body["last_updated_by"])
    assert seen["last_updated_at"] > before["last_updated_at"]


def test_a_batch_is_added(sandbox: EmbeddedSandbox, http: PlainHttp) -> None:
    added = http.control("POST", "batches", json={"campaign_id": 4, "status": "PAUSED"}).json()
    assert http.batch(added["batch_id"]).json()["status"] == "PAUSED"


def test_a_batch_is_deleted_softly_and_says_why(sandbox: EmbeddedSandbox, http: PlainHttp) -> None:
    sandbox.add_batch(batch_id="one")
    http.control("DELETE", "batches/one", params={"reason": "Wrong file uploaded"})
    seen = http.batch("one").json()
    assert (seen["status"], seen["deleted_reason"]) == ("CANCELED", "Wrong file uploaded")
    assert seen["deleted_at"] is not None


def test_a_batch_vanishes_without_a_trace(sandbox: EmbeddedSandbox, http: PlainHttp) -> None:
    sandbox.add_batch(batch_id="one")
    http.control("DELETE", "batches/one", params={"hard": "1"})
    assert http.batch("one").status_code == 404
    assert http.batches().json()["items"] == []


def test_the_raw_state_is_shown_whatever_readers_are_made_to_see(
    sandbox: EmbeddedSandbox, http: PlainHttp
) -> None:
    sandbox.add_batch(batch_id="one")
    sandbox.set_faults(list_lag_seconds=60, get_lag_seconds=60, unknown_status=1)
    http.update("one", {"paused": True})
    (raw,) = http.control("GET", "batches").json()
    assert (raw["status"], raw["paused"]) == ("PAUSED", True)
    assert http.control("GET", "batches/one").json() == raw


def test_faults_are_set_shown_and_reset(sandbox: EmbeddedSandbox, http: PlainHttp) -> None:
    quiet = http.control("GET", "faults").json()
    scope = {"methods": ["PUT"], "endpoints": None, "batch_ids": None}
    share = {"share": 0.5, **scope, "times": None}
    loud = http.control("PUT", "faults", json={"error_503": share, "latency": 0.01}).json()
    assert (loud["error_503"], loud["latency"]) == (share, 0.01)
    assert http.control("GET", "faults").json() == loud
    assert http.control("DELETE", "faults").json() == quiet


def test_the_journal_holds_each_request_in_order_and_never_the_key(
    sandbox: EmbeddedSandbox, http: PlainHttp
) -> None:
    sandbox.add_batch(batch_id="a/b")
    http.update("a/b", {"paused": True})
    http.update("a/b", {"call_rate": 0})
    http.update("gone", {"paused": True})
    http.send("PUT", "/api/v1/outbound/batches/a%2Fb", data=b"not json")
    http.batches(limit=1)
    requests.get(sandbox.url + "/api/v1/outbound/batches", timeout=5)
    requests.get(sandbox.url + "/api/v1/outbound/batches/a%2Fb/results", timeout=5)
    entries = http.control("GET", "journal").json()
    assert [entry["sequence"] for entry in entries] == [1, 2, 3, 4, 5, 6, 7]
    assert [entry["status"] for entry in entries] == [200, 422, 404, 422, 200, 401, 404]
    assert [entry["applied"] for entry in entries] == [True] + [False] * 6
    assert [entry["batch_id"] for entry in entries[:4]] == ["a/b", "a/b", "gone", "a/b"]
    assert [entry["body"] for entry in entries[2:5]] == [{"paused": True}, "not json", None]
    assert sandbox.key not in http.control("GET", "journal").text


def test_the_journal_is_read_in_parts_and_cleared(
    sandbox: EmbeddedSandbox, http: PlainHttp
) -> None:
    sandbox.add_batch(batch_id="one")
    for _ in range(3):
        http.batch("one")
        http.update("one", {})
    puts = http.control("GET", "journal", params={"method": "PUT", "after": 2, "limit": 1}).json()
    assert [entry["sequence"] for entry in puts] == [4]
    http.control("DELETE", "journal")
    assert http.control("GET", "journal").json() == []
    assert http.control("GET", "health").json() == {
        "status": "ok",
        "batches": 1,
        "campaigns": 1,
        "received": 0,
    }


@pytest.mark.parametrize(
    ("method", "name", "body", "status", "message"),
    [
        ("PUT", "faults", {"error_599": 1}, 400, "There is no fault 'error_599'"),
        ("PUT", "faults", [], 400, "not a JSON object"),
        ("POST", "faults", {}, 400, "Faults accept GET, PUT and DELETE"),
        ("PUT", "journal", {}, 400, "The journal accepts GET and DELETE"),
        ("GET", "journal?after=first", None, 400, "after: 'first' is not a whole number"),
        ("POST", "batches", {"colour": "red"}, 400, "A batch has no field 'colour'"),
        ("POST", "batches", {"expires_on": "soon"}, 400, "expires_on: 'soon' is not an ISO 8601"),
        ("POST", "batches", {"batch_id": ""}, 400, "batch_id: '' is not a text"),
        ("POST", "batches", {"batch_id": 7}, 400, "batch_id: 7 is not a text"),
        ("POST", "batches", {"batch_id": "\ud800"}, 400, "is not a text that could be"),
        ("POST", "batches/one", {"batch_id": "two"}, 400, "A batch_id cannot be changed"),
        ("POST", "batches/gone", {"paused": True}, 404, "There is no batch 'gone'"),
        ("GET", "batches/gone", None, 404, "There is no batch 'gone'"),
        ("DELETE", "batches/gone?hard", None, 404, "There is no batch 'gone'"),
        ("PATCH", "batches/one", {}, 400, "A batch accepts GET, POST and DELETE"),
        ("GET", "nonsense", None, 400, "The sandbox has no GET"),
    ],
)
def test_what_the_control_endpoint_cannot_do_is_explained(
    sandbox: EmbeddedSandbox,
    http: PlainHttp,
    method: str,
    name: str,
    body: Any,
    status: int,
    message: str,
) -> None:
    sandbox.add_batch(batch_id="one")
    reply = http.control(method, name, json=body)
    assert reply.status_code == status
    assert message in reply.json()["error"]


def test_a_control_body_that_is_not_json_is_explained(http: PlainHttp) -> None:
    reply = http.control("PUT", "faults", data=b"{")
    assert (reply.status_code, "not JSON" in reply.json()["error"]) == (400, True)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/api/v1/outbound/batches/",
        "/api/v1/outbound/batches/one/results",
        "/api/v1/outbound/batches/one/requests",
        "/api/v1/outbound/targets",
    ],
)
def test_there_is_nothing_at_other_paths_least_of_all_contact_data(
    sandbox: EmbeddedSandbox, http: PlainHttp, path: str
) -> None:
    sandbox.add_batch(batch_id="one")
    assert http.send("GET", path).status_code == 404


def test_a_missing_batch_raises_in_the_thread_that_asked(sandbox: EmbeddedSandbox) -> None:
    with pytest.raises(KeyError):
        sandbox.vanish("gone")
    with pytest.raises(KeyError):
        sandbox.edit_batch("gone", paused=True)
