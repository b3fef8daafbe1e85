"""Assignments as values, for tests that need no database."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any, Final

from batchops.services.attempts.assignments import Assignment
from batchops.services.mirror.evidence import Known
from batchops.syllable.patch import BatchPatch, Values

SEEN_AT: Final = dt.datetime(2026, 11, 24, 12, tzinfo=dt.UTC)
CHANGE: Final = uuid.UUID(int=1)


def assignment(batch_id: str = "20261124.0", **more: Any) -> Assignment:
    """To pause an active batch, which was seen long ago."""
    values = Values(paused=False)
    known = Known(values, "ACTIVE", observed_at=SEEN_AT)
    return Assignment(
        **{
            "item_id": 1,
            "change_id": CHANGE,
            "batch_id": batch_id,
            "patch": BatchPatch(paused=True),
            "before": values,
            "expected": values,
            "known": known,
            **more,
        }
    )
