"""A browser shows a hostile vendor's texts as text, within the page, without an error."""

from __future__ import annotations

import re
from urllib.parse import urljoin

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from playwright.sync_api import Page
from pytest_django.live_server_helper import LiveServer

from batchops.models import AuditEntry, Batch, Campaign, Change, ChangeState, SyncRun
from batchops.sandbox.embedded import EmbeddedSandbox
from tests.admin import hostile
from tests.browser.conftest import WIDTH, SignIn

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

WIDTHS = (1280, 390)
"""Of the window on a laptop and on a phone."""


def pages() -> list[str]:
    """The page of each kind that shows the most."""
    ran = Change.objects.exclude(state=ChangeState.DRAFT)
    names = ("batch", "campaign", "change", "auditentry", "syncrun")
    found = [reverse(f"admin:batchops_{name}_changelist") for name in names]
    found[0] += "?show=everything"
    found += [reverse("admin:batchops_change_change", args=[change.pk]) for change in ran]
    found += [
        reverse("admin:batchops_change_preview", args=[draft.pk])
        for draft in Change.objects.filter(state=ChangeState.DRAFT)
    ]
    found += [
        reverse("admin:batchops_campaign_change", args=[one.pk]) for one in Campaign.objects.all()
    ]
    found += [reverse(f"admin:batchops_auditentry_{name}") for name in ("desk", "report")]
    entries = AuditEntry.objects.exclude(batch_id="")[:3]
    found += [reverse("admin:batchops_auditentry_change", args=[entry.pk]) for entry in entries]
    found += [reverse("admin:batchops_change_upcoming"), reverse("admin:index")]
    run = SyncRun.objects.latest("pk")
    return [*found, reverse("admin:batchops_syncrun_change", args=[run.pk])]


def test_pages_stay_whole_on_a_laptop_and_a_phone(
    sandbox: EmbeddedSandbox,
    live_server: LiveServer,
    administrator: User,
    page: Page,
    sign_in: SignIn,
) -> None:
    hostile.hostile_world(sandbox)
    hostile.hostile_past(sandbox, administrator)
    sign_in(administrator)
    too_wide = []
    for address in pages():
        page.goto(urljoin(live_server.url, address))
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 800})
            if (taken := page.evaluate(WIDTH)) > width:
                too_wide.append((address, taken))
        assert page.locator("evil-tag").count() == 0
    assert too_wide == []


def test_every_odd_id_of_the_list_opens_its_batch(
    sandbox: EmbeddedSandbox,
    live_server: LiveServer,
    administrator: User,
    page: Page,
    sign_in: SignIn,
) -> None:
    hostile.hostile_world(sandbox)
    sign_in(administrator)
    page.goto(live_server.url + reverse("admin:batchops_batch_changelist") + "?show=everything")
    links = page.locator("#result_list tbody th a")
    addresses = links.evaluate_all("links => links.map(link => link.href)")
    assert len(set(addresses)) == Batch.objects.count()
    odd = [one for one in addresses if not re.search("/(expiry|live)-[0-9]+/", one)]
    assert len(odd) == len(hostile.HOSTILE_IDS)
    opened = set()
    for address in odd:
        page.goto(address)
        opened.add(page.locator("h1").first.text_content())
    assert len(opened) == len(odd)
