"""A real Chromium, a worker in the background, and what every page must keep to.

Every test fails on an error in the console: a script that broke, a file that is missing, anything
that the Content-Security-Policy refused.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.contrib.auth.models import User
from django.db import connections
from django.test import Client
from playwright.sync_api import BrowserContext, ConsoleMessage, Page
from pytest_django.live_server_helper import LiveServer

from batchops.tasks import LANES

# Playwright keeps an event loop in the test's thread, where Django would refuse its ORM.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")

CHROMIUM: Final = Path("/usr/bin/chromium")
ARGUMENTS: Final = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
HINT: Final = "Chromium is missing; install it with: apt-get install chromium"

SignIn = Callable[[User], Page]


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict[str, Any]:
    """Debian's Chromium; without it the tests of this folder are passed over."""
    path = CHROMIUM if CHROMIUM.exists() else shutil.which("chromium")
    if not path:
        if os.environ.get("BATCHOPS_REQUIRE_ALL"):
            pytest.fail(HINT)
        pytest.skip(HINT)
    return {"executable_path": str(path), "args": ARGUMENTS}


@pytest.fixture(scope="session")
def browser_context_args() -> dict[str, Any]:
    """A laptop in Berlin, so that no time is in UTC by chance."""
    return {
        "viewport": {"width": 1280, "height": 800},
        "timezone_id": "Europe/Berlin",
        "locale": "en-GB",
        "reduced_motion": "reduce",
    }


@pytest.fixture
def page(page: Page) -> Iterator[Page]:
    """A page whose console stays free of errors until the test has ended."""
    problems: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type == "error":
            problems.append(message.text)

    page.on("console", note)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.set_default_timeout(10_000)
    yield page
    assert problems == []


@pytest.fixture
def sign_in(page: Page, context: BrowserContext, live_server: LiveServer) -> SignIn:
    """Signs a person in and opens the overview."""

    def enter(person: User) -> Page:
        client = Client()
        client.force_login(person)
        session = client.cookies["sessionid"].value
        context.add_cookies(
            [
                {"name": "sessionid", "value": session, "url": live_server.url},
                {"name": "time_zone", "value": "Europe/Berlin", "url": live_server.url},
            ]
        )
        page.goto(live_server.url)
        return page

    return enter


@pytest.fixture
def working(live_server: LiveServer, running_worker: None) -> Iterator[None]:
    """What a worker does, again and again in the background, until the test has ended."""
    enough = threading.Event()

    def work() -> None:
        while not enough.wait(0.1):
            for name in ("timers", "push", "read-back"):
                LANES[name].step()
        connections.close_all()

    worker = threading.Thread(target=work, name="worker")
    worker.start()
    yield
    enough.set()
    worker.join(30)
    assert not worker.is_alive()


@pytest.fixture
def accessible() -> Callable[[Page], None]:
    """Fails when axe-core finds something serious or critical on a page."""

    def check(page: Page) -> None:
        found = Axe().run(page).response["violations"]
        grave = [
            f"{finding['id']}: {finding['help']}: {node['html']}"
            for finding in found
            if finding["impact"] in ("serious", "critical")
            for node in finding["nodes"]
        ]
        assert grave == []

    return check
