"""What every page shows around its content."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from tests.browser.conftest import Check

pytestmark = pytest.mark.browser


def test_a_person_signs_in_with_the_keyboard_and_reads_times_of_their_zone(
    page: Page,
    live_server: LiveServer,
    operator: User,
    settings: Settings,
    accessible: Check,
) -> None:
    settings.DEMO = True
    page.goto(live_server.url)
    expect(page.get_by_text("nothing reaches real people")).to_be_visible()
    accessible(page)
    page.keyboard.type("olivia")
    page.keyboard.press("Tab")
    page.keyboard.type("password")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Times are in Europe/Berlin")).to_be_visible()
    expect(page.get_by_text("Mirror is empty")).to_be_visible()
