"""The ways in which the sandbox can misbehave, and the choice among them for each request."""

from __future__ import annotations

import dataclasses
import datetime as dt
import email.utils
import enum
import math
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from batchops.sandbox.records import InstantFormat, Wire, instant_with_z
from batchops.sandbox.rules import NullHandling

ABSURD_RETRY_AFTER: Final = "86400"
METHODS: Final = frozenset({"GET", "PUT"})


class InvalidFaults(ValueError):
    """The faults asked for do not exist or have a value out of range; the message says which."""


class FaultKind(enum.StrEnum):
    """One way to misbehave. Names are the keys in JSON; at most one befalls a request."""

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


class Endpoint(enum.Enum):
    """What a request is about."""

    BATCHES = "batches"
    BATCH = "batch"
    UPDATE = "update"
    CAMPAIGNS = "campaigns"
    CAMPAIGN = "campaign"


_KINDS: Final = frozenset(FaultKind)
_ON_UPDATES: Final = frozenset({Endpoint.UPDATE})
_ON_ONE_BATCH: Final = frozenset({Endpoint.BATCH, Endpoint.UPDATE})
_ON_BATCHES: Final = _ON_ONE_BATCH | {Endpoint.BATCHES}
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
    FaultKind.NOT_A_PAGE: frozenset({Endpoint.BATCHES, Endpoint.CAMPAIGNS}),
    FaultKind.NULL_CAMPAIGNS: frozenset({Endpoint.CAMPAIGNS}),
}
"""Where a fault makes sense; those not named can befall any request."""


class RetryAfter(enum.StrEnum):
    """How a refusal says when to come back."""

    SECONDS = "seconds"
    DATE = "date"
    NONE = "none"
    ABSURD = "absurd"


class TimestampFormat(enum.StrEnum):
    """How instants are written; the vendor's documents only show Z."""

    Z = "Z"
    PLUS = "+00:00"
    OFFSET = "offset"
    NAIVE = "naive"
    MICROSECONDS = "microseconds"
    SECONDS = "seconds"


def _in_another_zone(instant: dt.datetime) -> str:
    return instant.astimezone(dt.timezone(dt.timedelta(hours=-5))).isoformat()


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

    None for `methods` or `batch_ids` means the scope common to all faults.
    """

    share: float
    methods: frozenset[str] | None = None
    batch_ids: frozenset[str] | None = None
    times: int | None = None

    def to_json(self) -> float | Wire:
        """The number alone where there is no more to say."""
        if self == Share(self.share):
            return self.share
        return {
            "share": self.share,
            "methods": _sorted_or_none(self.methods),
            "batch_ids": _sorted_or_none(self.batch_ids),
            "times": self.times,
        }


@dataclass(frozen=True, slots=True)
class Faults:
    """All faults; the defaults are a vendor without any.

    `methods` and `batch_ids`, when not empty, limit latency, rate limit and shares to such
    requests. Modes (`null_handling` and below) hold for all.
    """

    latency: float = 0.0
    """Seconds before each answer."""
    jitter: float = 0.0
    """Up to so many seconds more, evenly spread."""
    rate_limit: float = 0.0
    """Requests per second; 0 is no limit."""
    rate_limit_burst: float = 0.0
    """How many requests may come at once; 0 is one second's worth."""
    retry_after: RetryAfter = RetryAfter.SECONDS
    unavailable_retry_after: RetryAfter = RetryAfter.NONE
    retry_after_seconds: int = 1
    """What Retry-After says at least."""
    stall_seconds: float = 30.0
    oversized_bytes: int = 64 * 1024 * 1024
    redirect_to: str = "https://elsewhere.invalid"
    methods: frozenset[str] = frozenset()
    batch_ids: frozenset[str] = frozenset()
    null_handling: NullHandling = NullHandling.CLEAR
    timestamp_format: TimestampFormat = TimestampFormat.Z
    stale_seconds: float = 0.0
    """For how long reads show the values from before an update."""
    deleted_hidden: bool = False
    """Whether lists leave deleted batches out."""
    ended_status: int = 0
    """HTTP status for updates of failed, cancelled and deleted batches; 0 accepts them."""
    total_count_hidden: bool = False
    """Whether pages lack `total_count` and `total_pages` (both optional in the OpenAPI)."""
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
                shares[FaultKind(name)] = _read_share(name, value)
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
        scope = {"methods": sorted(self.methods), "batch_ids": sorted(self.batch_ids)}
        return options | scope | {kind: share.to_json() for kind, share in self.shares.items()}

    def instant_format(self) -> InstantFormat:
        """How instants are written now."""
        return INSTANT_FORMATS[self.timestamp_format]


def _sorted_or_none(names: frozenset[str] | None) -> list[str] | None:
    return None if names is None else sorted(names)


def _read_number(name: str, value: Any) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or value < 0:
        raise InvalidFaults(f"{name}: {value!r} is not a number of 0 or more.")
    return float(value)


def _read_whole_number(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidFaults(f"{name}: {value!r} is not a whole number of 0 or more.")
    return value


def _read_flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise InvalidFaults(f"{name}: {value!r} is neither true nor false.")
    return value


def _read_text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise InvalidFaults(f"{name}: {value!r} is not a text.")
    return value


def _read_names(name: str, value: Any) -> frozenset[str]:
    is_list = isinstance(value, list | tuple | set | frozenset)
    if not is_list or not all(isinstance(one, str) for one in value):
        raise InvalidFaults(f"{name}: {value!r} is not a list of texts.")
    return frozenset(value)


def _read_methods(name: str, value: Any) -> frozenset[str]:
    methods = _read_names(name, value)
    if not methods <= METHODS:
        raise InvalidFaults(f"{name}: {sorted(methods - METHODS)} are not among GET and PUT.")
    return methods


def _read_ended_status(name: str, value: Any) -> int:
    if value not in (0, 400, 404, 409, 422):
        raise InvalidFaults(f"{name}: {value!r} is not 0, 400, 404, 409 or 422.")
    return int(value)


def _choice(choices: type[enum.StrEnum]) -> Callable[[str, Any], enum.StrEnum]:
    def read(name: str, value: Any) -> enum.StrEnum:
        try:
            return choices(value)
        except ValueError as error:
            raise InvalidFaults(f"{name}: {value!r} is not one of {', '.join(choices)}.") from error

    return read


_OPTION_READERS: Final[dict[str, Callable[[str, Any], Any]]] = {
    "latency": _read_number,
    "jitter": _read_number,
    "rate_limit": _read_number,
    "rate_limit_burst": _read_number,
    "retry_after": _choice(RetryAfter),
    "unavailable_retry_after": _choice(RetryAfter),
    "retry_after_seconds": _read_whole_number,
    "stall_seconds": _read_number,
    "oversized_bytes": _read_whole_number,
    "redirect_to": _read_text,
    "methods": _read_methods,
    "batch_ids": _read_names,
    "null_handling": _choice(NullHandling),
    "timestamp_format": _choice(TimestampFormat),
    "stale_seconds": _read_number,
    "deleted_hidden": _read_flag,
    "ended_status": _read_ended_status,
    "total_count_hidden": _read_flag,
}


def _read_share(name: str, value: Any) -> Share:
    if not isinstance(value, Mapping):
        return Share(_read_part(name, value))
    unknown = sorted(set(value) - {"share", "methods", "batch_ids", "times"})
    if unknown or "share" not in value:
        raise InvalidFaults(f"{name}: takes share, methods, batch_ids and times, not {value!r}.")
    methods, batch_ids, times = (value.get(key) for key in ("methods", "batch_ids", "times"))
    return Share(
        share=_read_part(name, value["share"]),
        methods=None if methods is None else _read_methods(f"{name}.methods", methods),
        batch_ids=None if batch_ids is None else _read_names(f"{name}.batch_ids", batch_ids),
        times=None if times is None else _read_whole_number(f"{name}.times", times),
    )


def _read_part(name: str, value: Any) -> float:
    part = _read_number(name, value)
    if part > 1:
        raise InvalidFaults(f"{name}: {value!r} is not a share between 0 and 1.")
    return part


class FaultChooser:
    """Decides for each request what befalls it; holds the counters that this needs."""

    def __init__(self, faults: Faults, seed: int | None = None) -> None:
        self._draw = random.Random(seed)  # noqa: S311
        self._happened: Counter[FaultKind] = Counter()
        self.faults = faults
        self.set(faults)

    def set(self, faults: Faults) -> None:
        """Take new faults; the rate limit and the counts of shares that were set start anew."""
        for kind, share in faults.shares.items():
            if share is not self.faults.shares.get(kind):
                self._happened[kind] = 0
        self.faults = faults
        self._tokens = self._burst
        self._filled_at = time.monotonic()

    @property
    def _burst(self) -> float:
        return self.faults.rate_limit_burst or max(1.0, self.faults.rate_limit)

    def in_scope(self, method: str, batch_id: str | None) -> bool:
        """Whether latency, rate limit and unscoped shares concern such a request."""
        return _covers(self.faults.methods, method) and _covers(self.faults.batch_ids, batch_id)

    def delay(self) -> float:
        """Seconds to wait before an answer."""
        return self.faults.latency + self._draw.uniform(0, self.faults.jitter)

    def over_the_limit(self) -> bool:
        """Whether one more request now is one too many."""
        if not self.faults.rate_limit:
            return False
        now = time.monotonic()
        gained = (now - self._filled_at) * self.faults.rate_limit
        self._tokens = min(self._burst, self._tokens + gained)
        self._filled_at = now
        if self._tokens < 1:
            return True
        self._tokens -= 1
        return False

    def choose(self, endpoint: Endpoint, method: str, batch_id: str | None) -> FaultKind | None:
        """The fault that befalls this request, if any; each share is drawn by itself."""
        for kind, share in self.faults.shares.items():
            if not self._may_happen(kind, share, endpoint):
                continue
            methods = self.faults.methods if share.methods is None else share.methods
            batch_ids = self.faults.batch_ids if share.batch_ids is None else share.batch_ids
            if not (_covers(methods, method) and _covers(batch_ids, batch_id)):
                continue
            if self._draw.random() < share.share:
                self._happened[kind] += 1
                return kind
        return None

    def _may_happen(self, kind: FaultKind, share: Share, endpoint: Endpoint) -> bool:
        if share.times is not None and self._happened[kind] >= share.times:
            return False
        return kind not in _ENDPOINTS or endpoint in _ENDPOINTS[kind]

    def retry_after_headers(self, form: RetryAfter) -> dict[str, str]:
        """The Retry-After header in the form asked for, if any."""
        if form is RetryAfter.NONE:
            return {}
        if form is RetryAfter.ABSURD:
            return {"Retry-After": ABSURD_RETRY_AFTER}
        seconds = max(self.faults.retry_after_seconds, self._seconds_to_next_token())
        if form is RetryAfter.SECONDS:
            return {"Retry-After": str(seconds)}
        return {"Retry-After": email.utils.formatdate(time.time() + seconds, usegmt=True)}

    def _seconds_to_next_token(self) -> int:
        if not self.faults.rate_limit:
            return 0
        return math.ceil(max(0.0, 1 - self._tokens) / self.faults.rate_limit)


def _covers(names: frozenset[str], name: str | None) -> bool:
    return not names or name in names
