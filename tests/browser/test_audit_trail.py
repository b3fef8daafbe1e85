"""An auditor at work: signs in, filters, opens an entry, reviews, exports, reports."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import expect
from pytest_django.live_server_helper import LiveServer

from batchops.models import Action, AuditEntry
from tests.admin.trail.trail import address, write
from tests.browser.conftest import Check, SignIn

pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror=alert(1)> \u202e" + "w" * 5_000


@pytest.fixture
def entries(live_server: LiveServer) -> None:
    write(reason="wrong list")
    write(Action.BATCH_REFUSED, name="oscar", outcome="refused", http_status=422)
    write(reason=HOSTILE, name=HOSTILE, batch_id="a/b?c#d%2F", campaign_name=HOSTILE)


def test_an_auditor_filters_opens_an_entry_reviews_and_exports(
    sign_in: SignIn,
    live_server: LiveServer,
    auditor: User,
    entries: None,
    accessible: Check,
    tmp_path: Path,
) -> None:
    page = sign_in(auditor)
    page.goto(live_server.url + address())
    accessible(page)
    page.get_by_label("Person").fill("oscar")
    page.get_by_label("Outcome").select_option("refused")
    page.get_by_role("button", name="Filter", exact=True).click()
    expect(page.locator(".trail-rows tbody tr")).to_have_count(1)
    assert "person=oscar" in page.url

    page.locator(".trail-when a").click()
    expect(page.get_by_text("Its hash matches its content.")).to_be_visible()
    expect(page.get_by_text("Not yet")).to_be_visible()
    accessible(page)
    page.go_back()

    page.get_by_label("Comment").fill("Asked oscar")
    page.get_by_label("Select all entries on this page").check()
    page.get_by_role("button", name="Mark selected entries").click()
    expect(page.get_by_text("1 entry is marked as reviewed")).to_be_visible()
    expect(page.locator(".trail-reviewed")).to_have_count(1)

    page.get_by_label("Format").select_option("csv")
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Export").click()
    waiting.value.save_as(tmp_path / "trail.csv")
    assert "oscar" in (tmp_path / "trail.csv").read_text()
    assert AuditEntry.objects.get(action=Action.AUDIT_EXPORTED).detail["entries"] == 1


def test_an_auditor_draws_a_sample_and_reads_the_report(
    sign_in: SignIn,
    live_server: LiveServer,
    auditor: User,
    entries: None,
    accessible: Check,
) -> None:
    page = sign_in(auditor)
    page.goto(live_server.url + address("desk"))
    accessible(page)
    page.get_by_label("Number of entries").fill("2")
    page.get_by_role("button", name="Draw").click()
    expect(page.locator(".trail-rows tbody tr")).to_have_count(2)
    accessible(page)
    page.get_by_role("link", name="Report").click()
    expect(page.locator("svg .chart-well").last).to_be_visible()
    expect(page.get_by_role("button", name="Print")).to_be_visible()
    accessible(page)


def test_no_page_is_wider_than_a_phone_or_hard_to_read(
    sign_in: SignIn,
    live_server: LiveServer,
    auditor: User,
    entries: None,
    fits_a_phone: Check,
) -> None:
    page = sign_in(auditor)
    hostile = AuditEntry.objects.get(batch_id="a/b?c#d%2F")
    for where in (
        address(),
        address(since="2026-03-24", until="2026-03-20"),
        address("change", hostile.pk),
        address("person", name=hostile.actor_name),
        address("desk"),
        address("report"),
    ):
        page.goto(live_server.url + where)
        fits_a_phone(page)
