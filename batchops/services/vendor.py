"""The one client of the vendor's API in this process, made from the settings."""

from __future__ import annotations

import functools
from typing import Final

from django.conf import settings

from batchops.syllable.client import SyllableClient

QUICK_CONNECT_SECONDS: Final = 2.0
QUICK_READ_SECONDS: Final = 4.0
QUICK_IN_FLIGHT: Final = 8


def client(read_attempts: int = 4) -> SyllableClient:
    """A client that is shared by all who ask. Raises `Misconfigured` for a bad address or key.

    `read_attempts` counts how often it tries a read by itself.
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
    )


def quick_client() -> SyllableClient:
    """A client for pages: a person waits, so each try is short and there is only one."""
    return _client(
        settings.SYLLABLE_BASE_URL,
        settings.SYLLABLE_API_KEY,
        QUICK_CONNECT_SECONDS,
        QUICK_READ_SECONDS,
        QUICK_IN_FLIGHT,
        settings.SYLLABLE_USE_PROXIES,
        1,
    )


@functools.lru_cache(maxsize=4)
def _client(
    base_url: str,
    api_key: str,
    connect_timeout: float,
    read_timeout: float,
    pool_size: int,
    use_environment_proxies: bool,
    read_attempts: int,
) -> SyllableClient:
    return SyllableClient(
        base_url,
        api_key,
        connect_timeout=connect_timeout,
        read_timeout=read_timeout,
        pool_size=pool_size,
        use_environment_proxies=use_environment_proxies,
        read_attempts=read_attempts,
    )
