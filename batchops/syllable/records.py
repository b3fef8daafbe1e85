"""What the vendor's replies say, as frozen records.

The vendor's document changes often under one version number, so reading tolerates what may be
absent, null, new or odd, and refuses only what cannot be acted on: a batch without an identity, or
one of the four changeable values in a form that would have to be guessed at. Any JSON gives a
record or `MalformedReply`, never another exception.

Field names and meanings: vendor OpenAPI, CommunicationBatch, BatchDetails, OutboundCampaign.
"""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from batchops.syllable.errors import MalformedReply, ReplyLost, SyllableError
from batchops.syllable.instants import parse_instant
from batchops.syllable.override_rules import Rules, daily_cap, parse_rules

BATCH_ID_LENGTH: Final = 255
"""Longest batch id that is mirrored, in characters."""
TEXT_LENGTH: Final = 2_000
"""Longest text kept of any other field, in characters; what is beyond is cut."""
STATUS_LENGTH: Final = 64
"""Longest status kept, in characters."""
NAMES_KEPT: Final = 100
"""Most status counts, labels or unknown field names kept of one record."""

_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
_SURROGATES: Final = range(0xD800, 0xE000)
_JSON_ENDS: Final = {b"{": b"}", b"[": b"]"}

Record = TypeVar("Record")
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """A batch as one reply showed it. Instants are UTC; absent text is empty."""

    batch_id: str
    campaign_id: int
    paused: bool | None = None
    expires_on: dt.datetime | None = None
    call_rate: int | None = None
    auto_call_rate: bool | None = None
    status: str = ""
    auto_call_rate_baseline: float | None = None
    upload_filename: str = ""
    dispatch_id: str = ""
    created_at: dt.datetime | None = None
    deleted_at: dt.datetime | None = None
    deleted_reason: str = ""
    last_updated_at: dt.datetime | None = None
    last_updated_by: str = ""
    error_message: str = ""
    unknown_fields: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class BatchDetails:
    """A batch with the number of its requests by status (None: not told)."""

    record: BatchRecord
    status_counts: dict[str, int] | None = None


@dataclass(frozen=True, slots=True)
class CampaignRecord:
    """A campaign, without the fields that hold numbers, addresses or variables of contacts.

    `unreadable_fields` names what the vendor told of when it calls, in a form that is no such
    thing; those are kept as if they were absent, and must not be taken for it.
    """

    id: int
    campaign_name: str = ""
    description: str = ""
    mode: str = ""
    labels: tuple[str, ...] = ()
    hourly_rate: int | None = None
    daily_start_time: str = ""
    daily_end_time: str = ""
    active_days: tuple[str, ...] = ()
    max_daily_calls: int | None = None
    outreach_override_rules: Rules | None = None
    unreadable_fields: tuple[str, ...] = ()
    updated_at: dt.datetime | None = None
    last_updated_by: str = ""
    unknown_fields: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Page(Generic[Record]):
    """One page of a list, counted from 0.

    `unreadable` holds one reason for each row that was no record, so that one bad row does not
    lose the others; `unreadable_ids` the batch ids of those that have one. `page_size` is the
    vendor's, which may be less than was asked for.
    """

    items: tuple[Record, ...]
    unreadable: tuple[str, ...]
    page: int
    page_size: int
    total_pages: int | None = None
    total_count: int | None = None
    unreadable_ids: frozenset[str] = frozenset()


_BATCH_FIELDS: Final = frozenset(BatchRecord.__slots__) - {"unknown_fields"} | {
    "status_counts",
    "detailed_status_counts",
}
_CAMPAIGN_FIELDS: Final = frozenset(CampaignRecord.__slots__) - {
    "unknown_fields",
    "unreadable_fields",
} | {
    *("agent_id", "allowed_line_types", "caller_id", "campaign_variables", "created_at"),
    *("include_unknown_line_types", "label", "retry_count", "retry_interval", "sms_session_ttl"),
    *("source", "target_filters", "voicemail_detection", "webhooks"),
}


def decode(body: bytes) -> object:
    """Read the JSON of a reply.

    Raises `ReplyLost` when it is cut off in the middle, `MalformedReply` when it is no JSON.
    """
    try:
        return json.loads(body)
    except RecursionError:
        problem: SyllableError = MalformedReply("The reply is nested too deeply.", http_status=200)
    except ValueError as error:
        problem = _undecodable(body.strip(), error)
    raise problem


def _undecodable(body: bytes, error: ValueError) -> SyllableError:
    end = _JSON_ENDS.get(body[:1])
    if end is not None and (not body.endswith(end) or _ran_out(error)):
        return ReplyLost("The reply was cut off.", http_status=200)
    return MalformedReply("The vendor answered with something that is not JSON.", http_status=200)


def _ran_out(error: ValueError) -> bool:
    return isinstance(error, json.JSONDecodeError) and (
        error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated string")
    )


def parse_batch(data: object) -> BatchRecord:
    """Read one batch. Raises `MalformedReply`."""
    fields = _object(data, "A batch")
    return BatchRecord(
        batch_id=_batch_id(fields.get("batch_id")),
        campaign_id=_identity(fields.get("campaign_id"), "campaign_id"),
        paused=_switch(fields, "paused"),
        expires_on=_expiry(fields.get("expires_on")),
        call_rate=_rate(fields.get("call_rate")),
        auto_call_rate=_switch(fields, "auto_call_rate"),
        status=_text(fields.get("status"), STATUS_LENGTH),
        auto_call_rate_baseline=_number(fields.get("auto_call_rate_baseline")),
        upload_filename=_text(fields.get("upload_filename")),
        dispatch_id=_text(fields.get("dispatch_id")),
        created_at=_instant(fields.get("created_at")),
        deleted_at=_instant(fields.get("deleted_at")),
        deleted_reason=_text(fields.get("deleted_reason")),
        last_updated_at=_instant(fields.get("last_updated_at")),
        last_updated_by=_text(fields.get("last_updated_by")),
        error_message=_text(fields.get("error_message")),
        unknown_fields=_unknown(fields, _BATCH_FIELDS),
    )


def parse_details(data: object) -> BatchDetails:
    """Read one batch with its counts. Raises `MalformedReply`."""
    record = parse_batch(data)
    return BatchDetails(record, _counts(_object(data, "A batch").get("status_counts")))


def parse_campaign(data: object) -> CampaignRecord:
    """Read one campaign. Raises `MalformedReply`."""
    fields = _object(data, "A campaign")
    unreadable: list[str] = []
    cap = _if_readable(daily_cap, fields, "max_daily_calls", unreadable)
    rules = _if_readable(parse_rules, fields, "outreach_override_rules", unreadable)
    return CampaignRecord(
        id=_identity(fields.get("id"), "id"),
        campaign_name=_text(fields.get("campaign_name")),
        description=_text(fields.get("description")),
        mode=_text(fields.get("mode"), STATUS_LENGTH),
        labels=_texts(fields.get("labels")),
        hourly_rate=_whole(fields.get("hourly_rate"), bits=32),
        daily_start_time=_text(fields.get("daily_start_time"), STATUS_LENGTH),
        daily_end_time=_text(fields.get("daily_end_time"), STATUS_LENGTH),
        active_days=_texts(fields.get("active_days")),
        max_daily_calls=cap,
        outreach_override_rules=rules,
        unreadable_fields=tuple(unreadable),
        updated_at=_instant(fields.get("updated_at")),
        last_updated_by=_text(fields.get("last_updated_by")),
        unknown_fields=_unknown(fields, _CAMPAIGN_FIELDS),
    )


def parse_batch_page(data: object) -> Page[BatchRecord]:
    """Read one page of batches. Raises `MalformedReply` when it is no page."""
    return _page(data, parse_batch)


def parse_campaign_page(data: object) -> Page[CampaignRecord]:
    """Read one page of campaigns; null is an empty one. Raises `MalformedReply`."""
    if data is None:
        return Page((), (), page=0, page_size=0, total_pages=0, total_count=0)
    return _page(data, parse_campaign)


def _page(data: object, parse: Callable[[object], Record]) -> Page[Record]:
    fields = _object(data, "A page")
    rows = fields.get("items")
    page = _count(fields.get("page"))
    page_size = _count(fields.get("page_size"))
    if not isinstance(rows, list) or page is None or page_size is None:
        raise MalformedReply("A page needs items, page and page_size.", http_status=200)
    items: list[Record] = []
    unreadable: list[str] = []
    unreadable_ids: set[str] = set()
    for number, row in enumerate(rows, start=1):
        try:
            items.append(parse(row))
        except MalformedReply as error:
            name = _name(row)
            label = f" ({_text(name, STATUS_LENGTH)})" if name else ""
            unreadable.append(f"Row {number} of page {page}{label}: {error.message}")
            unreadable_ids |= {name} if name else set()
    return Page(
        tuple(items),
        tuple(unreadable),
        page,
        page_size,
        _count(fields.get("total_pages")),
        _count(fields.get("total_count")),
        frozenset(unreadable_ids),
    )


def _name(row: object) -> str:
    name = row.get("batch_id") if isinstance(row, dict) else None
    return name if isinstance(name, str) else ""


def _object(data: object, what: str) -> Mapping[str, Any]:
    if not isinstance(data, dict):
        raise MalformedReply(f"{what} should be a JSON object.", http_status=200)
    return data


def _batch_id(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise MalformedReply("batch_id is missing.", http_status=200)
    if len(value) > BATCH_ID_LENGTH:
        raise MalformedReply(f"batch_id is longer than {BATCH_ID_LENGTH}.", http_status=200)
    if _storable(value) != value:
        raise MalformedReply("batch_id holds characters that are no text.", http_status=200)
    return value


def _identity(value: object, name: str) -> int:
    number = _whole(value, bits=64)
    if number is None:
        raise MalformedReply(f"{name} is missing or not a whole number.", http_status=200)
    return number


def _switch(fields: Mapping[str, Any], name: str) -> bool | None:
    value = fields.get(name)
    if value is None or isinstance(value, bool):
        return value
    raise MalformedReply(f"{name} is neither true nor false.", http_status=200)


def _expiry(value: object) -> dt.datetime | None:
    instant = _instant(value)
    if instant is None and value is not None:
        raise MalformedReply("expires_on is not a date and time.", http_status=200)
    return instant


def _rate(value: object) -> int | None:
    rate = _whole(value, bits=32)
    if rate is None and value is not None:
        raise MalformedReply("call_rate is not a whole number.", http_status=200)
    return rate


def _whole(value: object, *, bits: int) -> int | None:
    """A whole number that fits a signed column of so many bits; JSON's 25 and 25.0 are one."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if -(2 ** (bits - 1)) <= value < 2 ** (bits - 1) else None


def _if_readable(
    read: Callable[[object], Value], fields: Mapping[str, Any], name: str, unreadable: list[str]
) -> Value | None:
    try:
        return read(fields.get(name))
    except ValueError:
        unreadable.append(name)
        return None


def _count(value: object) -> int | None:
    number = _whole(value, bits=64)
    return number if number is not None and number >= 0 else None


def _number(value: object) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _instant(value: object) -> dt.datetime | None:
    try:
        return parse_instant(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _text(value: object, length: int = TEXT_LENGTH) -> str:
    return _storable(value[:length]) if isinstance(value, str) else ""


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        return ()
    return tuple(_text(entry) for entry in value[:NAMES_KEPT] if isinstance(entry, str))


def _storable(text: str) -> str:
    """Text that any database stores: NUL and halves of characters become U+FFFD."""
    if text.isascii():
        return text.replace("\0", _REPLACEMENT)
    return "".join(_REPLACEMENT if c == "\0" or ord(c) in _SURROGATES else c for c in text)


def _counts(value: object) -> dict[str, int] | None:
    if not isinstance(value, dict):
        return None
    counts = {_text(name, STATUS_LENGTH): _count(number) for name, number in value.items()}
    known = [(name, number) for name, number in counts.items() if number is not None]
    return dict(known[:NAMES_KEPT])


def _unknown(fields: Mapping[str, Any], known: frozenset[str]) -> frozenset[str]:
    if fields.keys() <= known:
        return frozenset()
    names = sorted(fields.keys() - known)[:NAMES_KEPT]
    return frozenset(_text(name, STATUS_LENGTH) for name in names)
