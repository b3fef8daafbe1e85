"""A provider of single sign-on in a process of its own, and people whom it knows."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import quote, urlsplit

import httpx
from pytest_django import Settings

SERVE: Final = """
import time
from oidc_provider_mock import run_server_in_thread
with run_server_in_thread() as server:
    print(server.server_port, flush=True)
    time.sleep(3600)
"""
CLAIMS: Final = {
    "preferred_username": "mia.berg",
    "email": "mia@example.com",
    "given_name": "Mia",
    "family_name": "Berg",
    "groups": ["ops-team", "canteen"],
}


class Provider:
    """The provider, and a person's browser there."""

    def __init__(self, port: int) -> None:
        self.issuer = f"http://localhost:{port}"

    def knows(self, subject: str, **claims: Any) -> None:
        address = f"{self.issuer}/users/{quote(subject)}"
        httpx.put(address, json={**CLAIMS, **claims}).raise_for_status()

    def lets_in(self, address: str, subject: str = "mia") -> str:
        """The way back, once the person has signed in there."""
        back = httpx.post(address, data={"sub": subject}).headers["Location"]
        parts = urlsplit(back)
        return f"{parts.path}?{parts.query}"


@contextmanager
def running_provider() -> Iterator[Provider]:
    """In a process of its own, whose clock the tests do not move."""
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", SERVE], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield Provider(int(process.stdout.readline()))
        process.kill()


def set_up(running: Provider, settings: Settings) -> None:
    """Point batchops at the provider, which knows one person."""
    settings.OIDC_ISSUER = running.issuer
    settings.OIDC_CLIENT_ID, settings.OIDC_CLIENT_SECRET = "batchops", "of-the-tests"
    settings.OIDC_GROUPS = [
        ("ops-team", "Operator"),
        ("leads, all", "Approver"),
        ("Prüfung", "Auditor"),
    ]
    running.knows("mia")
