"""Who may not do a thing leaves an entry by trying, whichever service it is."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from batchops import permissions
from batchops.models import Action, AuditEntry, Batch, Change
from batchops.services import authorization
from batchops.services.changes import approvals, drafts, emergency, lifecycle, timed_pauses
from batchops.services.errors import NotAllowed
from batchops.services.proof import anchoring
from batchops.services.trail import search, sign_offs
from batchops.services.trail.trail_filter import TrailFilter
from batchops.services.trail_files import archive, exports
from batchops.syllable.patch import BatchPatch
from tests.audit.world import World, as_, later

pytestmark = pytest.mark.django_db(transaction=True)


def denied_tries(world: World, viewer: User) -> dict[str, Callable[[], object]]:
    change, waiting = world.pushed(), timezone.now()
    Batch.objects.update(paused=False)
    nobody = as_(viewer)
    found = search.entries(TrailFilter())
    return {
        "draft": lambda: drafts.draft(
            Batch.objects.all(),
            BatchPatch(call_rate=9),
            source=Change.Source.ACTION,
            **nobody,
        ),
        "draft_undo": lambda: drafts.draft_undo(change, **nobody),
        "draft_pause": lambda: emergency.draft_pause(**nobody),
        "confirm": lambda: lifecycle.confirm(world.draft(call_rate=8), reason="why", **nobody),
        "stop": lambda: lifecycle.stop(change, **nobody),
        "proceed": lambda: lifecycle.proceed(change, **nobody),
        "approve": lambda: approvals.approve(change, seen=change.fingerprint, **nobody),
        "reject": lambda: approvals.reject(change, comment="no", **nobody),
        "move_resume": lambda: timed_pauses.move_resume(change, later(), **nobody),
        "export": lambda: exports.export(
            found, exports.ExportFormat.CSV, description="everything", **nobody
        ),
        "mark": lambda: sign_offs.mark_entries([1], comment="seen", **nobody),
        "sample": lambda: sign_offs.draw_sample(TrailFilter(), 1, **nobody),
        "sign off": lambda: sign_offs.sign_off(
            waiting - dt.timedelta(days=1), waiting, comment="seen", **nobody
        ),
        "ask for an archive": lambda: archive.request(waiting, reason="old", **nobody),
        "carry out an archive": lambda: archive.carry_out(1, world.folder / "archive", **nobody),
        "acknowledge": lambda: anchoring.acknowledge("a test", **nobody),
    }


def test_a_denied_try_of_any_service_leaves_an_entry_and_nothing_else(
    world: World, viewer: User
) -> None:
    for name, trying in denied_tries(world, viewer).items():
        before = AuditEntry.objects.filter(outcome="denied").count()
        with pytest.raises(NotAllowed):
            trying()
        denied = AuditEntry.objects.filter(outcome="denied").order_by("-sequence")
        assert denied.count() == before + 1, name
        assert (denied[0].actor_name, denied[0].actor_ip) == ("victor", "192.0.2.7"), name
        assert denied[0].action in (Action.CHANGE_DENIED, Action.ACCESS_DENIED), name
        assert denied[0].detail["why"], name


def test_every_permission_has_words_for_its_denial() -> None:
    asked = {
        value
        for name, value in vars(permissions).items()
        if name.isupper() and isinstance(value, str) and ".view_" not in value
    }
    assert asked - authorization.MISSING.keys() == set()
