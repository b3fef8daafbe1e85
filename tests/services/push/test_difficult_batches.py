"""Batches that vanish or change under a running change, and such with difficult ids and texts."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from batchops.models import Batch, Change
from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.services.changes import lifecycle
from batchops.services.push import driver
from batchops.syllable.patch import BatchPatch
from tests.services.push.world import assert_all_agree, confirmed, fill, fill_with

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_batch_that_vanished_is_marked_missing(sandbox: EmbeddedSandbox, operator: User) -> None:
    ids = fill(sandbox, 70)
    change = confirmed(operator)
    sandbox.vanish(ids[10])
    driver.drive()
    assert lifecycle.counts(change) == {"applied": 69, "skipped": 1}
    assert Batch.objects.get(pk=ids[10]).missing_since is not None
    assert_all_agree(sandbox, change)


def test_a_batch_that_vanishes_after_it_was_looked_at_is_marked_missing(
    sandbox: EmbeddedSandbox, operator: User
) -> None:
    ids = fill(sandbox, 70)
    change = confirmed(operator)
    Change.objects.update(preflight_at=timezone.now())
    sandbox.vanish(ids[10])
    driver.drive()
    assert lifecycle.counts(change) == {"applied": 69, "refused": 1}
    assert Batch.objects.get(pk=ids[10]).missing_since is not None
    assert_all_agree(sandbox, change)


def test_a_batch_that_was_changed_meanwhile_is_left_alone(
    sandbox: EmbeddedSandbox, operator: User
) -> None:
    ids = fill(sandbox, 70)
    change = confirmed(operator, BatchPatch(call_rate=20))
    sandbox.edit_batch(ids[5], call_rate=99)
    driver.drive()
    assert lifecycle.counts(change) == {"applied": 69, "conflict": 1}
    assert sandbox.batch(ids[5])["call_rate"] == 99
    assert_all_agree(sandbox, change)


def test_ids_with_special_characters_reach_their_batch(
    sandbox: EmbeddedSandbox, operator: User
) -> None:
    ids = fill_with(
        sandbox,
        ["a/b", "what?", "half#half", "100%", "%2F", "..", "a b", "Zürich-☎", "'; --", "<b>x</b>"],
    )
    change = confirmed(operator)
    driver.drive()
    assert lifecycle.counts(change) == {"applied": len(ids)}
    assert all(sandbox.batch(name)["paused"] for name in ids)
    assert_all_agree(sandbox, change)


def test_hostile_texts_of_the_vendor_go_through_unharmed(
    sandbox: EmbeddedSandbox, operator: User
) -> None:
    hostile = "<script>\x00\ud800 '; DROP TABLE x; --\u202e" + "x" * 20_000
    for index in range(60):
        sandbox.add_batch(
            batch_id=f"h{index}",
            campaign_id=1,
            status="ACTIVE",
            upload_filename=hostile,
            error_message=hostile,
        )
    fill(sandbox, 1)
    change = confirmed(operator)
    driver.drive()
    assert lifecycle.counts(change) == {"applied": 61}
    assert_all_agree(sandbox, change)
