"""Times that the clocks show twice, or skip: said beside the field while a person types."""

from __future__ import annotations

import datetime as dt

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from batchops.models import Change
from tests.browser.conftest import SignIn
from tests.services.changes import world

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def type_time(page: Page, wall: str) -> None:
    page.get_by_label("Date and time", exact=True).fill(wall)


def test_a_person_chooses_which_of_the_two_and_sees_the_instant_before_they_confirm(
    operator: User, sign_in: SignIn, live_server: LiveServer
) -> None:
    world.batch("b-0")
    page = sign_in(operator)
    page.goto(live_server.url + reverse("admin:batchops_batch_change", args=["b-0"]))
    page.get_by_text("Change this batch", exact=True).click()
    which = page.get_by_label("Which of the two times")
    echo = page.locator("#id_expires_on_utc")
    expect(echo).to_have_text("in Europe/Berlin")
    expect(which).to_be_hidden()
    type_time(page, "2027-03-28 02:30")
    expect(echo).to_contain_text("this time does not exist")
    type_time(page, "2027-10-31 03:30")
    expect(echo).to_have_text("Europe/Berlin; 2027-10-31 02:30 UTC")
    expect(which).to_be_hidden()
    type_time(page, "2027-10-31 02:30")
    expect(echo).to_contain_text("comes twice: choose which is meant")
    expect(which).to_be_visible()
    page.get_by_role("button", name="Review").click()
    expect(page.get_by_text("02:30 comes twice on 31 Oct 2027")).to_be_visible()
    which.select_option(label="02:30 CET (01:30 UTC)")
    expect(echo).to_have_text("Europe/Berlin; 2027-10-31 01:30 UTC")
    page.get_by_role("button", name="Review").click()
    expect(page.get_by_text("31 Oct 2027 02:30 CET (01:30 UTC), in Europe/Berlin")).to_be_visible()
    expected = dt.datetime(2027, 10, 31, 1, 30, tzinfo=dt.UTC)
    assert Change.objects.get().patch.expires_on == expected
