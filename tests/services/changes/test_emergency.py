"""The emergency pause: all that is live, ahead of everything else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from batchops import audit
from batchops.models import Batch, Change, ChangeState, Hold, SyncRun
from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.services.changes import drafts, emergency, lifecycle, timed_pauses
from batchops.services.errors import EmptySelection, NotAllowed
from batchops.services.mirror import sync
from batchops.services.push import driver
from batchops.services.runs import leases
from tests.services.changes.world import RESUME, batch, batches, campaign, confirm, draft
from tests.services.push.world import PAUSE, confirmed, drive_to_the_end, fill

pytestmark = pytest.mark.django_db


def by(user: User) -> dict[str, Any]:
    return {"user": user, "actor": audit.Actor.of_user(user)}


def test_it_takes_all_that_is_live_and_first_what_is_not_paused(operator: User) -> None:
    batch("a-held", paused=True)
    batch("live")
    batch("unknown", paused=None)
    batch("elsewhere", campaign_id=2)
    batch("failed", status="FAILED")
    change = emergency.draft_pause(**by(operator))
    chosen = list(change.items.order_by("pk").values_list("batch_id", "plan"))
    assert chosen == [
        ("elsewhere", "act"),
        ("live", "act"),
        ("unknown", "act"),
        ("a-held", "already"),
    ]
    assert change.source == Change.Source.EMERGENCY


def test_it_can_be_kept_to_one_campaign(operator: User) -> None:
    batch("here", campaign_id=1)
    batch("elsewhere", campaign_id=2)
    change = emergency.draft_pause(campaign=campaign(1), **by(operator))
    assert [item.batch_id for item in change.items.all()] == ["here"]
    assert change.selection == "Everything live in Campaign 1"


def test_nothing_live_is_said_so(operator: User) -> None:
    batch(status="FAILED")
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
    assert pause.counts_json == {"applied": 4, "unchanged": 1}
    resume = drafts.draft_resume(pause, **by(operator))
    assert (resume.patch, resume.item_count, resume.acting_count) == (RESUME, 5, 4)
    assert resume.priority == Change.Priority.NORMAL
    confirm(resume, operator)
    driver.drive()
    assert [sandbox.batch(f"live-{index}")["paused"] for index in range(4)] == [False] * 4
    assert sandbox.batch("held")["paused"] is True
    assert not Hold.objects.standing().filter(change=pause).exists()


@pytest.mark.django_db(transaction=True)
def test_what_a_timed_pause_holds_stays_paused_when_that_one_ends(
    sandbox: EmbeddedSandbox, client: Client, operator: User, make_person: Callable[..., User]
) -> None:
    ben = make_person("ben", "Operator")
    held, live = fill(sandbox, 2)
    timed = confirmed(operator, PAUSE, Batch.objects.filter(pk=held))
    drive_to_the_end(timed, operator)
    Change.objects.filter(pk=timed.pk).update(
        resume_at=timezone.now(), resume_set_by=operator, resume_set_by_name="olivia"
    )
    draft = emergency.draft_pause(**by(ben))
    client.force_login(ben)
    page = client.get(reverse("admin:batchops_change_preview", args=[draft.pk])).content.decode()
    assert "<strong>1 batch</strong> of 2 selected will be changed" in page
    assert "1 already paused: they stay paused too." in page
    urgent = confirm(draft, ben)
    # Its end comes while the emergency has only been confirmed.
    [ending] = timed_pauses.resume_due()
    sandbox.reset_journal()
    driver.drive(only_emergency=True)
    assert [entry["batch_id"] for entry in sandbox.journal(method="PUT")] == [live]
    drive_to_the_end(ending, operator)
    assert lifecycle.counts(urgent) == {"applied": 1, "unchanged": 1}
    assert lifecycle.counts(ending) == {"conflict": 1}
    assert sandbox.batch(held)["paused"] is True

    urgent.refresh_from_db()
    resume = confirm(drafts.draft_resume(urgent, **by(ben)), ben)
    drive_to_the_end(resume, ben)
    assert set(Hold.objects.standing().values_list("batch", "change")) == {(held, timed.pk)}
    assert (sandbox.batch(held)["paused"], sandbox.batch(live)["paused"]) == (True, False)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("why", ["the mirror is old", "in doubt", "resumed since"])
def test_what_is_not_provably_paused_is_sent(
    sandbox: EmbeddedSandbox, operator: User, why: str
) -> None:
    fill(sandbox, 1, paused=True)
    urgent = confirm(emergency.draft_pause(**by(operator)), operator)
    if why == "the mirror is old":
        SyncRun.objects.all().delete()
    elif why == "in doubt":
        Batch.objects.update(written_at=timezone.now())
    else:
        Batch.objects.update(paused=False)
    driver.drive()
    assert len(sandbox.journal(method="PUT")) == 1
    assert lifecycle.counts(urgent) == {"applied": 1}
    assert Hold.objects.standing().filter(change=urgent).exists()
