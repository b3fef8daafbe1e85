"""What the headers of a reply say of the vendor's limits.

The vendor documents none (behaviour unknown), so the usual forms are read: `Retry-After` (RFC
9110), `RateLimit` and `RateLimit-Policy` (the IETF's draft, structured fields), the three headers
`RateLimit-Limit`, `-Remaining` and `-Reset` of its earlier versions, and the same with `X-`. What
cannot be read says nothing.
"""

from __future__ import annotations

import datetime as dt
import email.utils
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

LEAST_SECONDS: Final = 2.0
"""A window that ends sooner is too short to reckon with in whole seconds."""
LONGEST_SECONDS: Final = 120.0
"""A quota for longer may be used up faster than evenly: who waits for one thing needs it now."""
_EPOCH_FROM: Final = 1e9
"""A reset of so many seconds is no span of time but a moment, as GitHub and others send it."""
_MILLISECONDS_FROM: Final = 1e11

_SECONDS: Final = re.compile(r"[0-9]+(\.[0-9]+)?")
_PARAMETER: Final = re.compile(r";\s*([a-z]+)=([0-9]+)")


@dataclass(frozen=True, slots=True)
class Advice:
    """So many requests a second are allowed, for so many seconds from now."""

    rate: float
    seconds: float


def parse_retry_after(value: str | None, now: dt.datetime) -> float | None:
    """The seconds that a `Retry-After` header asks to wait: a number, or an HTTP date.

    None when absent or unreadable, zero when past; absurdly long waits are returned as they are.
    """
    text = (value or "").strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    try:
        moment = email.utils.parsedate_to_datetime(text)
        aware = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
        return max(0.0, (aware - now).total_seconds())
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def advice(headers: Mapping[str, str], now: dt.datetime) -> Advice | None:
    """The rate at which what is left lasts until there is more; None where nothing tells.

    Where it is a bucket that is told of, and not a window, this leaves the bucket half full.
    """
    for left, reset in (_structured(headers), _plain(headers, "", now), _plain(headers, "X-", now)):
        if left is None or reset is None or not LEAST_SECONDS <= reset <= LONGEST_SECONDS:
            continue
        return Advice(max(left, 1.0) / reset, reset)
    return None


def _structured(headers: Mapping[str, str]) -> tuple[float | None, float | None]:
    """Such as `"default";r=50;t=30`; of several limits, the one that leaves the least."""
    told = [dict(_PARAMETER.findall(part)) for part in headers.get("RateLimit", "").split(",")]
    known = [(float(one["r"]), float(one["t"])) for one in told if {"r", "t"} <= one.keys()]
    fit = [one for one in known if LEAST_SECONDS <= one[1] <= LONGEST_SECONDS]
    return min(fit, key=lambda one: one[0] / one[1], default=(None, None))


def _plain(
    headers: Mapping[str, str], prefix: str, now: dt.datetime
) -> tuple[float | None, float | None]:
    left = _number(headers.get(f"{prefix}RateLimit-Remaining"))
    reset_text = headers.get(f"{prefix}RateLimit-Reset")
    reset = _number(reset_text)
    if reset is None:
        return left, parse_retry_after(reset_text, now)
    if reset >= _MILLISECONDS_FROM:
        reset /= 1_000
    return left, reset - now.timestamp() if reset >= _EPOCH_FROM else reset


def _number(value: str | None) -> float | None:
    text = (value or "").partition(",")[0].strip()
    number = float(text) if _SECONDS.fullmatch(text) else math.inf
    return number if math.isfinite(number) else None
