"""Fingerprints: what an approver saw, and what the author saw, is what runs.

They cover everything that determines what runs: the patch, each item with what the person saw
before it, the schedule, the end of a pause, and who asked for it.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from typing import Final

from batchops.audit.canonical_form import canonical_json
from batchops.models import Change

READ_AT_ONCE: Final = 2_000
_ITEM: Final = (
    *("batch_id", "plan", "patch_json", "before_paused", "before_expires_on"),
    *("before_call_rate", "before_auto_call_rate", "before_status"),
)


def of_items(change: Change) -> str:
    """SHA-256 over all items of a change, read now."""
    digest = hashlib.sha256()
    rows = change.items.order_by("batch_id").values_list(*_ITEM)
    for row in rows.iterator(READ_AT_ONCE):
        digest.update(canonical_json([_plain(value) for value in row]))
    return digest.hexdigest()


def of(change: Change) -> str:
    """SHA-256 over all that determines what runs, taking the items as they were frozen."""
    terms = {
        "patch": change.patch_json,
        "lifts": change.lifts,
        "protected": change.protected,
        "priority": int(change.priority),
        "items": change.items_fingerprint,
        "starts_at": _plain(change.starts_at),
        "resume_at": _plain(change.resume_at),
        "requested_by": change.requested_by_name,
        "resume_set_by": change.resume_set_by_name,
    }
    return hashlib.sha256(canonical_json(terms)).hexdigest()


def is_whole(change: Change) -> bool:
    """Whether a change is still what it was stamped as, down to its last item."""
    return of(change) == change.fingerprint and of_items(change) == change.items_fingerprint


def _plain(value: object) -> object:
    return value.astimezone(dt.UTC).isoformat() if isinstance(value, dt.datetime) else value
