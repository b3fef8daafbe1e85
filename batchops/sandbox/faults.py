"""The ways in which the sandbox can misbehave, and how they are asked for.

All of them can be set while it runs: `EmbeddedSandbox.set_faults(...)` in a test, `--faults` on
the command line, PUT `/_sandbox/faults` from anywhere. A fault of `FaultKind` is given as a share
of the requests, or with a scope of its own, so that most outages are one line:

- writes fail while reads work: `error_503={"share": 1, "methods": ["PUT"]}`
- updates take effect, their replies are lost, and reads fail:
  `reset_after={"share": 1, "methods": ["PUT"]}, error_500={"share": 1, "methods": ["GET"]}`
- the key may not touch one batch: `forbidden={"share": 1, "batch_ids": ["one"]}`
- half a list, twice: `partial_list={"share": 1, "endpoints": ["batches"], "times": 2}`
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from batchops.sandbox.fault_values import (
    InvalidFaults,
    Reader,
    names_among,
    one_of,
    read_ended_status,
    read_error_status,
    read_flag,
    read_names,
    read_number,
    read_share,
    read_text,
    read_whole_number,
    seconds_up_to,
)
from batchops.sandbox.records import InstantFormat, Wire, instant_with_z
from batchops.sandbox.rules import NullHandling

METHODS: Final = ("GET", "PUT")
LONGEST_LAG: Final = 600.0
"""Seconds for which the past of each batch is kept."""


class FaultKind(enum.StrEnum):
    """One way to misbehave. Names are the keys in JSON; at most one applies to a request."""

    RATE_LIMITED = "rate_limited"
    """429, whatever the rate."""
    UNAUTHORIZED = "unauthorized"
    """401, as for a revoked key."""
    FORBIDDEN = "forbidden"
    """403, as for a key without the right."""
    NOT_FOUND = "not_found"
    """404 with an HTML body."""
    REFUSED = "refused"
    """422 in the vendor's shape."""
    ERROR_500 = "error_500"
    ERROR_502 = "error_502"
    ERROR_503 = "error_503"
    ERROR_STATUS = "error_status"
    """The status that `status` names, with an HTML body."""
    REDIRECT = "redirect"
    """307 to another host."""
    RESET_BEFORE = "reset_before"
    """Connection reset, nothing applied."""
    STALL_BEFORE = "stall_before"
    """No answer for `stall_seconds`, nothing applied, then a reset."""
    RESET_AFTER = "reset_after"
    """Applied, then the connection reset."""
    STALL_AFTER = "stall_after"
    """Applied, then no answer for `stall_seconds`, then a reset."""
    ERROR_AFTER = "error_after"
    """Applied, then a 502 with an HTML body."""
    TRUNCATED = "truncated"
    """200 whose body ends before its Content-Length."""
    NOT_JSON = "not_json"
    """200 with an HTML body."""
    EMPTY = "empty"
    """200 with no body."""
    OVERSIZED = "oversized"
    """200 with a body of `oversized_bytes`."""
    WRONG_BATCH_ID = "wrong_batch_id"
    """200 that speaks of another batch."""
    NOT_A_PAGE = "not_a_page"
    """200 to a list whose `items` is no list."""
    EMPTY_LIST = "empty_list"
    """200 to a list that seems to hold nothing."""
    PARTIAL_LIST = "partial_list"
    """200 to a list that leaves out `left_out` of what there is, always the same."""
    REPEATED_PAGE = "repeated_page"
    """200 to a list with the items of the first page, whichever page was asked for."""
    NULL_CAMPAIGNS = "null_campaigns"
    """`null` for the list of campaigns (allowed by the vendor's OpenAPI)."""
    UNKNOWN_STATUS = "unknown_status"
    """Batches with a status that is in no document."""
    EXTRA_FIELDS = "extra_fields"
    MISSING_FIELDS = "missing_fields"
    """Batches with only the fields that the vendor's OpenAPI requires."""
    NOT_APPLIED = "not_applied"
    """200 to an update that did nothing; the reply shows the old values."""
    NOT_KEPT = "not_kept"
    """200 to an update that did nothing; the reply shows the wanted values."""
    EXTRA_CHANGE = "extra_change"
    """Applied, and another field moved too; the reply shows it."""
    EXTRA_CHANGE_HIDDEN = "extra_change_hidden"
    """Applied, and another field moved too; only a later read shows it."""


class Endpoint(enum.StrEnum):
    """What a request is about: one of the two lists, one item, or an update."""

    BATCHES = "batches"
    BATCH = "batch"
    UPDATE = "update"
    CAMPAIGNS = "campaigns"
    CAMPAIGN = "campaign"


_KINDS: Final = frozenset(FaultKind)
_ON_UPDATES: Final = frozenset({Endpoint.UPDATE})
_ON_ONE_BATCH: Final = frozenset({Endpoint.BATCH, Endpoint.UPDATE})
_ON_BATCHES: Final = _ON_ONE_BATCH | {Endpoint.BATCHES}
_ON_LISTS: Final = frozenset({Endpoint.BATCHES, Endpoint.CAMPAIGNS})
_ENDPOINTS: Final[dict[FaultKind, frozenset[Endpoint]]] = {
    FaultKind.REFUSED: _ON_UPDATES,
    FaultKind.NOT_APPLIED: _ON_UPDATES,
    FaultKind.NOT_KEPT: _ON_UPDATES,
    FaultKind.EXTRA_CHANGE: _ON_UPDATES,
    FaultKind.EXTRA_CHANGE_HIDDEN: _ON_UPDATES,
    FaultKind.WRONG_BATCH_ID: _ON_ONE_BATCH,
    FaultKind.UNKNOWN_STATUS: _ON_BATCHES,
    FaultKind.EXTRA_FIELDS: _ON_BATCHES,
    FaultKind.MISSING_FIELDS: _ON_BATCHES,
    FaultKind.NOT_A_PAGE: _ON_LISTS,
    FaultKind.EMPTY_LIST: _ON_LISTS,
    FaultKind.PARTIAL_LIST: _ON_LISTS,
    FaultKind.REPEATED_PAGE: _ON_LISTS,
    FaultKind.NULL_CAMPAIGNS: frozenset({Endpoint.CAMPAIGNS}),
}
"""Where a fault makes sense; those not named apply to any request."""


def applies_to(kind: FaultKind, endpoint: Endpoint) -> bool:
    """Whether a fault makes sense there."""
    return kind not in _ENDPOINTS or endpoint in _ENDPOINTS[kind]


class RetryAfter(enum.StrEnum):
    """How a refusal says when to come back."""

    SECONDS = "seconds"
    DATE = "date"
    NONE = "none"
    ABSURD = "absurd"


class TotalCount(enum.StrEnum):
    """What a page says of `total_count` and `total_pages` (both optional in the OpenAPI)."""

    LISTED = "listed"
    """As many as the list shows on all its pages."""
    WHOLE = "whole"
    """As many as there are, also when the list leaves some out."""
    HIDDEN = "hidden"
    ENDLESS = "endless"
    """More than anybody could have."""
    SHORT = "short"
    """No more than one page holds."""


class LargeLimit(enum.StrEnum):
    """What becomes of a `limit` beyond the largest one."""

    REFUSE = "refuse"
    """422."""
    CUT = "cut"
    """A smaller page that says its size."""
    CUT_SILENTLY = "cut_silently"
    """A smaller page that claims to have the size asked for."""


class TimestampFormat(enum.StrEnum):
    """How instants are written; the vendor's documents only show Z."""

    Z = "Z"
    PLUS = "+00:00"
    OFFSET = "offset"
    NAIVE = "naive"
    MICROSECONDS = "microseconds"
    SECONDS = "seconds"


def _in_another_zone(instant: dt.datetime) -> str:
    try:
        return instant.astimezone(dt.timezone(dt.timedelta(hours=-5))).isoformat()
    except OverflowError:
        # Nothing lies before the first day of the calendar.
        return instant.isoformat()


def _naive(instant: dt.datetime) -> str:
    return instant.astimezone(dt.UTC).replace(tzinfo=None).isoformat()


INSTANT_FORMATS: Final[dict[TimestampFormat, InstantFormat]] = {
    TimestampFormat.Z: instant_with_z,
    TimestampFormat.PLUS: lambda instant: instant.astimezone(dt.UTC).isoformat(),
    TimestampFormat.OFFSET: _in_another_zone,
    TimestampFormat.NAIVE: _naive,
    TimestampFormat.MICROSECONDS: lambda instant: (
        _naive(instant)[:19] + f".{instant.microsecond:06d}Z"
    ),
    TimestampFormat.SECONDS: lambda instant: _naive(instant)[:19] + "Z",
}


@dataclass(frozen=True, slots=True)
class Share:
    """How often a fault happens: a share 0..1 of the requests in scope, at most `times` times.

    None for `methods`, `endpoints` or `batch_ids` means the scope common to all faults.
    """

    share: float
    methods: frozenset[str] | None = None
    endpoints: frozenset[str] | None = None
    batch_ids: frozenset[str] | None = None
    times: int | None = None

    def to_json(self) -> float | Wire:
        """The number alone where there is no more to say."""
        if self == Share(self.share):
            return self.share
        scope = {name: _sorted_or_none(getattr(self, name)) for name in SCOPE}
        return {"share": self.share, **scope, "times": self.times}


@dataclass(frozen=True, slots=True)
class Faults:
    """All faults; the defaults are a vendor without any.

    `methods`, `endpoints` and `batch_ids`, when not empty, limit latency, rate limit and shares
    to such requests. Modes (`null_handling` and below) hold for all.
    """

    latency: float = 0.0
    """Seconds before each answer."""
    jitter: float = 0.0
    """Up to so many seconds more, evenly spread."""
    rate_limit: float = 0.0
    """Requests per second over all endpoints, as a token bucket; 0 is no limit."""
    rate_limit_burst: float = 0.0
    """How many requests may come at once; 0 is one second's worth."""
    retry_after: RetryAfter = RetryAfter.SECONDS
    unavailable_retry_after: RetryAfter = RetryAfter.NONE
    retry_after_seconds: int = 1
    """What Retry-After says at least."""
    stall_seconds: float = 30.0
    oversized_bytes: int = 64 * 1024 * 1024
    redirect_to: str = "https://elsewhere.invalid"
    status: int = 504
    """The HTTP status of `error_status`."""
    left_out: float = 0.5
    """The share of items that `partial_list` leaves out."""
    methods: frozenset[str] = frozenset()
    endpoints: frozenset[str] = frozenset()
    batch_ids: frozenset[str] = frozenset()
    null_handling: NullHandling = NullHandling.CLEAR
    timestamp_format: TimestampFormat = TimestampFormat.Z
    list_lag_seconds: float = 0.0
    """How old the state is that lists of batches show, order and all; at most `LONGEST_LAG`.
    What was there when the lag was set is seen at once."""
    get_lag_seconds: float = 0.0
    """The same for single batches. The reply to an update always shows the new values."""
    lagging_share: float = 1.0
    """The share of reads that lag; the others are answered by a copy that is up to date."""
    deleted_hidden: bool = False
    """Whether lists leave deleted batches out."""
    ended_status: int = 0
    """HTTP status for updates of failed, cancelled and deleted batches; 0 accepts them."""
    total_count: TotalCount = TotalCount.LISTED
    max_limit: int = 0
    """The largest page from now on; 0 is the one that the sandbox began with."""
    large_limit: LargeLimit = LargeLimit.REFUSE
    undated_last: bool = False
    """Whether descending lists show what lacks the instant they are ordered by last. The vendor
    does not say; a PostgreSQL shows it first."""
    shares: Mapping[FaultKind, Share] = field(default_factory=dict)

    @classmethod
    def of(cls, **values: Any) -> Faults:
        """Faults by name, e.g. `Faults.of(latency=0.05, error_503=0.1)`. Raises `InvalidFaults`."""
        return cls().updated(values)

    def updated(self, values: Mapping[str, Any]) -> Faults:
        """These faults with the named ones changed. Raises `InvalidFaults`."""
        shares = dict(self.shares)
        options: Wire = {}
        for name, value in values.items():
            if name in _KINDS:
                shares[FaultKind(name)] = _read_scoped_share(name, value)
            elif name in _OPTION_READERS:
                options[name] = _OPTION_READERS[name](name, value)
            else:
                known = ", ".join(sorted([*FaultKind, *_OPTION_READERS]))
                raise InvalidFaults(f"There is no fault {name!r}. There are: {known}.")
        shares = {kind: share for kind, share in shares.items() if share.share > 0}
        return dataclasses.replace(self, **options, shares=shares)

    def to_json(self) -> Wire:
        """Every option, and every share that is not 0."""
        options: Wire = {name: getattr(self, name) for name in _OPTION_READERS}
        scope = {name: sorted(getattr(self, name)) for name in SCOPE}
        return options | scope | {kind: share.to_json() for kind, share in self.shares.items()}

    def instant_format(self) -> InstantFormat:
        """How instants are written now."""
        return INSTANT_FORMATS[self.timestamp_format]


def _sorted_or_none(names: frozenset[str] | None) -> list[str] | None:
    return None if names is None else sorted(names)


def _read_scoped_share(name: str, value: Any) -> Share:
    if not isinstance(value, Mapping):
        return Share(read_share(name, value))
    unknown = sorted(set(value) - {"share", "times", *SCOPE})
    if unknown or "share" not in value:
        parts = ", ".join(["share", *SCOPE, "times"])
        raise InvalidFaults(f"{name}: takes {parts}, not {value!r}.")
    given = {part: one for part, one in value.items() if one is not None}
    scope = {
        part: read(f"{name}.{part}", given[part]) for part, read in SCOPE.items() if part in given
    }
    times = read_whole_number(f"{name}.times", given["times"]) if "times" in given else None
    return Share(read_share(name, value["share"]), **scope, times=times)


SCOPE: Final[dict[str, Reader]] = {
    "methods": names_among(METHODS),
    "endpoints": names_among([*Endpoint]),
    "batch_ids": read_names,
}
"""What can limit a fault to some requests."""
_OPTION_READERS: Final[dict[str, Reader]] = {
    "latency": read_number,
    "jitter": read_number,
    "rate_limit": read_number,
    "rate_limit_burst": read_number,
    "retry_after": one_of(RetryAfter),
    "unavailable_retry_after": one_of(RetryAfter),
    "retry_after_seconds": read_whole_number,
    "stall_seconds": read_number,
    "oversized_bytes": read_whole_number,
    "redirect_to": read_text,
    "status": read_error_status,
    "left_out": read_share,
    **SCOPE,
    "null_handling": one_of(NullHandling),
    "timestamp_format": one_of(TimestampFormat),
    "list_lag_seconds": seconds_up_to(LONGEST_LAG),
    "get_lag_seconds": seconds_up_to(LONGEST_LAG),
    "lagging_share": read_share,
    "deleted_hidden": read_flag,
    "ended_status": read_ended_status,
    "total_count": one_of(TotalCount),
    "max_limit": read_whole_number,
    "large_limit": one_of(LargeLimit),
    "undated_last": read_flag,
}
