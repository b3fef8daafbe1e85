"""What is read out of the vendor's JSON, and what is refused."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchops.syllable.errors import MalformedReply, ReplyLost
from batchops.syllable.records import (
    BATCH_ID_LENGTH,
    NAMES_KEPT,
    STATUS_LENGTH,
    TEXT_LENGTH,
    BatchRecord,
    CampaignRecord,
    Page,
    decode,
    parse_batch,
    parse_batch_page,
    parse_campaign,
    parse_campaign_page,
    parse_details,
)
from tests.syllable.loopback import batch, page_of

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(st.characters(exclude_categories=[]))
    | st.sampled_from(["2026-08-22T00:00:00Z", "0001-01-01T00:00:00+14:00", "true", "25"]),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
BATCH_FIELDS = (*BatchRecord.__slots__, "status_counts", "detailed_status_counts", "new_field")
CAMPAIGN_FIELDS = (*CampaignRecord.__slots__, "source", "caller_id", "campaign_variables")
PAGE_FIELDS = ("items", "page", "page_size", "total_pages", "total_count")


def nearly(fields: tuple[str, ...], sound: dict[str, Any]) -> st.SearchStrategy[Any]:
    """A sound object with some fields replaced by any JSON; or any JSON at all."""
    odd = st.dictionaries(st.sampled_from(fields), JSON, max_size=4)
    return odd.map(lambda fields: {**sound, **fields}) | JSON


def storable(text: str) -> bool:
    return "\0" not in text and not any(0xD800 <= ord(c) < 0xE000 for c in text)


def texts_of(record: Any) -> list[str]:
    values = [getattr(record, name) for name in record.__slots__]
    flat = [
        entry for value in values for entry in (value if isinstance(value, tuple) else (value,))
    ]
    return [value for value in flat if isinstance(value, str)]


FULL = {
    "batch_id": "20260822.9",
    "campaign_id": 7,
    "expires_on": "2026-08-23T00:00:00Z",
    "paused": True,
    "call_rate": 25,
    "auto_call_rate": False,
    "status": "PAUSED",
    "auto_call_rate_baseline": 25.5,
    "upload_filename": "LATE_PAYMENTS_20250401.csv",
    "dispatch_id": "5ac42327",
    "created_at": "2026-08-22T00:00:00",
    "deleted_at": None,
    "deleted_reason": None,
    "last_updated_at": "2026-08-22T02:00:00.123456+02:00",
    "last_updated_by": "user@example.com",
    "error_message": None,
}


def test_a_whole_batch_is_read() -> None:
    assert parse_batch(FULL) == BatchRecord(
        batch_id="20260822.9",
        campaign_id=7,
        paused=True,
        expires_on=dt.datetime(2026, 8, 23, tzinfo=dt.UTC),
        call_rate=25,
        auto_call_rate=False,
        status="PAUSED",
        auto_call_rate_baseline=25.5,
        upload_filename="LATE_PAYMENTS_20250401.csv",
        dispatch_id="5ac42327",
        created_at=dt.datetime(2026, 8, 22, tzinfo=dt.UTC),
        last_updated_at=dt.datetime(2026, 8, 22, 0, 0, 0, 123456, tzinfo=dt.UTC),
        last_updated_by="user@example.com",
    )


def test_an_identity_alone_is_a_batch() -> None:
    assert parse_batch({"batch_id": "b", "campaign_id": 1}) == BatchRecord("b", 1)


def test_null_is_the_same_as_absent() -> None:
    nulls = dict.fromkeys(set(FULL) - {"batch_id", "campaign_id"})
    assert parse_batch({"batch_id": "b", "campaign_id": 1, **nulls}) == BatchRecord("b", 1)


def test_an_unknown_status_is_kept_verbatim() -> None:
    assert parse_batch(batch(status="Winding_Down 2")).status == "Winding_Down 2"


def test_unknown_fields_are_named_and_do_no_harm() -> None:
    record = parse_batch(batch(priority=3, colour=None, status_counts={}))
    assert record.unknown_fields == {"priority", "colour"}
    assert parse_batch(FULL).unknown_fields == frozenset()


def test_unknown_fields_without_end_are_bounded() -> None:
    record = parse_batch({**batch(), **{f"{number:05}{'x' * 500}": 1 for number in range(1000)}})
    assert len(record.unknown_fields) <= NAMES_KEPT
    assert all(len(name) <= STATUS_LENGTH for name in record.unknown_fields)


@pytest.mark.parametrize("data", [None, [], "b", 1, True, {}])
def test_what_is_no_object_with_an_identity_is_no_batch(data: object) -> None:
    with pytest.raises(MalformedReply):
        parse_batch(data)


@pytest.mark.parametrize(
    "batch_id", [None, "", 1, True, [], "x" * (BATCH_ID_LENGTH + 1), "a\0b", "a\ud800", "\udfff"]
)
def test_a_batch_needs_an_id_that_can_be_stored(batch_id: object) -> None:
    with pytest.raises(MalformedReply, match="batch_id"):
        parse_batch({**FULL, "batch_id": batch_id})


@pytest.mark.parametrize("batch_id", ["x" * BATCH_ID_LENGTH, " ", "a/b?c#d%2F", "批次\n🙂", ".."])
def test_an_id_is_kept_as_it_is(batch_id: str) -> None:
    assert parse_batch(batch(batch_id)).batch_id == batch_id


@pytest.mark.parametrize(
    "campaign_id", [None, True, "1", 1.5, [], 2**63, -(2**63) - 1, float("inf"), float("nan")]
)
def test_a_batch_needs_the_number_of_its_campaign(campaign_id: object) -> None:
    with pytest.raises(MalformedReply, match="campaign_id"):
        parse_batch({**FULL, "campaign_id": campaign_id})


@pytest.mark.parametrize("campaign_id", [0, -1, 2**63 - 1, 1.0])
def test_any_whole_number_of_64_bits_is_a_campaign(campaign_id: float) -> None:
    assert parse_batch(batch(campaign_id=campaign_id)).campaign_id == campaign_id


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("paused", "true"),
        ("paused", 1),
        ("paused", 0),
        ("paused", []),
        ("auto_call_rate", "false"),
        ("auto_call_rate", 1),
        ("expires_on", ""),
        ("expires_on", "tomorrow"),
        ("expires_on", 1_790_000_000),
        ("expires_on", False),
        ("expires_on", "0001-01-01T00:00:00+14:00"),
        ("call_rate", "25"),
        ("call_rate", True),
        ("call_rate", 2.5),
        ("call_rate", 2**31),
        ("call_rate", float("inf")),
    ],
)
def test_a_changeable_value_is_never_guessed_at(field: str, value: object) -> None:
    with pytest.raises(MalformedReply, match=field):
        parse_batch({**batch(), field: value})


@pytest.mark.parametrize("rate", [0, -1, 1, 3600, 3601, 2**31 - 1, -(2**31), 25.0])
def test_a_rate_beyond_what_can_be_set_is_still_read(rate: float) -> None:
    assert parse_batch(batch(call_rate=rate)).call_rate == rate


@pytest.mark.parametrize("value", [True, 5, [], {}, 1.5])
@pytest.mark.parametrize(
    ("field", "absent"),
    [("status", ""), ("error_message", ""), ("created_at", None), ("deleted_at", None)],
)
def test_other_fields_of_a_wrong_type_count_as_absent(
    field: str, absent: object, value: object
) -> None:
    assert getattr(parse_batch({**batch(), field: value}), field) == absent


@pytest.mark.parametrize("value", ["25", True, [], float("inf"), float("nan"), 10**400])
def test_a_baseline_that_is_no_number_counts_as_absent(value: object) -> None:
    assert parse_batch(batch(auto_call_rate_baseline=value)).auto_call_rate_baseline is None


def test_long_text_is_cut() -> None:
    record = parse_batch(batch(error_message="x" * 10_000, status="S" * 500))
    assert len(record.error_message) == TEXT_LENGTH
    assert len(record.status) == STATUS_LENGTH


def test_text_that_no_database_stores_is_mended() -> None:
    record = parse_batch(batch(upload_filename="a\0b\ud83d", deleted_reason="\0", status="é\0"))
    assert record.upload_filename == "a\ufffdb\ufffd"
    assert record.deleted_reason == "\ufffd"
    assert record.status == "é\ufffd"


def test_details_bring_the_counts() -> None:
    details = parse_details(batch(status_counts={"PENDING": 10, "CONNECTED": 100.0, "NEW": 0}))
    assert details.record.batch_id == "20260324.9"
    assert details.status_counts == {"PENDING": 10, "CONNECTED": 100, "NEW": 0}


def test_counts_that_are_no_counts_are_left_out() -> None:
    odd = {"A": -1, "B": "5", "C": True, "D": 1.5, "E": None, "F": 10**30, "G": 3}
    assert parse_details(batch(status_counts=odd)).status_counts == {"G": 3}


@pytest.mark.parametrize("counts", [None, [], "10", 10])
def test_counts_may_be_missing(counts: object) -> None:
    assert parse_details(batch(status_counts=counts)).status_counts is None


def test_counts_without_end_are_bounded() -> None:
    counts = parse_details(batch(status_counts={str(n): n for n in range(5000)})).status_counts
    assert counts is not None and len(counts) == NAMES_KEPT


def test_a_campaign_is_read_without_contact_data() -> None:
    campaign = parse_campaign(
        {
            "id": 1,
            "campaign_name": "Late payments",
            "description": None,
            "mode": "voice",
            "labels": ["test", 5, "demo"],
            "hourly_rate": 25,
            "daily_start_time": "09:00:00",
            "daily_end_time": "17:00:00",
            "active_days": ["mon", "tue"],
            "max_daily_calls": 2500,
            "outreach_override_rules": {
                "days": {"Friday": {"daily_end_time": "14:00", "active": None}},
                "dates": {"2026-12-24": {"max_daily_calls": 0.0}},
            },
            "updated_at": "2026-08-22T00:00:00Z",
            "last_updated_by": "user@example.com",
            "source": "+19032900844",
            "caller_id": "19995551234",
            "campaign_variables": {"secret": "value"},
        }
    )
    assert campaign == CampaignRecord(
        id=1,
        campaign_name="Late payments",
        mode="voice",
        labels=("test", "demo"),
        hourly_rate=25,
        daily_start_time="09:00:00",
        daily_end_time="17:00:00",
        active_days=("mon", "tue"),
        max_daily_calls=2500,
        outreach_override_rules={
            "days": {"fri": {"daily_end_time": "14:00"}},
            "dates": {"2026-12-24": {"max_daily_calls": 0}},
        },
        updated_at=dt.datetime(2026, 8, 22, tzinfo=dt.UTC),
        last_updated_by="user@example.com",
    )
    for secret in ("+19032900844", "19995551234", "secret", "value"):
        assert secret not in repr(campaign)


def test_a_campaign_without_maximum_and_exceptions_has_none() -> None:
    nulls = {"max_daily_calls": None, "outreach_override_rules": None}
    for fields in ({}, nulls, {"outreach_override_rules": {"days": None}}):
        campaign = parse_campaign({"id": 1, **fields})
        assert campaign.outreach_override_rules == {"days": {}, "dates": {}}
        assert (campaign.max_daily_calls, campaign.unreadable_fields) == (None, ())


def test_unknown_fields_of_a_campaign_are_named() -> None:
    known: dict[str, Any] = {
        "agent_id": 5,
        "retry_count": 1,
        "webhooks": None,
        "campaign_variables": {},
    }
    campaign = parse_campaign({"id": 1, **known, "pacing": {}, "unreadable_fields": []})
    assert campaign.unknown_fields == {"pacing", "unreadable_fields"}


@pytest.mark.parametrize("cap", [-1, True, "25", 2.5, 2**31, float("nan"), []])
def test_a_maximum_that_is_none_is_told_as_unreadable(cap: object) -> None:
    campaign = parse_campaign({"id": 1, "max_daily_calls": cap})
    assert campaign.unreadable_fields == ("max_daily_calls",)
    assert campaign.max_daily_calls is None
    assert_rules_unreadable({"days": {"mon": {"max_daily_calls": cap}}})


@pytest.mark.parametrize(
    "rules",
    [
        [],
        "closed",
        {"weeks": {}},
        {"days": []},
        {"days": {"someday": {}}},
        {"days": {"mon": {}, "Monday": {}}},
        {"days": {"mon": True}},
        {"days": {"mon": {"active": 0}}},
        {"days": {"mon": {"hourly_rate": 5}}},
        {"days": {"mon": {"daily_start_time": "25:00"}}},
        {"days": {"mon": {"daily_start_time": "9"}}},
        {"days": {"mon": {"daily_start_time": 9}}},
        {"days": {"mon": {"daily_start_time": "17:00", "daily_end_time": "09:00"}}},
        {"dates": {"2026-02-30": {}}},
        {"dates": {"20261224": {}}},
        {"dates": {"24.12.2026": {}}},
        {"dates": {f"{year}-01-01": {} for year in range(1000, 2002)}},
    ],
)
def test_exceptions_are_read_whole_or_not_at_all(rules: object) -> None:
    assert_rules_unreadable(rules)


def assert_rules_unreadable(rules: object) -> None:
    campaign = parse_campaign({"id": 1, "outreach_override_rules": rules})
    assert campaign.outreach_override_rules is None
    assert campaign.unreadable_fields == ("outreach_override_rules",)


@pytest.mark.parametrize("identity", [None, "1", True, 2**63])
def test_a_campaign_needs_an_id(identity: object) -> None:
    with pytest.raises(MalformedReply, match="id"):
        parse_campaign({"id": identity, "campaign_name": "x"})


def test_no_campaigns_at_all_may_be_null() -> None:
    assert parse_campaign_page(None) == Page((), (), 0, 0, 0, 0)


def test_no_batches_at_all_may_not_be_null() -> None:
    with pytest.raises(MalformedReply):
        parse_batch_page(None)


def test_a_bad_row_is_told_beside_the_good_ones() -> None:
    page = parse_batch_page(page_of(batch("a"), {"batch_id": "x" * 999}, 5, page=2))
    assert [record.batch_id for record in page.items] == ["a"]
    assert len(page.unreadable) == 2
    assert page.unreadable[0].startswith("Row 2 of page 2 (xxx")
    assert len(page.unreadable[0]) < 300


def test_totals_of_a_wrong_type_count_as_absent() -> None:
    page = parse_batch_page(page_of(total_pages="4", total_count=True))
    assert page.total_pages is None and page.total_count is None


@given(nearly(BATCH_FIELDS, FULL))
def test_any_json_is_a_batch_or_malformed(data: Any) -> None:
    try:
        record = parse_details(data).record
    except MalformedReply as error:
        assert error.message
        return
    assert all(storable(text) and len(text) <= TEXT_LENGTH for text in texts_of(record))
    assert all(storable(name) for name in record.unknown_fields)
    assert hash(record) == hash(parse_batch(data))


@given(nearly(CAMPAIGN_FIELDS, {"id": 1}))
def test_any_json_is_a_campaign_or_malformed(data: Any) -> None:
    try:
        campaign = parse_campaign(data)
    except MalformedReply as error:
        assert error.message
        return
    assert all(storable(text) and len(text) <= TEXT_LENGTH for text in texts_of(campaign))


@given(
    nearly(PAGE_FIELDS, page_of(FULL))
    | st.lists(nearly(BATCH_FIELDS, FULL)).map(lambda r: page_of(*r))
)
def test_any_json_is_a_page_or_malformed(data: Any) -> None:
    for parse in (parse_batch_page, parse_campaign_page):
        try:
            page = parse(data)
        except MalformedReply as error:
            assert error.message
            continue
        if data is not None:
            assert len(page.items) + len(page.unreadable) == len(data["items"])
        assert page.page >= 0 and page.page_size >= 0


@given(JSON)
def test_json_is_decoded(data: Any) -> None:
    assert json.dumps(decode(json.dumps(data).encode())) == json.dumps(data)


@given(st.binary())
def test_any_bytes_are_json_or_an_error_of_ours(body: bytes) -> None:
    try:
        decode(body)
    except (MalformedReply, ReplyLost) as error:
        assert error.may_have_applied


@given(st.dictionaries(st.text(), JSON), st.data())
def test_json_that_is_cut_off_anywhere_is_a_lost_reply(reply: Any, data: st.DataObject) -> None:
    body = json.dumps(reply).encode()
    length = data.draw(st.integers(1, len(body) - 1))
    with pytest.raises(ReplyLost):
        decode(body[:length])


@pytest.mark.parametrize("body", [b"", b"  ", b"<html>", b"\xff", b"nope", b"{]}", b"1" * 5000])
def test_what_is_no_json_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedReply):
        decode(body)


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_json_nested_without_end_is_malformed(opening: bytes) -> None:
    with pytest.raises(MalformedReply):
        decode(opening * 200_000)
