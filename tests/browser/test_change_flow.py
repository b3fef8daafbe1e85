"""A change from its selection to its trail, as a person sees it."""

from __future__ import annotations

import datetime as dt
import re

import pytest
from django.contrib.auth.models import Group, User
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Page, expect
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from batchops.audit import Actor
from batchops.models import Batch, Change, ChangeState, SyncRun
from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.services.changes import lifecycle, timed_pauses
from batchops.services.mirror import sync
from tests.browser.conftest import WIDTH, Check, SignIn
from tests.services.changes.world import RESUME, batches, confirm, draft, ended

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

LONG = 20_000
"""Milliseconds that a change may take at the sandbox on a busy machine."""


@pytest.fixture
def world(sandbox: EmbeddedSandbox) -> EmbeddedSandbox:
    """Twelve live batches in two campaigns, and one that has failed."""
    for index in range(12):
        sandbox.add_batch(
            batch_id=f"20261124.{index}", campaign_id=1 + index % 2, status="ACTIVE", paused=False
        )
    sandbox.add_batch(batch_id="20261124.99", campaign_id=1, status="FAILED", paused=False)
    sync.run_sync(SyncRun.Kind.FULL)
    return sandbox


def open_page(page: Page, live_server: LiveServer, change: Change, name: str = "change") -> None:
    page.goto(live_server.url + reverse(f"admin:batchops_change_{name}", args=[change.pk]))


def expect_headline(page: Page, words: str) -> None:
    expect(page.locator("[data-headline]")).to_have_text(words, timeout=LONG)


def test_a_pause_is_reviewed_confirmed_and_watched_to_its_end(
    world: EmbeddedSandbox,
    operator: User,
    sign_in: SignIn,
    live_server: LiveServer,
    working: None,
    accessible: Check,
) -> None:
    page = sign_in(operator)
    open_page(page, live_server, draft(operator), "preview")
    expect(page.get_by_text("12 batches of 13 selected will be changed")).to_be_visible()
    expect(page.get_by_label("Why")).to_be_focused()
    accessible(page)
    page.get_by_label("Why").fill("wrong list")
    page.get_by_role("button", name="Confirm: Pause").click()
    expect_headline(page, "Finished: 12 of 12 as requested")
    expect(page).to_have_title(re.compile("^Finished"))
    expect(page.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "13")
    expect(page.get_by_text("12 confirmed by reading back")).to_be_visible(timeout=LONG)
    accessible(page)
    assert Batch.objects.filter(paused=True).count() == 12


def press_until(page: Page, key: str, reached: str) -> None:
    """Press a key until the element with the focus has these words."""
    for _ in range(60):
        page.keyboard.press(key)
        words = page.evaluate("document.activeElement.textContent.trim()")
        if words.startswith(reached):
            return
    pytest.fail(f"{reached!r} is not reached with {key}.")


def test_from_the_list_to_the_trail_with_the_keyboard_alone(
    world: EmbeddedSandbox,
    operator: User,
    sign_in: SignIn,
    live_server: LiveServer,
    working: None,
) -> None:
    operator.groups.add(Group.objects.get(name="Auditor"))
    page = sign_in(operator)
    page.goto(live_server.url + reverse("admin:batchops_batch_changelist") + "?q=20261124.3")
    page.locator("tbody input.action-select").first.focus()
    page.keyboard.press("Space")
    page.get_by_role("button", name="Pause", exact=True).focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Why")).to_be_focused()
    page.keyboard.type("wrong list")
    press_until(page, "Tab", "Confirm: Pause")
    page.keyboard.press("Enter")
    expect_headline(page, "Finished: 1 of 1 as requested")
    page.reload()
    trail = page.locator(".timeline")
    expect(trail).to_contain_text("wrong list")
    assert world.batch("20261124.3")["paused"] is True
    assert Change.objects.get().source == Change.Source.ACTION


def test_a_running_change_is_stopped_and_continued(
    world: EmbeddedSandbox,
    operator: User,
    sign_in: SignIn,
    live_server: LiveServer,
    working: None,
    settings: Settings,
    accessible: Check,
) -> None:
    settings.SYLLABLE_MAX_IN_FLIGHT = 1
    world.set_faults(latency=0.6)
    page = sign_in(operator)
    open_page(page, live_server, confirm(draft(operator), operator))
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    expect(page.locator("[data-headline]")).to_contain_text("Running", timeout=LONG)
    expect(page).to_have_title(re.compile(r"^\d+ % · Pause 12 batches"))
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("Stopped. Requests under way finish")).to_be_visible()
    expect(page.locator("[data-headline]")).to_contain_text("not sent", timeout=LONG)
    expect(page.get_by_role("button", name="Continue")).to_be_visible(timeout=LONG)
    accessible(page)
    world.clear_faults()
    page.get_by_role("button", name="Continue").click()
    expect_headline(page, "Finished: 12 of 12 as requested")


def test_a_change_is_undone_through_a_review_of_its_own(
    world: EmbeddedSandbox,
    operator: User,
    sign_in: SignIn,
    live_server: LiveServer,
    working: None,
) -> None:
    page = sign_in(operator)
    open_page(page, live_server, confirm(draft(operator), operator))
    expect_headline(page, "Finished: 12 of 12 as requested")
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("Outreach starts again on 12 batches")).to_be_visible()
    page.get_by_label("Why").fill("it was the right list")
    page.get_by_role("button", name=re.compile("^Confirm: Undo")).click()
    expect_headline(page, "Finished: 12 of 12 as requested")
    assert not Batch.objects.filter(paused=True).exists()


def test_everything_is_paused_in_three_clicks_and_exactly_those_are_resumed(
    world: EmbeddedSandbox,
    operator: User,
    sign_in: SignIn,
    working: None,
    accessible: Check,
) -> None:
    page = sign_in(operator)
    page.get_by_role("button", name="Emergency pause").click()
    expect(page.get_by_label("Why")).to_have_value("Emergency: outreach has to stop now")
    accessible(page)
    page.get_by_role("button", name="Wrong list").click()
    expect(page.get_by_label("Why")).to_have_value("Wrong list")
    page.get_by_role("button", name="Confirm: Pause").click()
    expect_headline(page, "Finished: 12 of 12 as requested")
    assert all(world.batch(f"20261124.{index}")["paused"] for index in range(12))
    page.get_by_role("button", name=re.compile("^Resume these")).click()
    page.get_by_label("Why").fill("list is right again")
    page.get_by_role("button", name="Confirm: Resume").click()
    expect_headline(page, "Finished: 12 of 12 as requested")
    assert not any(world.batch(f"20261124.{index}")["paused"] for index in range(12))


def test_another_person_approves_and_the_requesters_page_follows(
    world: EmbeddedSandbox,
    operator: User,
    approver: User,
    sign_in: SignIn,
    live_server: LiveServer,
    working: None,
    settings: Settings,
    accessible: Check,
) -> None:
    settings.APPROVAL_THRESHOLD = 5
    change = confirm(draft(operator), operator)
    page = sign_in(approver)
    open_page(page, live_server, change)
    expect_headline(page, "Waiting for another person's approval")
    accessible(page)
    page.get_by_role("button", name="Reject").click()
    expect(page.get_by_text("Give a reason for rejecting it.")).to_be_visible()
    page.get_by_label("Comment").fill("checked with the team")
    page.get_by_role("button", name="Approve").click()
    expect_headline(page, "Finished: 12 of 12 as requested")
    expect(page.get_by_text("checked with the team")).to_be_visible()


def test_what_moves_while_an_approver_reads_does_not_move_under_their_hand(
    world: EmbeddedSandbox,
    operator: User,
    approver: User,
    sign_in: SignIn,
    live_server: LiveServer,
    settings: Settings,
) -> None:
    settings.APPROVAL_THRESHOLD = 5
    change = confirm(draft(operator), operator)
    page = sign_in(approver)
    open_page(page, live_server, change)
    expect(page.get_by_text("somebody resumes them")).to_be_visible()
    end = timezone.now() + dt.timedelta(days=1)
    timed_pauses.move_resume(change, end, user=operator, actor=Actor.of_user(operator, ""))
    for _ in range(2):
        page.wait_for_event("response", lambda answer: answer.url.endswith("/state/"))
    expect(page.get_by_text("somebody resumes them")).to_be_visible()
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_text("This change is no longer what you were shown.")).to_be_visible()
    expect(page.get_by_text("Changed since it was confirmed")).to_be_visible()
    change.refresh_from_db()
    assert change.state == ChangeState.AWAITING_APPROVAL


def test_what_moved_while_a_control_was_in_use_is_shown_afterwards(
    world: EmbeddedSandbox,
    operator: User,
    sign_in: SignIn,
    live_server: LiveServer,
) -> None:
    change = confirm(draft(operator), operator)
    page = sign_in(operator)
    open_page(page, live_server, change)
    expect(page.get_by_text("with no end")).to_be_visible()
    page.locator("#id_reason").focus()
    end = timezone.now() + dt.timedelta(days=1)
    timed_pauses.move_resume(change, end, user=operator, actor=Actor.of_user(operator, ""))
    for _ in range(2):
        page.wait_for_event("response", lambda answer: answer.url.endswith("/state/"))
    expect(page.get_by_text("with no end")).to_be_visible()
    page.locator("#id_reason").blur()
    expect(page.get_by_text("with no end")).to_have_count(0)


def test_a_typed_number_a_wrong_one_first(
    world: EmbeddedSandbox,
    operator: User,
    sign_in: SignIn,
    live_server: LiveServer,
    settings: Settings,
    accessible: Check,
) -> None:
    settings.TYPED_CONFIRMATION_ABOVE = 5
    page = sign_in(operator)
    change = draft(operator)
    open_page(page, live_server, change, "preview")
    page.get_by_label("Why").fill("wrong list")
    page.get_by_label("Number of batches").fill("11")
    page.get_by_role("button", name="Confirm: Pause").click()
    error = page.get_by_text("Type the number of batches that will be changed (12)")
    expect(error).to_be_visible()
    accessible(page)
    page.get_by_label("Number of batches").fill("12")
    page.get_by_role("button", name="Confirm: Pause").click()
    expect_headline(page, "At 1 of 13. Nothing is being sent: no worker is running.")


def test_a_time_is_typed_in_the_readers_zone_and_shown_in_utc(
    world: EmbeddedSandbox,
    operator: User,
    sign_in: SignIn,
    live_server: LiveServer,
    accessible: Check,
) -> None:
    page = sign_in(operator)
    open_page(page, live_server, draft(operator), "preview")
    page.get_by_label("Why").fill("over the holidays")
    page.get_by_role("button", name="Tomorrow 08:00").click()
    expect(page.locator("#id_resume_at_utc")).to_contain_text(re.compile(r"0[67]:00 UTC"))
    page.get_by_role("button", name="Confirm: Pause").click()
    change = Change.objects.get()
    assert change.resume_at is not None
    assert change.resume_at.hour in (6, 7)
    page.go_back()
    expect(page.get_by_text("had already been confirmed; nothing was done twice")).to_be_visible()
    page.goto(live_server.url + reverse("admin:batchops_change_upcoming"))
    expect(page.get_by_role("button", name="Stay paused")).to_be_visible()
    accessible(page)
    page.get_by_role("button", name="Stay paused").click()
    expect(page.get_by_text("stay paused until somebody resumes them")).to_be_visible()


def test_the_pages_fit_a_laptop_and_a_phone_by_day_and_night(
    operator: User,
    sign_in: SignIn,
    live_server: LiveServer,
    fits_a_phone: Check,
) -> None:
    batches(12)
    done = ended(operator)
    done.items.filter(batch__in=["b-1", "b-2"]).update(
        state="refused", http_status=404, message="batch not found"
    )
    lifecycle.refresh_counts(done)
    resume = draft(operator, RESUME)
    page = sign_in(operator)
    for address in (
        reverse("admin:batchops_change_preview", args=[resume.pk]),
        reverse("admin:batchops_change_change", args=[done.pk]),
        reverse("admin:batchops_change_changelist"),
    ):
        page.goto(live_server.url + address)
        fits_a_phone(page)
        assert page.evaluate(WIDTH) <= 1280
