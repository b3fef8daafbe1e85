"""How many requests of a batch are in which status, asked of the vendor when somebody looks.

Only numbers are read and kept, for half a minute, in the cache alone.
"""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from django.conf import settings
from django.core.cache import cache
from django.utils import timezone

from batchops.syllable.client import SyllableClient

KEPT_SECONDS: Final = 30
CONNECT_SECONDS: Final = 2.0
READ_SECONDS: Final = 4.0
"""Short: a person is waiting, and the page says so when the vendor does not answer."""
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


def read(batch_id: str) -> RequestCounts:
    """The counts of a batch, at most half a minute old. Raises `SyllableError`."""
    key = _cache_key(batch_id)
    known: RequestCounts | None = cache.get(key)
    if known is not None:
        return known
    asked_at = timezone.now()
    details = _client(
        settings.SYLLABLE_BASE_URL, settings.SYLLABLE_API_KEY, settings.SYLLABLE_USE_PROXIES
    ).get_batch(batch_id)
    counts = RequestCounts(details.status_counts, asked_at)
    cache.set(key, counts, KEPT_SECONDS)
    return counts


def _cache_key(batch_id: str) -> str:
    name = f"{settings.SYLLABLE_BASE_URL}\n{batch_id}"
    return f"request-counts:{hashlib.sha256(name.encode()).hexdigest()}"


@functools.lru_cache(maxsize=4)
def _client(base_url: str, api_key: str, use_environment_proxies: bool) -> SyllableClient:
    return SyllableClient(
        base_url,
        api_key,
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        pool_size=4,
        read_attempts=1,
        use_environment_proxies=use_environment_proxies,
    )
