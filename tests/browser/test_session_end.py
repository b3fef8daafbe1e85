"""A session that is about to end warns, and what was typed survives its end."""

from __future__ import annotations

import datetime as dt

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from playwright.sync_api import BrowserContext, expect
from pytest_django.live_server_helper import LiveServer

from batchops.accounts.models import Session
from tests.browser.conftest import Check, SignIn

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

TYPED = "20260324.1\n20260324.2"


def left(seconds: float) -> None:
    """The session was last used so long ago that only this is left."""
    now = timezone.now()
    Session.objects.update(expire_date=now + dt.timedelta(seconds=seconds), seen_at=now)


def test_what_is_typed_survives_the_end_of_the_session(
    sign_in: SignIn,
    context: BrowserContext,
    operator: User,
    live_server: LiveServer,
    running_worker: None,
    accessible: Check,
) -> None:
    page = sign_in(operator)
    left(100)
    page.goto(f"{live_server.url}/batchops/batch/paste/")
    page.locator("#id_batch_ids").fill(TYPED)
    end = page.locator("#session-end")
    expect(end).to_contain_text("signed out in about 2 minutes")
    accessible(page)
    Session.objects.update(seen_at=timezone.now() - dt.timedelta(minutes=2))
    end.get_by_role("button").click()
    expect(end).to_be_hidden()
    assert Session.objects.get().expire_date > timezone.now() + dt.timedelta(minutes=20)

    left(3)
    page.reload()
    page.locator("#id_batch_ids").fill(TYPED)
    expect(end).to_contain_text("What you typed is still here", timeout=20_000)
    with context.expect_page() as opened:
        end.get_by_role("link", name="Sign in").click()
    again = opened.value
    again.get_by_label("Username").fill("olivia")
    again.get_by_label("Password").fill("password")
    again.get_by_role("button", name="Log in").click()
    expect(again.get_by_role("heading", level=1)).to_contain_text("Overview")
    page.bring_to_front()
    expect(end).to_be_hidden(timeout=15_000)
    page.get_by_role("button", name="Find these batches").first.click()
    expect(page.locator("body")).to_contain_text("20260324.1")
    expect(page.get_by_role("heading", level=1)).not_to_contain_text("out of date")
