"""Whatever lists are like, what a sync claims to have seen is in the mirror."""

from __future__ import annotations

import datetime as dt
import random
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from batchops.models import AuditEntry, Batch, SyncRun
from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.services.mirror import list_pages, sync

pytestmark = pytest.mark.django_db(transaction=True)

BATCHES = 160
ROUNDS = 6
ODD_DATES = (None, "2099-12-31T00:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z")


@pytest.fixture(autouse=True)
def nothing_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(list_pages, "_largest", {})


def a_way_of_listing(draw: random.Random) -> dict[str, Any]:
    return {
        "undated_last": draw.choice([True, False]),
        "total_count": draw.choice(["listed", "hidden", "endless", "short"]),
        "max_limit": draw.choice([0, 7, 25, 60]),
        "large_limit": draw.choice(["refuse", "cut", "cut_silently"]),
        "deleted_hidden": draw.choice([True, False]),
    }


def happen(draw: random.Random, sandbox: EmbeddedSandbox) -> set[str]:
    """Let others do this and that; returns what was edited in a way that its date shows."""
    ids = sandbox.batch_ids()
    edited = set()
    for batch_id in draw.sample(ids, 12):
        values = {"paused": draw.choice([True, False]), "call_rate": draw.randint(1, 3_600)}
        if batch_id.startswith("odd"):
            # As a vendor would that never moves such a date.
            date = sandbox.batch(batch_id)["last_updated_at"]
            sandbox.edit_batch(batch_id, **values, last_updated_at=date)
        else:
            sandbox.edit_batch(batch_id, **values)
            edited.add(batch_id)
    for batch_id in draw.sample([name for name in ids if not name.startswith("odd")], 2):
        sandbox.delete_batch(batch_id)
        edited.discard(batch_id)
    for batch_id in draw.sample(ids, 2):
        sandbox.vanish(batch_id)
        edited.discard(batch_id)
    added = sandbox.add_batch(last_updated_at=timezone.now(), paused=True)
    return edited | {added["batch_id"]}


def values(batch: Batch) -> tuple[object, ...]:
    return batch.paused, batch.call_rate, batch.deleted_at is None


def true_values(sandbox: EmbeddedSandbox, batch_id: str) -> tuple[object, ...]:
    raw = sandbox.batch(batch_id)
    return raw["paused"], raw["call_rate"], raw["deleted_at"] is None


@pytest.mark.parametrize("seed", range(4))
def test_the_mirror_shows_what_a_sync_claims_to_have_seen(
    sandbox: EmbeddedSandbox, settings: Settings, seed: int
) -> None:
    draw = random.Random(seed)
    sandbox.set_faults(timestamp_format=draw.choice(["Z", "+00:00", "offset", "naive", "seconds"]))
    settings.SYLLABLE_PAGE_SIZE = draw.choice([25, 40, 500])
    for index in range(BATCHES):
        changed = timezone.now() - dt.timedelta(minutes=index + 10)
        odd = draw.random() < 0.15
        sandbox.add_batch(
            batch_id=f"odd{index}" if odd else f"b{index}",
            last_updated_at=draw.choice(ODD_DATES) if odd else changed,
            paused=False,
        )
    sync.run_sync(SyncRun.Kind.FULL)
    for _ in range(ROUNDS):
        edited = happen(draw, sandbox)
        sandbox.set_faults(**a_way_of_listing(draw))
        run = sync.run_sync(draw.choice(list(SyncRun.Kind)))
        there = set(sandbox.batch_ids())
        to_compare = there if run.kind == SyncRun.Kind.FULL else edited & there
        hidden = set(Batch.objects.filter(deleted_at__isnull=False).values_list("pk", flat=True))
        rows = Batch.objects.in_bulk(list(to_compare))
        wrong = {
            name
            for name in to_compare - hidden
            if name not in rows or values(rows[name]) != true_values(sandbox, name)
        }
        assert wrong == set(), (run.kind, run.notes)
        if run.kind == SyncRun.Kind.FULL:
            gone = Batch.objects.filter(missing_since=None, deleted_at=None).exclude(pk__in=there)
            assert not gone.exists()
    facts = AuditEntry.objects.filter(action="batch.changed_outside")
    assert {fact.actor_name for fact in facts} == {"dana.whitfield@harborline.example"}
