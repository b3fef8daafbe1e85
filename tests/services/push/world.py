"""A world of batches, changes over them, and the one question: do all records agree?"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable

from django.contrib.auth.models import User
from django.db.models import QuerySet

from batchops import audit
from batchops.models import AuditEntry, Batch, Change, ChangeItem, SyncRun
from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.services.attempts.attempt import UNREACHABLE
from batchops.services.changes import drafts, lifecycle
from batchops.services.mirror import sync
from batchops.services.push import driver
from batchops.syllable.patch import BatchPatch

PAUSE = BatchPatch(paused=True)
RESUME = BatchPatch(paused=False)


def fill(sandbox: EmbeddedSandbox, number: int, *, paused: bool = False) -> list[str]:
    """So many batches at the vendor and in the mirror; returns their ids."""
    return fill_with(sandbox, [f"20261124.{index}" for index in range(number)], paused=paused)


def fill_with(
    sandbox: EmbeddedSandbox, batch_ids: Iterable[str], *, paused: bool = False
) -> list[str]:
    batch_ids = list(batch_ids)
    for batch_id in batch_ids:
        sandbox.add_batch(batch_id=batch_id, campaign_id=1, status="ACTIVE", paused=paused)
    sync.run_sync(SyncRun.Kind.FULL)
    sandbox.reset_journal()
    return batch_ids


def confirmed(
    user: User,
    patch: BatchPatch = PAUSE,
    batches: QuerySet[Batch] | None = None,
    *,
    priority: int = Change.Priority.NORMAL,
) -> Change:
    """A change over all batches, or some, that is ready to run."""
    actor = audit.Actor.of_user(user)
    change = drafts.draft(
        Batch.objects.all() if batches is None else batches,
        patch,
        user=user,
        actor=actor,
        source=Change.Source.ACTION,
        priority=priority,
    )
    return lifecycle.confirm(
        change, user=user, actor=actor, reason="a test", typed_count=change.item_count
    )


def drive_to_the_end(change: Change, user: User, *, seconds: float = 120) -> None:
    """Drive as a worker would until a change has ended; a person goes on with it after a halt."""
    deadline = time.monotonic() + seconds
    while True:
        driver.drive()
        change.refresh_from_db()
        if not change.is_open:
            return
        assert time.monotonic() < deadline, f"It does not end: {describe(change)}"
        if change.is_halted:
            lifecycle.proceed(change, user=user, actor=audit.Actor.of_user(user))
        time.sleep(0.02)


def describe(change: Change) -> str:
    return (
        f"{change.state}, {lifecycle.counts(change)}, waits: {change.waiting_reason!r}, "
        f"halted: {change.halted_reason!r}"
    )


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "It did not come to pass in time."
        time.sleep(0.005)


def assert_all_agree(sandbox: EmbeddedSandbox, *some: Change) -> None:
    """Counts add up, each item has one outcome in the trail, and each PUT is a try of it."""
    for change in some:
        assert sum(lifecycle.counts(change).values()) == change.item_count
        assert not change.items.filter(state__in=["pending", "sending"]).exists()
    assert_every_item_has_one_entry(some)
    received = Counter(entry["batch_id"] for entry in sandbox.journal(method="PUT"))
    assert tries_in_the_trail(some) == received


def assert_every_item_has_one_entry(some: Iterable[Change]) -> None:
    for change in some:
        items = change.items.exclude(plan=ChangeItem.Plan.SKIP).values_list("batch_id", "state")
        entries = AuditEntry.objects.filter(change_id=change.pk, action__startswith="batch.")
        outcomes = entries.exclude(
            action__in=["batch.postponed", "batch.unrequested_change", "batch.not_confirmed"]
        )
        assert sorted(outcomes.values_list("batch_id", "outcome")) == sorted(items)


def tries_in_the_trail(some: Iterable[Change]) -> Counter[str]:
    """How many PUTs the trail knows of, by batch."""
    tries: Counter[str] = Counter()
    entries = AuditEntry.objects.filter(change_id__in=[change.pk for change in some])
    for entry in entries.exclude(batch_id=""):
        sent = [word for word in entry.detail.get("tries", ()) if word != UNREACHABLE]
        tries[entry.batch_id] += len(sent)
    return +tries
