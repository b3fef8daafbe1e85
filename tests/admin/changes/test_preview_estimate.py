"""Before one batch is resumed, people read how many requests wait, and for how long."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from batchops.models import Campaign, Change, SyncRun
from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.services.mirror import sync
from batchops.services.preview import request_counts
from tests.services.changes.world import PAUSE, RESUME, draft

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def held(sandbox: EmbeddedSandbox) -> EmbeddedSandbox:
    cache.clear()
    sandbox.add_batch(
        batch_id="b", campaign_id=1, paused=True, call_rate=60, contacts=120, reached=0.0
    )
    sync.run_sync(SyncRun.Kind.FULL)
    Campaign.objects.update(daily_start_time="", daily_end_time="")
    sandbox.reset_journal()
    return sandbox


def shown(client: Client, user: User, change: Change) -> str:
    client.force_login(user)
    address = reverse("admin:batchops_change_preview", args=[change.pk])
    return " ".join(client.get(address).content.decode().split())


def test_a_resume_tells_how_many_wait_and_an_estimate(
    client: Client, operator: User, held: EmbeddedSandbox
) -> None:
    text = shown(client, operator, draft(operator, RESUME))
    waiting = request_counts.read("b").waiting
    assert waiting > 100
    assert f"{waiting} requests wait at the vendor." in text
    assert "At 60 an hour about 2 hours of calling; it never expires. Not foreseen when it" in text
    assert f"An estimate. It rests on {waiting} requests waiting" in text


def test_a_vendor_that_is_down_keeps_nobody_from_the_review(
    client: Client, operator: User, held: EmbeddedSandbox
) -> None:
    held.set_faults(error_503=1.0)
    text = shown(client, operator, draft(operator, RESUME))
    assert "1 batch</strong> of 1 selected will be changed" in text
    assert "at the vendor." not in text


def test_a_pause_asks_the_vendor_nothing(
    client: Client, operator: User, held: EmbeddedSandbox
) -> None:
    shown(client, operator, draft(operator, PAUSE))
    assert held.journal() == []
