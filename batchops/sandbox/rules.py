"""The vendor's rules: what an update may say, what it does, and how a status follows."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
from collections.abc import Mapping
from typing import Any, Final

from batchops.sandbox.records import Batch, Wire, read_instant

CALL_RATE_MINIMUM: Final = 1
CALL_RATE_MAXIMUM: Final = 3600
UPDATE_FIELDS: Final = ("paused", "expires_on", "call_rate", "auto_call_rate")
"""`CommunicationBatchUpdate` of the vendor's OpenAPI; other fields in a body are ignored."""
FOLLOWING_STATUSES: Final = frozenset({"PENDING", "ACTIVE", "PAUSED", "EXPIRED"})
"""Statuses that follow from other fields; any other (FAILED, CANCELED, unknown ones) stays."""


class NullHandling(enum.StrEnum):
    """What an explicit null does; the vendor's documents do not say."""

    CLEAR = "clear"
    IGNORE = "ignore"
    REFUSE = "refuse"


class Invalid(Exception):
    """The request is refused with 422; `details` are in the vendor's `ValidationError` shape."""

    def __init__(self, details: list[Wire]) -> None:
        super().__init__(str(details))
        self.details = details


def detail(place: str, field: str, message: str, kind: str) -> Wire:
    """One `ValidationError` of the vendor's OpenAPI."""
    return {"loc": [place, field], "msg": message, "type": kind}


def status_of(batch: Batch, now: dt.datetime) -> str:
    """The status a batch has at an instant.

    Expiry needs no event, it comes as time passes; a later `expires_on` revives the batch.
    """
    if batch.status not in FOLLOWING_STATUSES:
        return batch.status
    if batch.expires_on is not None and batch.expires_on <= now:
        return "EXPIRED"
    if batch.paused:
        return "PAUSED"
    return "ACTIVE" if batch.dispatch_id else "PENDING"


def read_update(body: object, nulls: NullHandling) -> Wire:
    """The values an update sets, omitted fields left out. Raises `Invalid`."""
    if not isinstance(body, dict):
        message = "Input should be a valid dictionary or object to extract fields from"
        raise Invalid([{"loc": ["body"], "msg": message, "type": "model_attributes_type"}])
    values: Wire = {}
    details: list[Wire] = []
    for field in UPDATE_FIELDS:
        if field not in body or (body[field] is None and nulls is NullHandling.IGNORE):
            continue
        try:
            values[field] = _read_value(field, body[field], nulls)
        except Invalid as error:
            details += error.details
    if details:
        raise Invalid(details)
    return values


def _read_value(field: str, value: object, nulls: NullHandling) -> object:
    if value is not None:
        return _READERS[field](field, value)
    if nulls is NullHandling.REFUSE:
        raise Invalid([detail("body", field, "Input should not be null", "none_forbidden")])
    return False if field == "auto_call_rate" else None


def _read_flag(field: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise Invalid([detail("body", field, "Input should be a valid boolean", "bool_type")])


def _read_rate(field: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise Invalid([detail("body", field, "Input should be a valid integer", "int_type")])
    if value < CALL_RATE_MINIMUM:
        message = f"Input should be greater than or equal to {CALL_RATE_MINIMUM}"
        raise Invalid([detail("body", field, message, "greater_than_equal")])
    if value > CALL_RATE_MAXIMUM:
        message = f"Input should be less than or equal to {CALL_RATE_MAXIMUM}"
        raise Invalid([detail("body", field, message, "less_than_equal")])
    return value


def _read_expiry(field: str, value: object) -> dt.datetime:
    try:
        if isinstance(value, str):
            return read_instant(value).astimezone(dt.UTC)
    except (ValueError, OverflowError):
        pass
    message = "Input should be a valid datetime"
    raise Invalid([detail("body", field, message, "datetime_parsing")])


_READERS: Final = {
    "paused": _read_flag,
    "expires_on": _read_expiry,
    "call_rate": _read_rate,
    "auto_call_rate": _read_flag,
}


def updated(batch: Batch, values: Mapping[str, Any], now: dt.datetime, by: str) -> Batch:
    """The batch after an update by the owner of the key. Raises `Invalid`.

    An automatic call rate needs an expiry, there already or in the same update (vendor OpenAPI).
    """
    changed = dataclasses.replace(batch, **values, last_updated_at=now, last_updated_by=by)
    if changed.auto_call_rate and changed.expires_on is None:
        field = "auto_call_rate" if values.get("auto_call_rate") else "expires_on"
        raise Invalid([detail("body", field, "auto_call_rate requires expires_on", "value_error")])
    if not changed.auto_call_rate and changed.auto_call_rate_baseline is not None:
        return dataclasses.replace(changed, auto_call_rate_baseline=None)
    return changed


def with_unrequested_change(batch: Batch, requested: Mapping[str, Any]) -> Batch:
    """The batch with one more value moved that the update did not name."""
    if "call_rate" not in requested:
        rate = 77 if batch.call_rate != 77 else 78
        return dataclasses.replace(batch, call_rate=rate)
    if "paused" not in requested:
        return dataclasses.replace(batch, paused=not batch.paused)
    if "expires_on" not in requested and batch.expires_on is not None:
        return dataclasses.replace(batch, expires_on=batch.expires_on + dt.timedelta(hours=1))
    return dataclasses.replace(batch, campaign_id=batch.campaign_id + 1)
