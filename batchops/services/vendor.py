"""The one client of the vendor's API in this process, and its rate limiter, from the settings."""

from __future__ import annotations

import functools
import math
from typing import Final

from django.conf import settings

from batchops.syllable.client import SyllableClient
from batchops.syllable.rate.limiter import RateLimiter, Use
from batchops.syllable.tally import RequestTally

QUICK_CONNECT_SECONDS: Final = 2.0
QUICK_READ_SECONDS: Final = 4.0
QUICK_PATIENCE_SECONDS: Final = 1.0
QUICK_IN_FLIGHT: Final = 8
QUICK_RATE: Final = 5.0
"""Requests a second that the pages of a web process may make in the long run."""
QUICK_BURST: Final = 100.0
"""As many batches as a person may refresh at a time."""

TALLY: Final = RequestTally()
"""Counts all requests of this process."""


def client(read_attempts: int = 4, use: Use = Use.READ) -> SyllableClient:
    """A client that is shared by all who ask. Raises `Misconfigured` for a bad address or key.

    `read_attempts` counts how often it tries a read by itself; `use` is what it is for.
    """
    return _client(
        settings.SYLLABLE_BASE_URL,
        settings.SYLLABLE_API_KEY,
        settings.SYLLABLE_CONNECT_TIMEOUT,
        settings.SYLLABLE_TIMEOUT,
        # While requests hang, twice as many may go beside them.
        3 * settings.SYLLABLE_MAX_IN_FLIGHT,
        settings.SYLLABLE_USE_PROXIES,
        read_attempts,
        limiter(),
        use,
    )


def quick_client() -> SyllableClient:
    """A client for pages: a person waits, so each try is short and there is only one.

    Pages have a budget of their own: they neither wait for changes nor hold them up for long.
    """
    return _client(
        settings.SYLLABLE_BASE_URL,
        settings.SYLLABLE_API_KEY,
        QUICK_CONNECT_SECONDS,
        QUICK_READ_SECONDS,
        QUICK_IN_FLIGHT,
        settings.SYLLABLE_USE_PROXIES,
        1,
        _limiter(settings.SYLLABLE_BASE_URL, min(QUICK_RATE, _known_rate()), QUICK_BURST),
        Use.READ,
        QUICK_PATIENCE_SECONDS,
    )


def limiter() -> RateLimiter:
    """What holds back all requests of this process but those of pages."""
    return _limiter(settings.SYLLABLE_BASE_URL, _known_rate())


def forget() -> None:
    """Begin anew, knowing of no rate."""
    _client.cache_clear()
    _limiter.cache_clear()


def _known_rate() -> float:
    return settings.SYLLABLE_MAX_RATE or math.inf


@functools.lru_cache(maxsize=4)
def _limiter(_base_url: str, maximum: float, burst: float = 0.0) -> RateLimiter:
    return RateLimiter(maximum, burst=burst)


@functools.lru_cache(maxsize=4)
def _client(
    base_url: str,
    api_key: str,
    connect_timeout: float,
    read_timeout: float,
    pool_size: int,
    use_environment_proxies: bool,
    read_attempts: int,
    limiter: RateLimiter,
    use: Use,
    patience: float = 120.0,
) -> SyllableClient:
    return SyllableClient(
        base_url,
        api_key,
        connect_timeout=connect_timeout,
        read_timeout=read_timeout,
        pool_size=pool_size,
        use_environment_proxies=use_environment_proxies,
        read_attempts=read_attempts,
        limiter=limiter,
        tally=TALLY,
        use=use,
        patience=patience,
    )
