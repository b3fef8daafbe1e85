"""A real Chromium, a worker in the background, and what every page must keep to.

Every test fails on an error in the console: a script that broke, a file that is missing, anything
that the Content-Security-Policy refused.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.contrib.auth.models import User
from django.db import connections
from django.test import Client
from django.urls import reverse
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Error, Page
from pytest_django.live_server_helper import LiveServer

from batchops.tasks import LANES

# Playwright keeps an event loop in the test's thread, where Django would refuse its ORM.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")

CHROMIUM: Final = Path("/usr/bin/chromium")
ARGUMENTS: Final = [
    "--no-sandbox",
    "--disable-gpu",
    "--in-process-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
HINT: Final = "Chromium is missing; install it with: apt-get install chromium"

WIDTH: Final = "document.documentElement.scrollWidth"
"""What a page takes of its window, or more than that."""

END_TRANSITIONS: Final = "document.getAnimations().forEach(animation => animation.finish())"
"""Links take a moment to their colours of the night."""

SignIn: TypeAlias = Callable[[User], Page]
Check: TypeAlias = Callable[[Page], None]


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


@pytest.fixture(scope="session")
def one_page(browser: Browser, browser_context_args: dict[str, Any]) -> Page:
    """A page for all tests: a browser takes a second to make another."""
    page = browser.new_context(**browser_context_args).new_page()
    page.set_default_timeout(10_000)
    return page


@pytest.fixture
def page(one_page: Page, browser_context_args: dict[str, Any]) -> Iterator[Page]:
    """A page as a browser opens it, whose console stays free of errors until the test has ended."""
    problems: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type == "error":
            problems.append(message.text)

    def note_error(error: Error) -> None:
        problems.append(str(error))

    one_page.set_viewport_size(browser_context_args["viewport"])
    one_page.emulate_media(color_scheme="light")
    one_page.on("console", note)
    one_page.on("pageerror", note_error)
    yield one_page
    # What is under way when a page is left fails, and is no problem.
    one_page.remove_listener("console", note)
    one_page.remove_listener("pageerror", note_error)
    if (address := urlsplit(one_page.url)).scheme == "http":
        # From a page that asks for nothing more.
        one_page.goto(f"http://{address.netloc}{reverse('healthz')}")
        one_page.evaluate("sessionStorage.clear()")
    one_page.goto("about:blank")
    for other in one_page.context.pages:
        if other is not one_page:
            other.close()
    one_page.context.clear_cookies()
    assert problems == []


@pytest.fixture
def context(page: Page) -> BrowserContext:
    return page.context


@pytest.fixture
def sign_in(page: Page, live_server: LiveServer) -> SignIn:
    """Signs a person in and opens the overview."""

    def enter(person: User) -> Page:
        client = Client()
        client.force_login(person)
        session = client.cookies["sessionid"].value
        page.context.add_cookies(
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
def accessible() -> Check:
    """Fails when axe-core finds something serious or critical on a page."""
    return partial(_examine, options={"preload": False})


@pytest.fixture
def fits_a_phone(accessible: Check) -> Check:
    """Fails when a page is too wide for a phone, or hard to read there by day or by night."""

    def check(page: Page) -> None:
        before = page.viewport_size
        page.set_viewport_size({"width": 390, "height": 844})
        page.emulate_media(color_scheme="dark")
        page.evaluate(END_TRANSITIONS)
        accessible(page)
        page.emulate_media(color_scheme="light")
        page.evaluate(END_TRANSITIONS)
        # Nothing but colours is another by day.
        _examine(page, options={"preload": False, "runOnly": ["color-contrast"]})
        assert page.evaluate(WIDTH) <= 390, page.url
        if before:
            page.set_viewport_size(before)

    return check


def _examine(page: Page, options: dict[str, Any]) -> None:
    found = Axe().run(page, options={"resultTypes": ["violations"], **options})
    grave = [
        f"{finding['id']}: {finding['help']}: {node['html']}"
        for finding in found.response["violations"]
        if finding["impact"] in ("serious", "critical")
        for node in finding["nodes"]
    ]
    assert grave == []
