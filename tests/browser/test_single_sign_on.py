"""The way to a provider and back in a real browser, under our Content-Security-Policy."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, expect
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from tests.accounts.providers import running_provider, set_up

POLICY = "Content Security Policy"
pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_a_person_comes_in_by_the_provider_and_is_told_when_they_have_no_role(
    context: BrowserContext,
    live_server: LiveServer,
    settings: Settings,
    running_worker: None,
    accessible: Callable[[Page], None],
) -> None:
    settings.OIDC_LABEL = "Example ID"
    # The provider's own page loads from elsewhere, so only what our policy refuses counts.
    page, refused = context.new_page(), list[str]()
    page.on("console", lambda said: refused.append(said.text) if POLICY in said.text else None)
    with running_provider() as provider:
        set_up(provider, settings)
        page.goto(f"{live_server.url}/batchops/batch/")
        accessible(page)
        page.get_by_role("link", name="Sign in with Example ID").click()
        page.locator('input[name="sub"]').first.fill("mia")
        page.locator('input[name="sub"]').first.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_contain_text("Batches")
        expect(page.locator("#user-tools")).to_contain_text("Mia Berg")
        page.get_by_role("button", name="Log out").click()
        provider.knows("nils", preferred_username="nils", groups=["canteen"])
        page.goto(live_server.url)
        page.get_by_role("link", name="Sign in with Example ID").click()
        page.locator('input[name="sub"]').first.fill("nils")
        page.locator('input[name="sub"]').first.press("Enter")
        expect(page.locator("#content")).to_contain_text("none of your groups there gives a role")
        accessible(page)
        assert refused == []
