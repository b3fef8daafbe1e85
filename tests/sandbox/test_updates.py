"""Updates: what a body may say, what it does, and how the status follows."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchops.sandbox import EmbeddedSandbox, make_batch
from batchops.sandbox.rules import (
    UPDATE_FIELDS,
    Invalid,
    NullHandling,
    read_update,
    status_of,
    updated,
)
from tests.sandbox.plain_http import BASE_PATH, PlainHttp

FUTURE = "2037-01-01T06:00:00Z"
NOW = dt.datetime.now(dt.UTC)
HOUR = dt.timedelta(hours=1)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"paused": "yes"}, ["body", "paused"]),
        ({"paused": 1}, ["body", "paused"]),
        ({"call_rate": 0}, ["body", "call_rate"]),
        ({"call_rate": 3601}, ["body", "call_rate"]),
        ({"call_rate": 2.5}, ["body", "call_rate"]),
        ({"call_rate": True}, ["body", "call_rate"]),
        ({"expires_on": "tomorrow"}, ["body", "expires_on"]),
        ({"expires_on": 1_800_000_000}, ["body", "expires_on"]),
        ({"expires_on": "0001-01-01T00:00:00+14:00"}, ["body", "expires_on"]),
        ({"auto_call_rate": "on"}, ["body", "auto_call_rate"]),
        ({"auto_call_rate": True}, ["body", "auto_call_rate"]),
        ([], ["body"]),
        ("paused", ["body"]),
        (None, ["body", 0]),
    ],
)
def test_a_bad_value_is_refused_by_name_and_nothing_changes(
    sandbox: EmbeddedSandbox, http: PlainHttp, body: Any, place: list[object]
) -> None:
    before = sandbox.add_batch(batch_id="one")
    reply = http.update("one", body)
    assert (reply.status_code, reply.json()["detail"][0]["loc"]) == (422, place)
    assert sandbox.batch("one") == before


def test_a_body_that_is_not_json_is_refused(sandbox: EmbeddedSandbox, http: PlainHttp) -> None:
    sandbox.add_batch(batch_id="one")
    reply = http.send("PUT", f"{BASE_PATH}/batches/one", data=b"{paused: true")
    assert (reply.status_code, reply.json()["detail"][0]["type"]) == (422, "json_invalid")


def test_one_reply_names_every_bad_field(sandbox: EmbeddedSandbox, http: PlainHttp) -> None:
    sandbox.add_batch(batch_id="one")
    details = http.update("one", {"paused": 1, "call_rate": 0}).json()["detail"]
    assert [detail["loc"][1] for detail in details] == ["paused", "call_rate"]


def test_unknown_fields_are_ignored(sandbox: EmbeddedSandbox, http: PlainHttp) -> None:
    sandbox.add_batch(batch_id="one")
    reply = http.update("one", {"status": "EXPIRED", "campaign_id": 9, "colour": "red"})
    assert (reply.status_code, reply.json()["status"], reply.json()["campaign_id"]) == (
        200,
        "ACTIVE",
        1,
    )


def test_the_reply_is_the_whole_batch(sandbox: EmbeddedSandbox, http: PlainHttp) -> None:
    sandbox.add_batch(batch_id="one")
    reply = http.update("one", {"paused": True}).json()
    read = http.batch("one").json()
    counts = {"status_counts", "detailed_status_counts"}
    assert reply == {name: value for name, value in read.items() if name not in counts}


def test_automatic_call_rate_may_come_with_its_expiry(
    sandbox: EmbeddedSandbox, http: PlainHttp
) -> None:
    sandbox.add_batch(batch_id="one")
    reply = http.update("one", {"auto_call_rate": True, "expires_on": FUTURE})
    assert (reply.status_code, reply.json()["auto_call_rate"]) == (200, True)


def test_an_expiry_that_automatic_call_rate_needs_cannot_be_cleared(
    sandbox: EmbeddedSandbox, http: PlainHttp
) -> None:
    sandbox.add_batch(batch_id="one", auto_call_rate=True, expires_on=FUTURE)
    reply = http.update("one", {"expires_on": None})
    assert (reply.status_code, reply.json()["detail"][0]["loc"]) == (422, ["body", "expires_on"])


def test_turning_automatic_call_rate_off_forgets_its_baseline(
    sandbox: EmbeddedSandbox, http: PlainHttp
) -> None:
    sandbox.add_batch(
        batch_id="one", auto_call_rate=True, auto_call_rate_baseline=25.0, expires_on=FUTURE
    )
    assert http.update("one", {"auto_call_rate": False}).json()["auto_call_rate_baseline"] is None


@pytest.mark.parametrize("batch_id", ["a/b?c#d%2F", "../campaigns/1", "50 %", "nachzügler"])
def test_an_id_may_hold_any_character(
    sandbox: EmbeddedSandbox, http: PlainHttp, batch_id: str
) -> None:
    sandbox.add_batch(batch_id=batch_id)
    segment = "".join(f"%{byte:02X}" for byte in batch_id.encode())
    reply = http.send("PUT", f"{BASE_PATH}/batches/{segment}", json={"paused": True})
    assert reply.json()["batch_id"] == batch_id
    assert sandbox.batch(batch_id)["paused"] is True


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, "ACTIVE"),
        ({"paused": True}, "PAUSED"),
        ({"paused": None}, "ACTIVE"),
        ({"dispatch_id": None}, "PENDING"),
        ({"expires_on": NOW - HOUR}, "EXPIRED"),
        ({"expires_on": NOW - HOUR, "paused": True}, "EXPIRED"),
        ({"expires_on": NOW + HOUR}, "ACTIVE"),
        ({"status": "FAILED", "paused": True}, "FAILED"),
        ({"status": "CANCELED", "expires_on": NOW - HOUR}, "CANCELED"),
        ({"status": "COMPLETED"}, "COMPLETED"),
    ],
)
def test_the_status_follows_from_the_other_fields(fields: dict[str, Any], status: str) -> None:
    assert status_of(make_batch(**fields), NOW) == status


def test_a_batch_expires_as_time_passes_and_a_later_expiry_revives_it(
    sandbox: EmbeddedSandbox, http: PlainHttp
) -> None:
    sandbox.add_batch(batch_id="one")
    now = dt.datetime.now(dt.UTC)
    assert http.update("one", {"expires_on": now.isoformat()}).json()["status"] == "EXPIRED"
    assert http.update("one", {"expires_on": FUTURE}).json()["status"] == "ACTIVE"


@pytest.mark.parametrize("status", ["FAILED", "CANCELED"])
def test_pausing_leaves_an_ended_status_as_it_is(
    sandbox: EmbeddedSandbox, http: PlainHttp, status: str
) -> None:
    sandbox.add_batch(batch_id="one", status=status)
    reply = http.update("one", {"paused": True}).json()
    assert (reply["paused"], reply["status"]) == (True, status)


@given(JSON)
def test_any_body_is_read_or_refused_in_the_vendors_shape(body: Any) -> None:
    try:
        values = read_update(body, NullHandling.CLEAR)
    except Invalid as error:
        assert all(set(detail) == {"loc", "msg", "type"} for detail in error.details)
    else:
        assert set(values) <= set(UPDATE_FIELDS)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "paused": st.booleans() | st.none(),
            "expires_on": st.datetimes(timezones=st.just(dt.UTC)).map(dt.datetime.isoformat)
            | st.none(),
            "call_rate": st.integers(1, 3600) | st.none(),
        },
    )
)
def test_what_a_body_omits_stays_and_null_clears(body: dict[str, Any]) -> None:
    before = make_batch(paused=True, expires_on=NOW, call_rate=9)
    after = updated(before, read_update(body, NullHandling.CLEAR), NOW, "someone@example.com")
    for field in UPDATE_FIELDS:
        if field not in body:
            assert getattr(after, field) == getattr(before, field)
        elif body[field] is None:
            assert getattr(after, field) is None
