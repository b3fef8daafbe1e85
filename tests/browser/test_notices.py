"""The bell on every page: what came meanwhile, and reading it."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import expect

from batchops.notices import inbox, kinds, raising
from batchops.notices.kinds import Raised, always
from tests.browser.conftest import Check, SignIn

pytestmark = pytest.mark.browser


def test_news_pops_up_on_an_open_page_and_is_read_by_keyboard(
    sign_in: SignIn, operator: User, accessible: Check
) -> None:
    page = sign_in(operator)
    expect(page.locator(".bell-count")).to_be_hidden()
    title = "Finished as requested: pause, on <b>3</b> batches"
    mine = frozenset({operator.pk})
    for kind in (kinds.FINISHED, kinds.APPROVED):
        raising.raise_all([Raised(kind, "1", always(title), "/batchops/change/", people=mine)])
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator(".toast")).to_have_count(1)
    expect(page.locator(".toast a")).to_have_text(title)
    expect(page).to_have_title("(2) Overview | batchops")
    accessible(page)

    page.locator(".bell").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".inbox-item")).to_have_count(2)
    expect(page.locator(".toast")).to_have_count(0)
    accessible(page)
    with page.expect_response("**/notices/read/"):
        page.get_by_role("link", name=title).first.press("Enter")
    page.wait_for_url("**/batchops/change/")
    assert len(inbox.unread_ids(operator)) == 1
    page.go_back()
    page.reload()
    page.get_by_role("button", name="Mark all as read").press("Enter")
    expect(page.get_by_text("Nothing is unread.")).to_be_visible()
    assert inbox.unread_ids(operator) == []
