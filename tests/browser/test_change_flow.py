"""A change from its review to its trail, as a person sees it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from batchops.models import Batch, Change, SyncRun
from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.services import sync
from batchops.syllable.patch import BatchPatch
from tests.browser.conftest import SignIn
from tests.changes.world import PAUSE, confirm, draft

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

Check = Callable[[Page], None]


@pytest.fixture
def world(sandbox: EmbeddedSandbox) -> EmbeddedSandbox:
    """Twelve live batches in two campaigns, and one that has failed."""
    for index in range(12):
        sandbox.add_batch(
            batch_id=f"20261124.{index}", campaign_id=1 + index % 2, status="ACTIVE", paused=False
        )
    sandbox.add_batch(batch_id="20261124.99", campaign_id=1, status="FAILED", paused=False)
    sync.pull(SyncRun.Kind.FULL)
    return sandbox


def open_page(page: Page, live_server: LiveServer, change: Change, name: str = "change") -> None:
    page.goto(live_server.url + reverse(f"admin:batchops_change_{name}", args=[change.pk]))


def test_a_pause_is_reviewed_confirmed_and_watched_to_its_end(
    world: EmbeddedSandbox,
    operator: User,
    sign_in: SignIn,
    live_server: LiveServer,
    working: None,
    accessible: Check,
) -> None:
    page = sign_in(operator)
    open_page(page, live_server, draft(operator), "review")
    expect(page.get_by_text("12 batches of 13 selected will be changed")).to_be_visible()
    expect(page.get_by_label("Why")).to_be_focused()
    accessible(page)
    page.get_by_label("Why").fill("wrong list")
    page.get_by_role("button", name="Confirm: Pause").click()
    expect(page.locator("[data-headline]")).to_have_text("Finished: 12 of 12 as asked")
    expect(page).to_have_title(re.compile("^Finished"))
    expect(page.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "13")
    expect(page.get_by_text("12 confirmed by reading back")).to_be_visible(timeout=20_000)
    accessible(page)
    assert Batch.objects.filter(paused=True).count() == 12
