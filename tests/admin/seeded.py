"""A seeded world of the sandbox in the mirror, with a past: a change of each kind, a sample."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from django.contrib.auth.models import User
from django.test import Client, override_settings
from django.urls import reverse
from django.utils import timezone

from batchops import audit
from batchops.models import Batch, Change, ChangeState, SyncRun
from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.sandbox.generator import make_world
from batchops.services.changes import drafts, pasted_ids
from batchops.services.mirror import sync
from batchops.services.trail import sign_offs
from batchops.services.trail.trail_filter import TrailFilter
from tests.services.changes import world

ROLES: Final = ("Viewer", "Operator", "Approver", "Auditor", "Administrator")


@contextmanager
def seeded_sandbox(batches: int) -> Iterator[EmbeddedSandbox]:
    """The sandbox with so many batches, all of them in the mirror."""
    with (
        EmbeddedSandbox(make_world(batches, campaigns=5, seed=3)) as running,
        override_settings(SYLLABLE_BASE_URL=running.url, SYLLABLE_API_KEY=running.key),
    ):
        sync.run_sync(SyncRun.Kind.FULL)
        yield running


def grow(sandbox: EmbeddedSandbox, campaigns: int, batches: int) -> None:
    """Add so many of each, live and not paused."""
    for number in range(campaigns):
        sandbox.add_campaign(id=9_000 + number, campaign_name=f"Later campaign {number}")
    for number in range(batches):
        sandbox.add_batch(batch_id=f"later-{number}", campaign_id=9_000 + number % campaigns)
    sync.run_sync(SyncRun.Kind.FULL)


def people(make_person: Callable[..., User]) -> dict[str, User]:
    """Somebody of each role, who has a change of their own where they may ask for one."""
    found = {role: make_person(role.lower(), role) for role in ROLES[:-1]}
    return found | {"Administrator": make_person("administrator", is_superuser=True)}


def past(sandbox: EmbeddedSandbox, staff: dict[str, User], size: int) -> None:
    """Changes of every kind, each over so many batches, and what else the pages show."""
    operator = staff["Operator"]
    actor = audit.Actor.of_user(operator, "192.0.2.7")
    live = list(Batch.objects.live_and_not_paused().order_by("pk")[: 6 * size])
    assert len(live) == 6 * size
    parts = [Batch.objects.filter(pk__in=[row.pk for row in live[n::6]]) for n in range(6)]
    pause = world.ended(operator, batches=parts[0])
    world.ended(operator, state="refused", batches=parts[1])
    world.confirm(
        world.draft(operator, world.RESUME, batches=parts[0]),
        operator,
        starts_at=timezone.now() + dt.timedelta(days=1),
        typed_count=size,
    )
    ahead = timezone.now() + dt.timedelta(hours=5)
    Change.objects.filter(pk=pause.pk).update(resume_at=ahead, resume_set_by_name="operator")
    halted = world.confirm(world.draft(operator, batches=parts[2]), operator)
    Change.objects.filter(pk=halted.pk).update(
        state=ChangeState.RUNNING, started_at=timezone.now(), halted_reason="The key is rejected."
    )
    with override_settings(APPROVAL_FOR="all"):
        world.confirm(world.draft(operator, batches=parts[3]), operator)
    world.confirm(world.draft(operator, batches=parts[4]), operator)
    for role in ("Operator", "Administrator"):
        world.draft(staff[role], batches=parts[5])
        pasted_ids.keep("\n".join(row.pk for row in live) + "\nnobody", staff[role])
    drafts.draft_undo(pause, user=operator, actor=actor)
    for row in live[-size:]:
        sandbox.edit_batch(row.pk, call_rate=77)
    sync.run_sync(SyncRun.Kind.FULL)
    Client().post(reverse("admin:login"), {"username": "nobody", "password": "wrong"})
    auditor = audit.Actor.of_user(staff["Auditor"], "192.0.2.8")
    sign_offs.draw_sample(TrailFilter(), 5 * size, user=staff["Auditor"], actor=auditor, seed="7")


def signed_in(user: User, zone: str = "UTC") -> Client:
    client = Client()
    client.force_login(user)
    client.cookies["time_zone"] = zone
    return client
