"""From a confirmed draft to settled items, a fresh mirror and a trail: the way most changes go."""

from __future__ import annotations

import datetime as dt

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from batchops import audit
from batchops.models import AuditEntry, Batch, Change, ChangeItem, ChangeState, SyncRun
from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.services.changes import drafts, lifecycle
from batchops.services.mirror import sync
from batchops.services.push import driver
from batchops.services.runs import read_back
from batchops.syllable.patch import BatchPatch

pytestmark = pytest.mark.django_db(transaction=True)


def fill(sandbox: EmbeddedSandbox, number: int) -> None:
    for index in range(number):
        sandbox.add_batch(
            batch_id=f"20261124.{index}", campaign_id=1, status="ACTIVE", paused=False
        )
    sync.run_sync(SyncRun.Kind.FULL)


def confirmed(
    user: User, actor: audit.Actor, patch: BatchPatch, reason: str = "wrong list"
) -> Change:
    change = drafts.draft(
        Batch.objects.all(), patch, user=user, actor=actor, source=Change.Source.ACTION
    )
    return lifecycle.confirm(
        change, user=user, actor=actor, reason=reason, typed_count=change.item_count
    )


@pytest.mark.parametrize("number", [3, 120])
def test_a_pause_reaches_the_vendor_the_mirror_and_the_trail(
    sandbox: EmbeddedSandbox, operator: User, olivia: audit.Actor, number: int
) -> None:
    fill(sandbox, number)
    change = confirmed(operator, olivia, BatchPatch(paused=True))
    driver.drive()
    change.refresh_from_db()
    assert change.state == ChangeState.FINISHED
    assert lifecycle.counts(change) == {"applied": number}
    assert all(sandbox.batch(f"20261124.{index}")["paused"] for index in range(number))
    assert Batch.objects.filter(paused=True, paused_by=change).count() == number
    entries = AuditEntry.objects.filter(action="batch.applied", change_id=change.pk)
    assert entries.count() == number
    assert {entry.who for entry in entries} == {"batchops, for olivia"}
    read_back.read_back(change)
    confirmation = ChangeItem.Confirmation.CONFIRMED
    assert change.items.filter(confirmation=confirmation).count() == number


def test_an_expiry_is_set_and_a_second_run_finds_it_already_so(
    sandbox: EmbeddedSandbox, operator: User, olivia: audit.Actor
) -> None:
    fill(sandbox, 4)
    expiry = timezone.now() + dt.timedelta(days=3)
    first = confirmed(operator, olivia, BatchPatch(expires_on=expiry))
    driver.drive()
    assert lifecycle.counts(first) == {"applied": 4}
    sandbox.reset_journal()
    second = confirmed(operator, olivia, BatchPatch(expires_on=expiry))
    driver.drive()
    assert lifecycle.counts(second) == {"unchanged": 4}
