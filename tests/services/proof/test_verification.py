"""Whatever is done to the trail behind its back, verifying finds it and says what it was."""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest_django import Settings

from batchops.models import AuditEntry, AuditHead
from batchops.services.proof import anchoring
from batchops.services.proof.anchoring import Anchor
from batchops.services.proof.diagnosis import FaultKind
from batchops.services.proof.verification import Verdict, verify
from tests.audit import trail

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_trail")]

ENTRIES = 24
KEY = base64.b64encode(bytes(range(32))).decode()
OTHER_KEY = base64.b64encode(bytes(range(1, 33))).decode()

property_test = settings(
    max_examples=15,
)
middle = st.integers(min_value=2, max_value=ENTRIES - 2)


def judged_after(tampering: Callable[[], None], **how: Any) -> Verdict:
    """The verdict on a full trail that was tampered with; everything is undone afterwards."""
    with transaction.atomic():
        trail.fill(ENTRIES)
        with trail.triggers_dropped():
            tampering()
        verdict = verify(**how)
        transaction.set_rollback(True)
    return verdict


def fault_of(verdict: Verdict) -> tuple[FaultKind, int]:
    fault = verdict.integrity or verdict.completeness
    assert fault is not None, "nothing was found"
    return fault.kind, fault.sequence


CHANGES: dict[str, Any] = {
    "action": "batch.skipped",
    "outcome": "",
    "actor_id": 8,
    "actor_name": "mallory",
    "actor_ip": "192.0.2.8",
    "actor_kind": "system",
    "on_behalf_of_id": 9,
    "on_behalf_of_name": "mallory",
    "operated_by": "root@elsewhere",
    "batch_id": "20260324.X",
    "campaign_id": 5,
    "campaign_name": "other",
    "reason": "right list",
    "reference": "T-1",
    "before": '{"paused": true, "status": "ACTIVE"}',
    "after": None,
    "http_status": 200,
    "detail": "{}",
    "at": dt.datetime(2020, 1, 1, tzinfo=dt.UTC),
    "change_id": "12345678123456781234567812345678",
}


@property_test
@given(
    sequence=st.integers(min_value=1, max_value=ENTRIES), column=st.sampled_from(sorted(CHANGES))
)
def test_a_changed_entry_is_found_whichever_column_it_was(sequence: int, column: str) -> None:
    verdict = judged_after(lambda: trail.change(sequence, **{column: CHANGES[column]}))
    assert fault_of(verdict) == (FaultKind.CHANGED, sequence)


@property_test
@given(sequence=middle)
def test_a_changed_entry_with_a_recomputed_hash_is_named(sequence: int) -> None:
    def tamper() -> None:
        trail.change(sequence, reason="right list")
        trail.fit_hash(sequence)

    assert fault_of(judged_after(tamper)) == (FaultKind.CHANGED, sequence)


@property_test
@given(sequence=st.integers(min_value=2, max_value=ENTRIES - 1))
def test_a_removed_entry_is_found(sequence: int) -> None:
    verdict = judged_after(lambda: trail.delete(sequence))
    assert fault_of(verdict) == (FaultKind.REMOVED, sequence)


def test_a_removed_first_entry_is_found() -> None:
    verdict = judged_after(lambda: trail.delete(1))
    assert fault_of(verdict) == (FaultKind.REMOVED, 1)


@property_test
@given(sequence=middle)
def test_a_removed_entry_is_found_when_the_others_close_the_gap(sequence: int) -> None:
    def tamper() -> None:
        trail.delete(sequence)
        trail.shift(sequence + 1, -1)

    assert fault_of(judged_after(tamper)) == (FaultKind.REMOVED, sequence)


@property_test
@given(sequence=middle, links=st.booleans())
def test_an_inserted_entry_is_found(sequence: int, links: bool) -> None:
    def tamper() -> None:
        trail.shift(sequence, 1)
        trail.copy(sequence - 1, to=sequence, reason="forged")
        if links:
            before = AuditEntry.objects.get(pk=sequence - 1)
            trail.change(sequence, previous_hash=before.hash)
            trail.fit_hash(sequence)

    assert fault_of(judged_after(tamper)) == (FaultKind.INSERTED, sequence)


def test_an_entry_behind_the_head_is_found() -> None:
    verdict = judged_after(lambda: trail.copy(ENTRIES, to=ENTRIES + 1))
    assert fault_of(verdict) == (FaultKind.INSERTED, ENTRIES + 1)


@property_test
@given(first=middle, distance=st.integers(min_value=1, max_value=ENTRIES))
def test_entries_in_another_order_are_found(first: int, distance: int) -> None:
    second = min(ENTRIES, first + distance)
    verdict = judged_after(lambda: trail.renumber({first: second, second: first}))
    assert fault_of(verdict) == (FaultKind.REORDERED, first)


@property_test
@given(kept=st.integers(min_value=1, max_value=ENTRIES - 1))
def test_a_cut_end_is_found_by_the_head(kept: int) -> None:
    verdict = judged_after(lambda: cut_after(kept))
    assert verdict.integrity is None
    assert fault_of(verdict) == (FaultKind.CUT_OFF, kept + 1)


@property_test
@given(kept=st.integers(min_value=1, max_value=ENTRIES - 1))
def test_a_cut_end_with_a_head_put_back_is_found_by_an_anchor(kept: int) -> None:
    def tamper() -> None:
        cut_after(kept)
        trail.compute_anew(kept)

    anchor = Anchor(ENTRIES, "a" * 64, "")
    assert fault_of(judged_after(tamper, anchors=[anchor])) == (FaultKind.CUT_OFF, kept + 1)
    silent = judged_after(tamper)
    assert silent.is_good
    assert any("cut off the end" in question for question in silent.cannot_exclude())


@property_test
@given(sequence=st.integers(min_value=1, max_value=ENTRIES))
def test_a_rewritten_chain_is_found_by_an_anchor_from_elsewhere(sequence: int) -> None:
    anchors: list[Anchor] = []

    def tamper() -> None:
        head = AuditHead.objects.get()
        anchors.append(Anchor(head.sequence, head.hash, ""))
        rewrite_from(sequence)

    # The list is filled before verifying begins.
    verdict = judged_after(tamper, anchors=anchors)
    assert verdict.integrity is not None
    assert verdict.integrity.kind == FaultKind.REWRITTEN


@property_test
@given(sequence=st.integers(min_value=3, max_value=8))
def test_a_rewritten_chain_is_found_by_the_signed_anchors_in_the_trail(
    settings: Settings, sequence: int
) -> None:
    settings.AUDIT_SIGNING_KEY = KEY
    with transaction.atomic():
        trail.fill(1)
        anchoring.anchor_head()
        trail.fill(8)
        anchoring.anchor_head()
        trail.fill(4)
        good = verify()
        with trail.triggers_dropped():
            rewrite_from(sequence)
        verdict = verify()
        transaction.set_rollback(True)
    trail.forget()
    assert good.is_good
    assert (good.signed_anchors, good.signed_through) == (2, 10)
    assert fault_of(verdict) == (FaultKind.REWRITTEN, 2)


def test_a_rewritten_chain_is_found_though_its_heads_were_given_the_new_hashes(
    settings: Settings,
) -> None:
    settings.AUDIT_SIGNING_KEY = KEY
    trail.fill(5)
    anchoring.anchor_head()
    with trail.triggers_dropped():
        rewrite_from(3)
        entry = AuditEntry.objects.get(pk=6)
        settings.AUDIT_SIGNING_KEY = OTHER_KEY
        forged = anchoring.signed(5, entry.previous_hash, number=1, interval=3600)
        settings.AUDIT_SIGNING_KEY = KEY
        AuditEntry.objects.filter(pk=6).update(detail=forged.to_json())
        trail.compute_anew(6)
    assert fault_of(verify()) == (FaultKind.REWRITTEN, 6)


def test_heads_signed_with_an_older_key_count_once_its_public_key_is_known(
    settings: Settings,
) -> None:
    settings.AUDIT_SIGNING_KEY = OTHER_KEY
    trail.fill(2)
    anchoring.anchor_head()
    older = anchoring.signing_key()
    assert older is not None
    settings.AUDIT_SIGNING_KEY = KEY
    assert fault_of(verify()) == (FaultKind.REWRITTEN, 3)
    public = base64.b64encode(older.public_key().public_bytes_raw()).decode()
    settings.AUDIT_PUBLIC_KEYS = [public]
    assert verify().is_good


def test_a_head_that_disagrees_with_the_last_entry_is_found() -> None:
    def tamper() -> None:
        AuditHead.objects.update(hash="b" * 64)

    verdict = judged_after(tamper)
    assert fault_of(verdict) == (FaultKind.REWRITTEN, ENTRIES)


def test_an_untouched_trail_is_good_and_says_what_it_cannot_exclude() -> None:
    trail.fill(ENTRIES)
    verdict = verify()
    assert verdict.is_good
    assert (verdict.first, verdict.last, verdict.rows) == (1, ENTRIES, ENTRIES)
    assert len(verdict.cannot_exclude()) == 2


def test_an_anchor_from_elsewhere_proves_completeness_up_to_it() -> None:
    trail.fill(4)
    head = AuditHead.objects.get()
    trail.fill(2)
    verdict = verify(anchors=[Anchor(head.sequence, head.hash, "")])
    assert verdict.is_good
    assert (verdict.anchored_through, verdict.last) == (4, 6)


def test_verifying_from_an_entry_on_checks_what_follows_it_alone() -> None:
    with transaction.atomic():
        trail.fill(ENTRIES)
        with trail.triggers_dropped():
            trail.change(3, reason="changed")
        assert verify(since=10).is_good
        assert verify(since=10).rows == ENTRIES - 9
        assert fault_of(verify(since=2)) == (FaultKind.CHANGED, 3)


def test_an_empty_trail_is_good() -> None:
    verdict = verify()
    assert verdict.is_good
    assert verdict.rows == 0


def test_a_trail_emptied_as_a_whole_is_found() -> None:
    verdict = judged_after(lambda: cut_after(0))
    assert fault_of(verdict) == (FaultKind.CUT_OFF, 1)


def test_a_value_of_another_kind_in_a_column_is_found() -> None:
    if connection.vendor == "sqlite":
        verdict = judged_after(lambda: trail.change(5, reason=b"wrong list"))
        assert fault_of(verdict) == (FaultKind.CHANGED, 5)
    else:
        verdict = judged_after(lambda: trail.change(5, detail='"no object"'))
        assert fault_of(verdict) == (FaultKind.CHANGED, 5)


def cut_after(kept: int) -> None:
    trail.run(f"DELETE FROM {trail.TABLE} WHERE sequence > %s", kept)


def rewrite_from(sequence: int) -> None:
    trail.change(sequence, reason="as if it had always been so")
    trail.compute_anew(sequence)
