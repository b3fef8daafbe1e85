"""How many requests of a batch are in which status, asked of the vendor when somebody looks.

Only numbers are read and kept, for half a minute, in the cache alone.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.core.cache import cache
from django.utils import timezone

from batchops.services import quotas, vendor

if TYPE_CHECKING:
    from django.contrib.auth.models import User

KEPT_SECONDS: Final = 30
WAITING_STATUS: Final = "PENDING"


@dataclass(frozen=True, slots=True)
class RequestCounts:
    """Requests by status, as the vendor told them at an instant (UTC); None: it told none."""

    by_status: Mapping[str, int] | None
    asked_at: dt.datetime

    @property
    def total(self) -> int:
        return sum((self.by_status or {}).values())

    @property
    def waiting(self) -> int:
        """Requests that have not been tried yet."""
        return (self.by_status or {}).get(WAITING_STATUS, 0)


def read(batch_id: str, user: User | None = None) -> RequestCounts:
    """The counts of a batch, at most half a minute old.

    Raises `SyllableError`, and QuotaReached for a person who asks for too many.
    """
    key = _cache_key(batch_id)
    known: RequestCounts | None = cache.get(key)
    if known is not None:
        return known
    if user is not None:
        quotas.spend_count(user)
    asked_at = timezone.now()
    details = vendor.quick_client().get_batch(batch_id)
    counts = RequestCounts(details.status_counts, asked_at)
    cache.set(key, counts, KEPT_SECONDS)
    return counts


def _cache_key(batch_id: str) -> str:
    name = f"{settings.SYLLABLE_BASE_URL}\n{batch_id}"
    return f"request-counts:{hashlib.sha256(name.encode()).hexdigest()}"
