"""A running sandbox, and the two ways the tests speak to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from syllable_sdk import SyllableSDK

from batchops.sandbox import EmbeddedSandbox
from tests.sandbox.plain_http import PlainHttp


@pytest.fixture
def sandbox() -> Iterator[EmbeddedSandbox]:
    """A sandbox with one campaign and no batch."""
    with EmbeddedSandbox() as running:
        yield running


@pytest.fixture
def http(sandbox: EmbeddedSandbox) -> PlainHttp:
    return PlainHttp(sandbox)


@pytest.fixture
def sdk(sandbox: EmbeddedSandbox) -> SyllableSDK:
    """The vendor's own client, pointed at the sandbox."""
    return SyllableSDK(server_url=sandbox.url, api_key_header=sandbox.key, timeout_ms=5_000)
