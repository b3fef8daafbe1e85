"""Counts of requests by status, as GET of one batch shows them."""

from __future__ import annotations

import random
import zlib
from typing import Final

from batchops.sandbox.records import Batch, Wire

OUTCOMES_BY_MODE: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "voice": {
        "COMPLETED": ("COMPLETED", "HUMAN", "MACHINE"),
        "CONNECTED": ("IN-PROGRESS",),
        "FAILED": ("NO-ANSWER", "BUSY", "SIP_TEMPORARILY_UNAVAILABLE"),
    },
    "sms": {
        "COMPLETED": ("DELIVERED", "SENT"),
        "CONNECTED": ("SENT",),
        "FAILED": ("UNDELIVERED", "DELIVERY_FAILED"),
    },
    "email": {
        "COMPLETED": ("DELIVERED", "OPENED", "CLICKED"),
        "CONNECTED": ("PROCESSED",),
        "FAILED": ("BOUNCED", "DROPPED"),
    },
}
"""`ChannelManagerStatus` values of the vendor's OpenAPI, by request status."""
UNREACHED_AS: Final = {"EXPIRED": "SKIPPED", "CANCELED": "CANCELED"}
"""What becomes of contacts not reached; PENDING while the batch has not ended."""


def status_counts(batch: Batch, status: str) -> dict[str, int]:
    """Requests by status; they add up to the batch's contacts, and are empty after a failure."""
    if status == "FAILED" or batch.contacts == 0:
        return {}
    draw = _draw(batch)
    duplicates = int(batch.contacts * draw.uniform(0, 0.03))
    invalid = int(batch.contacts * draw.uniform(0, 0.02))
    reached = int((batch.contacts - duplicates - invalid) * batch.reached)
    failed = int(reached * draw.uniform(0.05, 0.25))
    under_way = min(reached - failed, draw.randint(1, 6)) if status == "ACTIVE" else 0
    counts = {
        "COMPLETED": reached - failed - under_way,
        "CONNECTED": under_way,
        "FAILED": failed,
        "DUPLICATE": duplicates,
        "INVALID": invalid,
    }
    unreached = batch.contacts - sum(counts.values())
    counts[UNREACHED_AS.get(status, "PENDING")] = unreached
    return {name: count for name, count in counts.items() if count}


def detailed_status_counts(batch: Batch, counts: dict[str, int], mode: str | None) -> Wire:
    """The vendor's `RequestStatusBreakdown` for each status; the parts add up to the total."""
    outcomes = OUTCOMES_BY_MODE.get(mode or "voice", OUTCOMES_BY_MODE["voice"])
    draw = _draw(batch)
    return {name: _breakdown(count, outcomes.get(name), draw) for name, count in counts.items()}


def _breakdown(count: int, names: tuple[str, ...] | None, draw: random.Random) -> Wire:
    if names is None:
        return {"total_count": count}
    parts: dict[str, int] = {}
    left = count
    for name in names[1:]:
        parts[name] = int(left * draw.uniform(0.1, 0.4))
        left -= parts[name]
    parts[names[0]] = left
    return {"total_count": count, "counts": {name: part for name, part in parts.items() if part}}


def _draw(batch: Batch) -> random.Random:
    # The same batch shows the same counts each time it is read.
    return random.Random(zlib.crc32(batch.batch_id.encode()))  # noqa: S311
