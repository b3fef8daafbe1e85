"""What the sandbox keeps of a campaign and a batch, and how both look on the wire."""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

Wire: TypeAlias = dict[str, Any]
"""A JSON object as sent to clients; its values are whatever JSON can hold."""
InstantFormat: TypeAlias = Callable[[dt.datetime], str]

CONSOLE_USER: Final = "dana.whitfield@harborline.example"
"""Who changes batches by hand in the vendor's console, unless said otherwise."""
INSTANT_FIELDS: Final = frozenset({"created_at", "expires_on", "deleted_at", "last_updated_at"})

_default_ids = itertools.count(1)


class InvalidRecord(ValueError):
    """The given fields cannot make a batch; the message names the field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One outbound batch.

    `status` counts only where it does not follow from the other fields (see `rules.status_of`).
    `contacts` is how many people the batch is meant for, `reached` the share (0..1) already
    dealt with; the counts of requests are made of both.
    """

    batch_id: str
    campaign_id: int
    created_at: dt.datetime
    last_updated_at: dt.datetime | None
    last_updated_by: str
    status: str = "PENDING"
    paused: bool | None = False
    expires_on: dt.datetime | None = None
    call_rate: int | None = None
    auto_call_rate: bool = False
    auto_call_rate_baseline: float | None = None
    upload_filename: str | None = None
    dispatch_id: str | None = None
    deleted_at: dt.datetime | None = None
    deleted_reason: str | None = None
    error_message: str | None = None
    contacts: int = 0
    reached: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """One outbound campaign; times of day are local wall-clock text such as `09:00:00`."""

    id: int
    campaign_name: str
    created_at: dt.datetime
    updated_at: dt.datetime
    last_updated_by: str
    description: str | None = None
    mode: str | None = "voice"
    labels: tuple[str, ...] = ()
    daily_start_time: str | None = "09:00:00"
    daily_end_time: str | None = "17:00:00"
    hourly_rate: int = 60
    max_daily_calls: int | None = None
    retry_count: int = 1
    retry_interval: str | None = "12h"
    active_days: tuple[str, ...] = ("mon", "tue", "wed", "thu", "fri")
    outreach_override_rules: Any = None


BATCH_FIELDS: Final = frozenset(field.name for field in dataclasses.fields(Batch))


def instant_with_z(instant: dt.datetime) -> str:
    """Write an aware instant in UTC ending in Z, as in the vendor's examples."""
    return instant.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")


def read_instant(text: str) -> dt.datetime:
    """Read ISO 8601; without a zone it is UTC. Raises ValueError, also out of range."""
    instant = dt.datetime.fromisoformat(text)
    try:
        return (instant if instant.tzinfo else instant.replace(tzinfo=dt.UTC)).astimezone(dt.UTC)
    except OverflowError as error:
        raise ValueError(f"{text!r} is out of range.") from error


def batch_on_the_wire(batch: Batch, status: str, instant: InstantFormat) -> Wire:
    """The vendor's `CommunicationBatch` (OpenAPI): every field present, null where unset."""
    return {
        "batch_id": batch.batch_id,
        "campaign_id": batch.campaign_id,
        "expires_on": instant(batch.expires_on) if batch.expires_on else None,
        "paused": batch.paused,
        "call_rate": batch.call_rate,
        "auto_call_rate": batch.auto_call_rate,
        "status": status,
        "auto_call_rate_baseline": batch.auto_call_rate_baseline,
        "upload_filename": batch.upload_filename,
        "dispatch_id": batch.dispatch_id,
        "created_at": instant(batch.created_at),
        "deleted_at": instant(batch.deleted_at) if batch.deleted_at else None,
        "deleted_reason": batch.deleted_reason,
        "last_updated_at": instant(batch.last_updated_at) if batch.last_updated_at else None,
        "last_updated_by": batch.last_updated_by,
        "error_message": batch.error_message,
    }


def campaign_on_the_wire(campaign: Campaign, instant: InstantFormat) -> Wire:
    """The vendor's `OutboundCampaign` (OpenAPI), without phone numbers or e-mail addresses."""
    wire = {
        field.name: getattr(campaign, field.name)
        for field in dataclasses.fields(Campaign)
        if field.name not in {"created_at", "updated_at"}
    }
    return wire | {
        "labels": list(campaign.labels),
        "active_days": list(campaign.active_days),
        "created_at": instant(campaign.created_at),
        "updated_at": instant(campaign.updated_at),
        "campaign_variables": {},
        "caller_id": None,
        "source": None,
        "include_unknown_line_types": True,
    }


def stored_batch(batch: Batch) -> Wire:
    """Every field of a batch as JSON values: for the state file and the control endpoint."""
    counts = {"contacts": batch.contacts, "reached": batch.reached}
    return batch_on_the_wire(batch, batch.status, instant_with_z) | counts


def batch_fields(values: Mapping[str, Any]) -> Wire:
    """Check field names and read instants given as text. Raises `InvalidRecord`."""
    unknown = sorted(set(values) - BATCH_FIELDS)
    if unknown:
        raise InvalidRecord(f"A batch has no field {', '.join(map(repr, unknown))}.")
    return {name: _field_value(name, value) for name, value in values.items()}


def _field_value(name: str, value: Any) -> Any:
    if name not in INSTANT_FIELDS or not isinstance(value, str):
        return value
    try:
        return read_instant(value)
    except ValueError as error:
        raise InvalidRecord(f"{name}: {value!r} is not an ISO 8601 date and time.") from error


def batch_from_stored(values: Mapping[str, Any]) -> Batch:
    """The reverse of `stored_batch`. Raises `InvalidRecord` for what never was a batch."""
    _check_id(values.get("batch_id"))
    try:
        return Batch(**batch_fields(values))
    except TypeError as error:
        raise InvalidRecord(f"Not a batch: {error}") from error


def _check_id(batch_id: object) -> None:
    try:
        if isinstance(batch_id, str) and batch_id.encode():
            return
    except UnicodeEncodeError:
        pass
    raise InvalidRecord(f"batch_id: {batch_id!r} is not a text that could be in an address.")


def stored_campaign(campaign: Campaign) -> Wire:
    """Every field of a campaign as JSON values."""
    return dataclasses.asdict(campaign) | {
        "created_at": instant_with_z(campaign.created_at),
        "updated_at": instant_with_z(campaign.updated_at),
    }


def campaign_from_stored(values: Mapping[str, Any]) -> Campaign:
    """The reverse of `stored_campaign`. Raises `InvalidRecord`."""
    try:
        return Campaign(
            **{
                **values,
                "labels": tuple(values["labels"]),
                "active_days": tuple(values["active_days"]),
                "created_at": read_instant(values["created_at"]),
                "updated_at": read_instant(values["updated_at"]),
            }
        )
    except (TypeError, KeyError, ValueError) as error:
        raise InvalidRecord(f"Not a campaign: {error}") from error


def make_batch(**overrides: Any) -> Batch:
    """A plain batch that may reach out (ACTIVE), changed as requested.

    Instants may be aware datetimes or ISO text. `status="PAUSED"`, `"PENDING"` or `"EXPIRED"`
    sets the fields that such a status follows from, unless they are given too.
    Raises `InvalidRecord` for an unknown field.
    """
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    created = now - dt.timedelta(days=1)
    defaults: Wire = {
        "batch_id": f"{created:%Y%m%d}.{next(_default_ids)}",
        "campaign_id": 1,
        "created_at": created,
        "last_updated_at": created,
        "last_updated_by": CONSOLE_USER,
        "status": "ACTIVE",
        "dispatch_id": "5ac42327fbd7e03b441650b79ae91ae1",
        "contacts": 100,
        "reached": 0.4,
    }
    implied: dict[str, Wire] = {
        "PAUSED": {"paused": True},
        "PENDING": {"dispatch_id": None, "reached": 0.0},
        "EXPIRED": {"expires_on": now - dt.timedelta(hours=1)},
        "FAILED": {"dispatch_id": None, "error_message": "Invalid file format"},
        "CANCELED": {"deleted_at": now, "deleted_reason": "User request"},
    }
    by_status = implied.get(str(overrides.get("status")), {})
    return batch_from_stored(defaults | by_status | overrides)


def make_campaign(**overrides: Any) -> Campaign:
    """A voice campaign with id 1, changed as requested; `labels` and `active_days` are tuples."""
    created = dt.datetime.now(dt.UTC).replace(microsecond=0) - dt.timedelta(days=90)
    defaults: Wire = {
        "id": 1,
        "campaign_name": "Appointment reminders",
        "created_at": created,
        "updated_at": created,
        "last_updated_by": CONSOLE_USER,
    }
    return Campaign(**(defaults | overrides))
