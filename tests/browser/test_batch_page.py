"""The page of one batch in a browser: live counts, the form, and what it looks like on a phone."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Browser, expect
from pytest_django.live_server_helper import LiveServer

from batchops.models import Change, SyncRun
from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.services.mirror import sync
from tests.browser.conftest import Check, SignIn

pytestmark = pytest.mark.browser

PATH = "/batchops/batch/b-1/change/"


@pytest.fixture
def vendor(sandbox: EmbeddedSandbox, transactional_db: None) -> EmbeddedSandbox:
    sandbox.add_batch(
        batch_id="b-1",
        campaign_id=1,
        status="ACTIVE",
        paused=False,
        contacts=500,
        reached=0.4,
        call_rate=10,
        error_message="<i>odd</i>",
    )
    sync.run_sync(SyncRun.Kind.FULL)
    return sandbox


def test_the_counts_come_by_themselves_with_a_forecast(
    sign_in: SignIn,
    administrator: User,
    vendor: EmbeddedSandbox,
    live_server: LiveServer,
    accessible: Check,
) -> None:
    page = sign_in(administrator)
    page.goto(f"{live_server.url}{PATH}")
    expect(page.get_by_role("cell", name="Pending")).to_be_visible()
    expect(page.get_by_text("At 10 an hour")).to_be_visible()
    expect(page.get_by_text("<i>odd</i>")).to_be_visible()
    accessible(page)
    page.get_by_text("Pause…").click()
    accessible(page)
    page.keyboard.type("wrong list")
    page.keyboard.press("Enter")
    page.wait_for_url("**/batchops/change/*/change/")
    assert Change.objects.get().reason == "wrong list"


def test_a_vendor_that_is_down_leaves_the_page_as_it_is(
    sign_in: SignIn, operator: User, vendor: EmbeddedSandbox, live_server: LiveServer
) -> None:
    vendor.set_faults(error_503=1)
    page = sign_in(operator)
    page.goto(f"{live_server.url}{PATH}")
    expect(page.get_by_text("The vendor gave no counts")).to_be_visible()
    expect(page.get_by_role("heading", name="Change this batch")).to_be_visible()


def test_what_is_typed_chooses_what_it_belongs_to(
    sign_in: SignIn, operator: User, vendor: EmbeddedSandbox, live_server: LiveServer
) -> None:
    page = sign_in(operator)
    page.goto(f"{live_server.url}{PATH}")
    page.get_by_role("link", name="Expire, rate…").click()
    page.get_by_label("Outreach attempts an hour").fill("60")
    page.get_by_role("button", name="At the end of today").click()
    page.get_by_role("group", name="Pause or resume").get_by_label("Pause").check()
    page.get_by_role("button", name="Review").click()
    expect(page.get_by_text("of 1 selected will be changed")).to_be_visible()
    patch = Change.objects.get().patch_json
    assert (patch["paused"], patch["call_rate"]) == (True, 60)
    assert "expires_on" in patch


def test_an_error_stands_at_its_field(
    sign_in: SignIn,
    operator: User,
    vendor: EmbeddedSandbox,
    live_server: LiveServer,
    accessible: Check,
) -> None:
    page = sign_in(operator)
    page.goto(f"{live_server.url}{PATH}")
    page.get_by_role("link", name="Expire, rate…").click()
    page.get_by_role("group", name="Automatic call rate").get_by_label("Switch on").check()
    page.get_by_role("button", name="Review").click()
    pacing = page.get_by_role("group", name="Automatic call rate")
    expect(pacing.get_by_text("needs an expiry")).to_be_visible()
    expect(page.get_by_role("alert")).to_be_visible()
    accessible(page)


def test_it_fits_a_phone_by_day_and_night(
    sign_in: SignIn,
    administrator: User,
    vendor: EmbeddedSandbox,
    live_server: LiveServer,
    fits_a_phone: Check,
) -> None:
    page = sign_in(administrator)
    for path in (PATH, "/batchops/campaign/1/change/", "/"):
        page.goto(f"{live_server.url}{path}")
        page.wait_for_load_state("networkidle")
        fits_a_phone(page)


def test_everything_works_without_a_script(
    browser: Browser, operator: User, vendor: EmbeddedSandbox, live_server: LiveServer
) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{live_server.url}{PATH}")
    page.get_by_label("Username").fill("olivia")
    page.get_by_label("Password").fill("password")
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("link", name="Ask the vendor for its progress").click()
    expect(page.get_by_text("At 10 an hour")).to_be_visible()
    page.get_by_role("heading", name="Change this batch").click()
    page.get_by_role("group", name="Expiry").get_by_label("In 24 hours").check()
    page.get_by_role("button", name="Review").click()
    expect(page.get_by_text("of 1 selected will be changed")).to_be_visible()
    context.close()
