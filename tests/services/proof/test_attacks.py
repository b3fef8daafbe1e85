"""What the owner of the database or of the environment can try: verifying never calls it good."""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import Callable
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import User
from django.core.management import CommandError
from django.utils import timezone
from pytest_django import Settings

from batchops import audit
from batchops.models import Action, AuditEntry, AuditHead, AuditReviewedRange
from batchops.services.proof import anchoring, watch
from batchops.services.proof.anchoring import Anchor
from batchops.services.proof.diagnosis import FaultKind
from batchops.services.proof.verification import verify
from batchops.services.trail import sign_offs
from batchops.services.trail.trail_filter import TrailFilter
from tests.audit import trail
from tests.audit.trail import broken, command

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_trail")]

KEY = base64.b64encode(bytes(range(32))).decode()
OTHER_KEY = base64.b64encode(bytes(range(1, 33))).decode()
START = dt.datetime(2026, 3, 24, 6, tzinfo=dt.UTC)


# The beginning and the end -------------------------------------------------------------------


@pytest.mark.usefixtures("anchored")
def test_a_forged_archive_does_not_delete_the_beginning_unnoticed() -> None:
    """By INSERT and UPDATE alone: no trigger has to be dropped for it."""
    entry = AuditEntry.objects.get(pk=6)
    detail = {"first": 1, "through": 6, "hash": entry.hash, "file": "old.jsonl", "request": 3}
    audit.record_now(audit.Fact(Action.AUDIT_ARCHIVED, trail.OLIVIA, detail=detail))
    AuditHead.objects.update(removable_through=6)
    trail.run(f"DELETE FROM {trail.TABLE} WHERE sequence <= 6")
    verdict = verify()
    assert verdict.outcome == "not proven"
    assert "Entries 1 to 6 are not proven: archived by olivia" in verdict.unproven[0]
    with pytest.raises(CommandError) as caught:
        command("verify_audit")
    assert caught.value.returncode == 3


@pytest.mark.usefixtures("anchored")
@pytest.mark.parametrize("request_by", [None, trail.OLIVIA])
def test_an_archive_that_no_second_person_asked_for_is_a_fault(
    request_by: audit.Actor | None,
) -> None:
    number = AuditHead.objects.get().sequence + 1
    if request_by:
        audit.record_now(audit.Fact(Action.AUDIT_ARCHIVE_REQUESTED, request_by))
    detail = {"first": 1, "through": 6, "hash": "0" * 64, "file": "old", "request": number}
    audit.record_now(audit.Fact(Action.AUDIT_ARCHIVED, trail.OLIVIA, detail=detail))
    assert "no second person" in broken(verify())


@pytest.mark.usefixtures("anchored")
def test_a_trail_opened_for_removal_without_an_archive_is_a_fault() -> None:
    with trail.triggers_dropped():
        AuditHead.objects.update(removable_through=5)
    assert "open for removal up to entry 5" in broken(verify())


@pytest.mark.usefixtures("anchored")
def test_a_beginning_cut_off_before_the_archived_range_is_a_fault() -> None:
    entry = AuditEntry.objects.get(pk=3)
    detail = {"first": 1, "through": 3, "hash": entry.hash, "file": "old", "request": 2}
    audit.record_now(audit.Fact(Action.AUDIT_ARCHIVED, trail.OLIVIA, detail=detail))
    with trail.triggers_dropped():
        AuditHead.objects.update(removable_through=3)
        trail.run(f"DELETE FROM {trail.TABLE} WHERE sequence <= 5")
    assert "no entry says that they were archived" in broken(verify())


def test_the_last_anchors_cut_off_with_all_after_them_are_missed_by_this_host(
    anchored: list[Anchor],
) -> None:
    with trail.triggers_dropped():
        trail.run(f"DELETE FROM {trail.TABLE} WHERE sequence > 10")
        trail.compute_anew(10)
    assert verify().is_good
    assert "rolled back" in broken(watch.judge())
    assert broken(verify(anchors=anchored))


# Content -------------------------------------------------------------------------------------


@pytest.mark.once
def test_a_name_that_stands_twice_in_stored_json_is_found() -> None:
    trail.fill(3)
    detail = json.dumps(AuditEntry.objects.get(pk=2).detail)
    with trail.triggers_dropped():
        trail.change(2, detail=f'{{"number": 99, {detail[1:]}')
    fault = verify().integrity
    assert fault is not None
    assert (fault.kind, fault.sequence) == (FaultKind.CHANGED, 2)


SAME_IN_ANOTHER_FORM: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "an instant with a T": ("at", lambda entry: entry.at.isoformat(timespec="microseconds")),
    "an instant as bytes": (
        "at",
        lambda entry: f"{entry.at.replace(tzinfo=None).isoformat(' ', 'microseconds')}".encode(),
    ),
    "an id with dashes": ("change_id", lambda entry: str(entry.change_id)),
    "an id as bytes": ("change_id", lambda entry: entry.change_id.hex.encode()),
    "JSON as bytes": ("detail", lambda entry: json.dumps(entry.detail).encode()),
}


@pytest.mark.once
@pytest.mark.parametrize("name", sorted(SAME_IN_ANOTHER_FORM))
def test_a_value_in_a_form_that_no_filter_finds_is_a_change(name: str) -> None:
    """The same value for whoever reads the row, but not for whoever searches by it."""
    trail.fill(3, change_id="12345678-1234-5678-1234-567812345678")
    column, form = SAME_IN_ANOTHER_FORM[name]
    with trail.triggers_dropped():
        trail.change(2, **{column: form(AuditEntry.objects.get(pk=2))})
    fault = verify().integrity
    assert fault is not None
    assert fault.sequence == 2


def test_entries_that_count_as_reviewed_by_nobody_are_found(auditor: User) -> None:
    trail.fill(6)
    last = AuditHead.objects.get().sequence
    who: dict[str, Any] = {"user": auditor, "actor": audit.Actor.of_user(auditor)}
    done = sign_offs.mark_entries([last, last - 1], comment="seen", **who)
    assert watch.judge().is_good
    AuditReviewedRange.objects.create(first=last - 4, last=last - 4, review=done.entry.sequence)
    assert "is not what it covers" in broken(watch.judge())
    AuditReviewedRange.objects.filter(first=last - 4).update(review=last)
    assert "which is no review" in broken(watch.judge())
    AuditReviewedRange.objects.filter(first=last - 4).update(review=-5)
    assert watch.judge().is_good
    left = sign_offs.mark_filtered(TrailFilter(action="batch.applied"), comment="the rest", **who)
    assert left.newly == 4


def test_the_clock_of_the_verdict_is_now(signing: Settings) -> None:
    trail.fill(1)
    anchoring.anchor_head()
    assert verify().is_good
    with time_machine.travel(timezone.now() + dt.timedelta(hours=3)):
        assert verify().outcome == "broken"
