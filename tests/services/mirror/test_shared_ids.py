"""One id in two campaigns: an alarm, no false fact, and nothing is sent to it."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from batchops import audit
from batchops.models import Action, AuditEntry, Batch, Change, ChangeItem, ItemState, SyncRun
from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.services.changes import eligibility, emergency, lifecycle
from batchops.services.mirror import list_pages, refresh, sync
from batchops.services.preview import summary
from batchops.services.push import driver
from tests.services.mirror.lists import fill
from tests.services.push.world import confirmed

pytestmark = pytest.mark.django_db(transaction=True)

FULL, INCREMENTAL = SyncRun.Kind.FULL, SyncRun.Kind.INCREMENTAL
SAME = "20260324.9"


@pytest.fixture(autouse=True)
def nothing_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(list_pages, "_largest", {})
    monkeypatch.setattr("batchops.syllable.client._delay", lambda *_: 0.01)


@pytest.fixture(autouse=True)
def first(sandbox: EmbeddedSandbox) -> None:
    """A batch in campaign 1, known to the mirror."""
    fill(sandbox, 2)
    sandbox.add_batch(batch_id=SAME, campaign_id=1, paused=False)
    sync.run_sync(FULL)


def add_second(sandbox: EmbeddedSandbox, **fields: object) -> None:
    sandbox.add_campaign(id=2, campaign_name="Recalls")
    values = {"paused": True, "last_updated_at": timezone.now(), **fields}
    sandbox.add_batch(batch_id=SAME, campaign_id=2, **values)


def actions() -> list[str]:
    kinds = (Action.BATCH_ID_SHARED, Action.BATCH_ID_UNIQUE, Action.BATCH_CHANGED_OUTSIDE)
    found = AuditEntry.objects.filter(batch_id=SAME, action__in=kinds).order_by("sequence")
    return list(found.values_list("action", flat=True))


@pytest.mark.parametrize("kinds", [(FULL,), (INCREMENTAL,), (INCREMENTAL, FULL, INCREMENTAL)])
def test_it_raises_one_alarm_and_leaves_the_known_batch_as_it_was(
    sandbox: EmbeddedSandbox, settings: Settings, kinds: tuple[SyncRun.Kind, ...]
) -> None:
    settings.SYLLABLE_PAGE_SIZE = 25
    fill(sandbox, 60)
    sync.run_sync(FULL)
    add_second(sandbox)
    for kind in kinds:
        sync.run_sync(kind)
    batch = Batch.objects.get(pk=SAME)
    assert batch.shares_its_id
    assert (batch.campaign_id, batch.paused, batch.shared_with) == (1, False, [2])
    assert actions() == [Action.BATCH_ID_SHARED]


def test_two_that_are_new_at_once_are_one_row_with_an_alarm(sandbox: EmbeddedSandbox) -> None:
    sandbox.add_campaign(id=2)
    sandbox.add_batch(batch_id="new", campaign_id=1)
    sandbox.add_batch(batch_id="new", campaign_id=2)
    run = sync.run_sync(FULL)
    assert run.created == 1
    assert Batch.objects.get(pk="new").shares_its_id
    assert run.fully_synced_at == run.started_at


def test_a_single_read_ends_no_alarm(sandbox: EmbeddedSandbox) -> None:
    add_second(sandbox)
    sync.run_sync(FULL)
    refresh.refresh([SAME])
    assert Batch.objects.get(pk=SAME).shares_its_id


def test_a_single_read_of_the_other_raises_the_alarm(sandbox: EmbeddedSandbox) -> None:
    add_second(sandbox)
    sandbox.vanish(SAME)
    refresh.refresh([SAME])
    batch = Batch.objects.get(pk=SAME)
    assert (batch.shares_its_id, batch.campaign_id, batch.paused) == (True, 1, False)


def test_a_full_sync_that_sees_one_alone_ends_it(sandbox: EmbeddedSandbox) -> None:
    add_second(sandbox, paused=True)
    sync.run_sync(FULL)
    # The first is gone, so the second is what the id means from now on.
    sandbox.vanish(SAME)
    sync.run_sync(INCREMENTAL)
    assert Batch.objects.get(pk=SAME).shares_its_id
    sync.run_sync(FULL)
    batch = Batch.objects.get(pk=SAME)
    assert (batch.shares_its_id, batch.shared_with) == (False, [])
    assert (batch.campaign_id, batch.paused) == (2, True)
    assert actions()[0] == Action.BATCH_ID_SHARED
    assert actions()[-1] == Action.BATCH_ID_UNIQUE
    sync.run_sync(FULL)
    assert actions().count(Action.BATCH_ID_UNIQUE) == 1


def test_a_list_from_before_the_second_was_made_ends_nothing(
    sandbox: EmbeddedSandbox, settings: Settings
) -> None:
    settings.SYLLABLE_READ_LAG = 120
    sandbox.set_faults(list_lag_seconds=600)
    add_second(sandbox)
    sandbox.vanish(SAME)
    refresh.refresh([SAME])
    sync.run_sync(FULL)
    assert Batch.objects.get(pk=SAME).shares_its_id


def test_a_list_that_lacks_one_of_the_two_by_mistake_ends_nothing(
    sandbox: EmbeddedSandbox,
) -> None:
    add_second(sandbox)
    fill(sandbox, 100)
    sync.run_sync(FULL)
    sandbox.set_faults(partial_list={"share": 1, "endpoints": ["batches"]})
    with pytest.raises(sync.ListIncomplete):
        sync.run_sync(FULL)
    assert Batch.objects.get(pk=SAME).shares_its_id


@pytest.mark.parametrize("source", [Change.Source.ACTION, Change.Source.EMERGENCY])
def test_a_draft_leaves_it_out_and_says_why(
    sandbox: EmbeddedSandbox, operator: User, source: Change.Source
) -> None:
    add_second(sandbox)
    sync.run_sync(FULL)
    if source == Change.Source.EMERGENCY:
        actor = audit.Actor.of_user(operator)
        change = emergency.draft_pause(user=operator, actor=actor)
        lifecycle.confirm(
            change, user=operator, actor=actor, reason="a test", typed_count=change.item_count
        )
    else:
        change = confirmed(operator)
    item = change.items.get(batch=SAME)
    assert (item.plan, item.state) == (ChangeItem.Plan.SKIP, ItemState.SKIPPED)
    assert item.message == eligibility.SHARED_ID
    risks = [risk for risk in summary.risks(change) if "several campaigns" in risk.message]
    assert [risk.grave for risk in risks] == [True]
    driver.drive()
    assert SAME not in {entry["batch_id"] for entry in sandbox.journal(method="PUT")}
    assert lifecycle.counts(change) == {"applied": 2, "skipped": 1}


@pytest.mark.parametrize("priority", [Change.Priority.NORMAL, Change.Priority.EMERGENCY])
def test_an_alarm_after_the_confirmation_keeps_it_from_being_sent(
    sandbox: EmbeddedSandbox, operator: User, priority: int
) -> None:
    change = confirmed(operator, priority=priority)
    add_second(sandbox)
    sync.run_sync(INCREMENTAL)
    driver.drive()
    item = change.items.get(batch=SAME)
    assert (item.state, item.message) == (ItemState.SKIPPED, eligibility.SHARED_ID)
    assert SAME not in {entry["batch_id"] for entry in sandbox.journal(method="PUT")}


def test_a_read_before_sending_that_shows_the_other_keeps_it_from_being_sent(
    sandbox: EmbeddedSandbox, operator: User
) -> None:
    change = confirmed(operator)
    add_second(sandbox, paused=False)
    sandbox.vanish(SAME)
    driver.drive()
    assert change.items.get(batch=SAME).state == ItemState.SKIPPED
    assert SAME not in {entry["batch_id"] for entry in sandbox.journal(method="PUT")}
    assert Batch.objects.get(pk=SAME).campaign_id == 1
    assert Action.BATCH_CHANGED_OUTSIDE not in actions()


def test_the_comparison_by_list_pages_before_a_large_change_finds_it_too(
    sandbox: EmbeddedSandbox, operator: User
) -> None:
    fill(sandbox, 70)
    sync.run_sync(FULL)
    change = confirmed(operator)
    add_second(sandbox)
    driver.drive()
    assert lifecycle.counts(change) == {"applied": 70, "skipped": 1}
    assert SAME not in {entry["batch_id"] for entry in sandbox.journal(method="PUT")}
    assert actions() == [Action.BATCH_ID_SHARED]


def test_people_see_it(sandbox: EmbeddedSandbox, client: Client, operator: User) -> None:
    add_second(sandbox)
    sync.run_sync(FULL)
    client.force_login(operator)
    listed = client.get(reverse("admin:batchops_batch_changelist"), {"show": "shared_id"})
    assert [batch.pk for batch in listed.context["cl"].result_list] == [SAME]
    assert "Id in several campaigns" in listed.content.decode()
    page = client.get(reverse("admin:batchops_batch_change", args=[quote(SAME)]))
    text = page.content.decode()
    assert "The vendor has this id in another campaign too" in text
    assert "<bdi>Recalls</bdi>" in text
    assert page.context["form"] is None
    tiles = {tile.words: tile.number for tile in client.get("/").context["tiles"]}
    assert tiles["Id in several campaigns"] == 1
