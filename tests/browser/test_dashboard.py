"""The overview in a browser."""

from __future__ import annotations

import datetime as dt

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from playwright.sync_api import expect

from batchops.models import AuditEntry, Change
from tests.browser.conftest import Check, SignIn
from tests.services.changes import world

pytestmark = pytest.mark.browser


@pytest.fixture
def busy(transactional_db: None, operator: User) -> None:
    for number in range(40):
        status = ("ACTIVE", "PENDING", "PAUSED", "FAILED", "EXPIRED", "ODD")[number % 6]
        world.batch(f"b-{number}", number % 4 + 1, status=status, paused=status == "PAUSED")
    world.confirm(world.draft(operator), operator)
    later = timezone.now() + dt.timedelta(days=1)
    world.confirm(world.draft(operator), operator, starts_at=later, reason="season ends")
    Change.objects.filter(state="queued").update(state="running", halted_reason="Key rejected.")


@pytest.mark.usefixtures("busy")
def test_it_shows_what_is_on_and_under_way(
    sign_in: SignIn, administrator: User, fits_a_phone: Check
) -> None:
    page = sign_in(administrator)
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    expect(page.get_by_text("needs a person")).to_be_visible()
    expect(page.get_by_text("season ends", exact=True)).to_be_visible()
    expect(page.get_by_role("img", name="active").first).to_be_visible()
    fits_a_phone(page)
    page.get_by_role("link", name="Failed").click()
    expect(page.get_by_text("7 batches", exact=True).first).to_be_visible()


@pytest.mark.usefixtures("busy")
def test_a_sync_is_asked_for_with_one_click(
    sign_in: SignIn, operator: User, accessible: Check
) -> None:
    page = sign_in(operator)
    page.get_by_role("button", name="Sync now").click()
    expect(page.get_by_text("sync requested")).to_be_visible()
    accessible(page)
    assert AuditEntry.objects.filter(action="sync.requested", actor_name="olivia").exists()


@pytest.mark.usefixtures("busy")
def test_the_emergency_pause_is_one_click_away(sign_in: SignIn, operator: User) -> None:
    page = sign_in(operator)
    page.get_by_role("button", name="Emergency pause").click()
    expect(page.get_by_role("heading", name="Emergency pause").first).to_be_visible()
    assert Change.objects.get(state="draft").source == Change.Source.EMERGENCY
