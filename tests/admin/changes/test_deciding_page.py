"""What an approver sees beside the buttons: all that the requester saw, and what moved since."""

from __future__ import annotations

import datetime as dt

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from batchops import audit
from batchops.models import Batch, Change
from batchops.services.changes import timed_pauses
from tests.services.changes.world import PAUSE, RESUME, batch, batches, confirm, draft

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("running_worker")]


@pytest.fixture
def reader(client: Client, approver: User, settings: Settings) -> Client:
    settings.APPROVAL_FOR = "all"
    client.force_login(approver)
    return client


def decision(reader: Client, change: Change) -> str:
    """The form of the decision; it comes before the status."""
    page = reader.get(reverse("admin:batchops_change_change", args=[change.pk])).content.decode()
    assert page.index("Your decision") < page.index('aria-label="Status"')
    return " ".join(page.split("Your decision")[1].split("</form>")[0].split())


def test_the_evidence_of_the_requester_stands_beside_approve(
    reader: Client, operator: User
) -> None:
    batches(3, paused=True)
    batch("other", 2, paused=True)
    batch("ended", status="EXPIRED")
    change = confirm(draft(operator, RESUME), operator)
    shown = decision(reader, change)
    assert (
        "<strong>4 batches</strong> of 5 selected will be changed, in 2 campaigns; 1 skipped"
        in shown
    )
    assert "Outreach starts again on 4 batches" in shown
    for words in ("By status", "By campaign", "Skipped, and why", "Campaign 2"):
        assert words in shown
    assert 'class="danger-button"' in shown
    assert "Approve: Resume 4 batches" in shown
    assert "Reject: leave 4 batches as now" in shown
    assert "Since you last looked" not in shown


def test_what_differs_from_the_last_visit_is_told(reader: Client, operator: User) -> None:
    batches(3)
    start = timezone.now() + dt.timedelta(hours=5)
    change = confirm(draft(operator, PAUSE), operator, starts_at=start)
    decision(reader, change)
    assert "nothing about it has changed" in decision(reader, change)
    Batch.objects.filter(pk="b-0").update(paused=True)
    end = start + dt.timedelta(hours=2)
    actor = audit.Actor.of_user(operator)
    timed_pauses.move_resume(change, end, user=operator, actor=actor, reason="only a while")
    shown = decision(reader, change)
    assert "Paused until: <del><bdi>none</bdi></del>" in shown
    assert "when it was drafted: <del><bdi>0</bdi></del>" in shown
    assert "1 batch is no longer as when this was drafted" in shown
    assert "nothing about it has changed" in decision(reader, change)
