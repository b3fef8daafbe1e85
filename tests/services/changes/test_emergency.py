"""The emergency pause: all that is live, ahead of everything else."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from pytest_django import Settings

from batchops import audit
from batchops.models import Change, ChangeState, SyncRun
from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.services.changes import drafts, emergency
from batchops.services.errors import EmptySelection, NotAllowed
from batchops.services.mirror import sync
from batchops.services.push import driver
from batchops.services.runs import leases
from tests.services.changes.world import RESUME, batch, batches, campaign, confirm, draft

pytestmark = pytest.mark.django_db


def by(user: User) -> dict[str, Any]:
    return {"user": user, "actor": audit.Actor.of_user(user)}


def test_it_takes_all_that_is_live_and_not_paused(operator: User) -> None:
    batch("live")
    batch("unknown", paused=None)
    batch("elsewhere", campaign_id=2)
    batch("held", paused=True)
    batch("failed", status="FAILED")
    change = emergency.draft_pause(**by(operator))
    chosen = set(change.items.values_list("batch_id", flat=True))
    assert chosen == {"live", "unknown", "elsewhere"}
    assert change.source == Change.Source.EMERGENCY


def test_it_can_be_kept_to_one_campaign(operator: User) -> None:
    batch("here", campaign_id=1)
    batch("elsewhere", campaign_id=2)
    change = emergency.draft_pause(campaign=campaign(1), **by(operator))
    assert [item.batch_id for item in change.items.all()] == ["here"]
    assert change.selection == "Everything live and not paused in Campaign 1"


def test_nothing_live_is_said_so(operator: User) -> None:
    batch(paused=True)
    with pytest.raises(EmptySelection, match="There is nothing to pause: no batch is live"):
        emergency.draft_pause(**by(operator))


def test_who_may_not_pause_cannot_in_an_emergency_either(auditor: User) -> None:
    batch()
    with pytest.raises(NotAllowed):
        emergency.draft_pause(**by(auditor))


def test_it_waits_for_no_typed_number_and_no_approval(operator: User, settings: Settings) -> None:
    settings.TYPED_CONFIRMATION_ABOVE = settings.APPROVAL_THRESHOLD = 1
    batches(3)
    change = confirm(emergency.draft_pause(**by(operator)), operator)
    assert change.state == ChangeState.QUEUED


def test_it_overtakes_what_is_queued(operator: User) -> None:
    batches(2)
    first = confirm(draft(operator), operator)
    urgent = confirm(emergency.draft_pause(**by(operator)), operator)
    assert list(leases.runnable(timezone.now())) == [urgent, first]


@pytest.mark.django_db(transaction=True)
def test_exactly_those_are_resumed_afterwards(sandbox: EmbeddedSandbox, operator: User) -> None:
    for index in range(4):
        sandbox.add_batch(batch_id=f"live-{index}", campaign_id=1, status="ACTIVE", paused=False)
    sandbox.add_batch(batch_id="held", campaign_id=1, status="ACTIVE", paused=True)
    sync.run_sync(SyncRun.Kind.FULL)
    pause = confirm(emergency.draft_pause(**by(operator)), operator)
    driver.drive()
    pause.refresh_from_db()
    resume = drafts.draft_resume(pause, **by(operator))
    assert (resume.patch, resume.item_count) == (RESUME, 4)
    assert resume.priority == Change.Priority.NORMAL
    confirm(resume, operator)
    driver.drive()
    assert [sandbox.batch(f"live-{index}")["paused"] for index in range(4)] == [False] * 4
    assert sandbox.batch("held")["paused"] is True
