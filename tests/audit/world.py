"""The world in which the tests walk everything that changes anything."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from django.contrib.auth.models import User
from django.utils import timezone
from pytest_django import Settings

from batchops import audit
from batchops.models import Action, AuditEntry, Batch, Change
from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.services.changes import drafts, lifecycle
from batchops.services.push import driver
from batchops.syllable.patch import BatchPatch

BATCH: Final = "20260324.9"


@dataclass(frozen=True, slots=True)
class World:
    """A vendor, the people, and a change on one batch."""

    sandbox: EmbeddedSandbox
    operator: User
    approver: User
    auditor: User
    settings: Settings
    folder: Path

    def draft(self, **patch: Any) -> Change:
        patch = patch or {"paused": True}
        return drafts.draft(
            Batch.objects.all(),
            BatchPatch(**patch),
            source=Change.Source.ACTION,
            **as_(self.operator),
        )

    def confirmed(self, **more: Any) -> Change:
        change = self.draft(**more.pop("patch", {}))
        return lifecycle.confirm(change, reason="wrong list", **as_(self.operator), **more)

    def pushed(self, **more: Any) -> Change:
        change = self.confirmed(**more)
        driver.drive()
        change.refresh_from_db()
        return change

    def awaiting(self) -> Change:
        self.settings.APPROVAL_FOR = "expanding"
        Batch.objects.update(paused=True)
        self.sandbox.edit_batch(BATCH, paused=True)
        return self.confirmed(patch={"paused": False})


def as_(person: User) -> dict[str, Any]:
    return {"user": person, "actor": audit.Actor.of_user(person, "192.0.2.7")}


def later() -> dt.datetime:
    return timezone.now() + dt.timedelta(days=1)


def last_sequence() -> int:
    """The end of the trail, before something is done."""
    return AuditEntry.objects.order_by("-sequence").values_list("sequence", flat=True)[0]


def actions_since(sequence: int) -> list[Action | str]:
    """What the trail has gained since, in order."""
    left = AuditEntry.objects.filter(sequence__gt=sequence).order_by("sequence")
    return list(left.values_list("action", flat=True))
