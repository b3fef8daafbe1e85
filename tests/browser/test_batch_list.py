"""The batch list in a browser: filter, select, act, paste; by keyboard, on a phone, in the dark."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import expect
from pytest_django.live_server_helper import LiveServer

from batchops.models import Change, PastedIds
from tests.browser.conftest import Check, SignIn
from tests.services.changes import world

pytestmark = pytest.mark.browser


@pytest.fixture
def some_batches(transactional_db: None, operator: User) -> None:
    for number in range(60):
        world.batch(f"b-{number:02}", number % 3 + 1, call_rate=number + 1)
    world.batch("held", paused=True, status="PAUSED", error_message="<b>odd</b>")
    world.batch("failed", status="FAILED")


@pytest.mark.usefixtures("some_batches")
def test_selected_batches_are_taken_to_the_review(
    sign_in: SignIn, operator: User, accessible: Check
) -> None:
    page = sign_in(operator)
    page.goto(f"{page.url}batchops/batch/?q=b-0")
    accessible(page)
    page.get_by_role("link", name="Batches", exact=True).click()
    page.get_by_role("link", name="Live, not paused").click()
    expect(page.get_by_text("60 batches", exact=True).first).to_be_visible()
    for number in (0, 1, 2):
        page.locator("input.action-select").nth(number).check()
    expect(page.get_by_text("3 of 50 selected")).to_be_visible()
    page.get_by_role("button", name="Pause", exact=True).click()
    expect(page.get_by_text("of 3 selected will be changed")).to_be_visible()


@pytest.mark.usefixtures("some_batches")
def test_all_that_match_are_taken_to_the_review(sign_in: SignIn, operator: User) -> None:
    page = sign_in(operator)
    page.goto(f"{page.url}batchops/batch/?show=on")
    page.locator("#action-toggle").check()
    page.get_by_role("button", name="Select all 60 that match").click()
    page.get_by_role("button", name="Pause", exact=True).click()
    expect(page.get_by_text("of 60 selected will be changed")).to_be_visible()
    assert Change.objects.get().item_count == 60


@pytest.mark.usefixtures("some_batches")
def test_an_expiry_is_set_with_the_keyboard_alone(
    sign_in: SignIn, operator: User, accessible: Check
) -> None:
    page = sign_in(operator)
    page.goto(f"{page.url}batchops/batch/?q=b-07")
    page.locator("input.action-select").focus()
    page.keyboard.press("Space")
    page.get_by_role("button", name="Set expiry…").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Set expiry: 1 batch")).to_be_visible()
    accessible(page)
    page.get_by_role("button", name="In 7 days").focus()
    page.keyboard.press("Space")
    expect(page.get_by_text("UTC").first).to_be_visible()
    expect(page.get_by_label("At a date and time")).to_be_checked()
    page.get_by_role("button", name="Review").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("of 1 selected will be changed")).to_be_visible()
    assert set(Change.objects.get().patch_json) == {"expires_on"}


@pytest.mark.usefixtures("some_batches")
def test_a_bad_value_is_said_where_it_was_typed(
    sign_in: SignIn, operator: User, accessible: Check
) -> None:
    page = sign_in(operator)
    page.goto(f"{page.url}batchops/batch/?q=b-07")
    page.locator("input.action-select").check()
    page.get_by_label("More actions").select_option("Set call rate…")
    page.get_by_role("button", name="Go").click()
    page.get_by_label("Outreach attempts an hour").fill("5000")
    page.get_by_role("button", name="Review").click()
    expect(page.get_by_text("Between 1 and 3,600 an hour.").first).to_be_visible()
    accessible(page)
    page.get_by_label("Outreach attempts an hour").fill("50")
    page.get_by_role("button", name="Review").click()
    expect(page.get_by_text("of 1 selected will be changed")).to_be_visible()


@pytest.mark.usefixtures("some_batches")
def test_a_pasted_list_names_what_is_unknown(
    sign_in: SignIn, operator: User, accessible: Check
) -> None:
    page = sign_in(operator)
    page.goto(f"{page.url}batchops/batch/")
    page.get_by_role("link", name="Paste ids").click()
    accessible(page)
    names = [f"b-{number:02}" for number in range(55)]
    page.get_by_label("Batch ids").fill("\n".join([*names, "b-00", "ghost-1"]))
    page.get_by_role("button", name="Find these batches").click()
    expect(page.get_by_text("55 batches").first).to_be_visible()
    expect(page.get_by_label("Unknown ids")).to_have_value("ghost-1\n")
    expect(page.get_by_text("1 repeated")).to_be_visible()
    accessible(page)
    page.locator("#action-toggle").check()
    page.get_by_role("button", name="Select all 55 that match").click()
    page.get_by_role("button", name="Pause", exact=True).click()
    expect(page.get_by_text("of 55 selected will be changed")).to_be_visible()
    assert PastedIds.objects.get().found_count == 55


@pytest.mark.usefixtures("some_batches")
def test_many_lines_pasted_into_the_search_become_a_list(
    sign_in: SignIn, operator: User, live_server: LiveServer
) -> None:
    page = sign_in(operator)
    page.goto(f"{live_server.url}/batchops/batch/")
    paste = """text => {
        const data = new DataTransfer();
        data.setData("text/plain", text);
        const event = new ClipboardEvent(
            "paste", {clipboardData: data, bubbles: true, cancelable: true});
        document.getElementById("searchbar").dispatchEvent(event);
    }"""
    page.evaluate(paste, "b-01")
    expect(page.get_by_text("Your pasted list")).to_have_count(0)
    page.evaluate(paste, "\n".join(f"b-{number:02}" for number in range(400)))
    expect(page.get_by_text("60 batches found")).to_be_visible()
    assert PastedIds.objects.get().found_count == 60


@pytest.mark.usefixtures("some_batches")
def test_the_lists_can_be_read_on_a_phone_by_day_and_night(
    sign_in: SignIn, operator: User, fits_a_phone: Check
) -> None:
    page = sign_in(operator)
    home = page.url
    for path in ("batchops/batch/?q=b-0", "batchops/campaign/", "batchops/syncrun/"):
        page.goto(f"{home}{path}")
        fits_a_phone(page)


@pytest.mark.usefixtures("some_batches", "running_worker")
def test_single_keys_move_select_and_pause(
    sign_in: SignIn, operator: User, live_server: LiveServer, accessible: Check
) -> None:
    page = sign_in(operator)
    page.goto(f"{live_server.url}/batchops/batch/?show=on")
    pause = page.get_by_role("button", name="Pause", exact=True)
    expect(pause).to_be_disabled()
    expect(pause).to_have_attribute("title", "Select batches first.")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()
    accessible(page)
    page.keyboard.press("Escape")
    for key in ("j", "j", "x"):
        page.keyboard.press(key)
    expect(page.locator("input.action-select").nth(1)).to_be_checked()
    for key in ("j", "j", "Shift+X"):
        page.keyboard.press(key)
    expect(page.get_by_text("3 of 50 selected")).to_be_visible()
    page.keyboard.press("u")
    expect(pause).to_be_disabled()
    page.keyboard.press("/")
    page.keyboard.type("ajx")
    expect(page.locator("#searchbar")).to_have_value("ajx")
    page.locator("input.action-select").first.focus()
    for key in ("a", "a", "p"):
        page.keyboard.press(key)
    expect(page.get_by_text("of 60 selected will be changed")).to_be_visible()


@pytest.mark.usefixtures("some_batches", "running_worker")
def test_a_laptop_shows_twenty_batches_and_keeps_headings_and_actions_in_sight(
    sign_in: SignIn, operator: User, live_server: LiveServer, accessible: Check
) -> None:
    page = sign_in(operator)
    page.goto(f"{live_server.url}/batchops/batch/")
    bottom = "[...document.querySelectorAll('#result_list tbody tr')]"
    assert page.evaluate(f"{bottom}[19].getBoundingClientRect().bottom") <= 800
    page.get_by_text("Filters", exact=True).click()
    accessible(page)
    page.get_by_text("Columns", exact=True).first.click()
    page.get_by_text("Views", exact=True).first.click()
    accessible(page)
    page.get_by_label("Save what the list shows now as").fill("All of them")
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="All of them 62")).to_be_visible()
    page.evaluate("window.scrollTo(0, 500)")
    bar = page.locator("#changelist .actions").bounding_box()
    heading = page.locator("#result_list thead th").nth(1).bounding_box()
    assert bar and heading
    assert bar["y"] == 0
    assert abs(heading["y"] - bar["height"]) <= 2
    inner, outer = page.evaluate(
        "[document.querySelector('#result_list').scrollWidth,"
        " document.querySelector('.results').clientWidth]"
    )
    assert inner <= outer
