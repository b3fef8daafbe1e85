"""What the owner of the database or of a key can try with the anchors in the trail."""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import User
from django.core.management import CommandError
from django.utils import timezone
from pytest_django import Settings

from batchops import audit
from batchops.models import Action, AuditEntry, AuditHead
from batchops.services.anchors.anchor import signed
from batchops.services.proof import anchoring, watch
from batchops.services.proof.anchoring import Anchor, NotVerified
from batchops.services.proof.verification import verify
from tests.audit import trail
from tests.audit.trail import broken, command

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_trail")]

KEY = base64.b64encode(bytes(range(32))).decode()
OTHER_KEY = base64.b64encode(bytes(range(1, 33))).decode()
START = dt.datetime(2026, 3, 24, 6, tzinfo=dt.UTC)


def rewrite(sequence: int, **more: Any) -> None:
    trail.change(sequence, reason="as if it had always been so", **more)


def store(entry: int, anchor: Anchor) -> None:
    """Put an anchor into an entry that holds another one."""
    AuditEntry.objects.filter(pk=entry).update(detail=anchor.to_json())


def give_anchors(change: Callable[[Anchor], Anchor]) -> None:
    """Compute the chain anew with anchors that fit it, each changed in some way."""
    before: Anchor | None = None
    for entry in AuditEntry.objects.filter(action=Action.AUDIT_ANCHORED).order_by("sequence"):
        trail.compute_anew(1)
        entry.refresh_from_db()
        anchor = Anchor.from_json(entry.detail)
        previous = before.digest() if before else audit.GENESIS
        before = change(replace(anchor, hash=entry.previous_hash, previous=previous))
        store(entry.sequence, before)
    trail.compute_anew(1)


def test_an_untouched_trail_with_anchors_is_good(anchored: list[Anchor]) -> None:
    verdict = verify()
    assert (verdict.outcome, verdict.signed_anchors, verdict.signed_through) == ("ok", 3, 11)
    assert [anchor.number for anchor in anchored] == [1, 2, 3]
    assert anchored[2].previous == anchored[1].digest()


@pytest.mark.usefixtures("anchored")
def test_a_rewritten_trail_with_emptied_signatures_is_not_good() -> None:
    with trail.triggers_dropped():
        rewrite(2)
        give_anchors(lambda anchor: replace(anchor, key_id="", signature=""))
    trail.forget()
    assert "no signed anchor" in broken(verify())
    with pytest.raises(CommandError) as caught:
        command("verify_audit")
    assert caught.value.returncode == 1


@pytest.mark.usefixtures("anchored")
def test_a_rewritten_trail_with_dropped_anchors_is_not_good() -> None:
    with trail.triggers_dropped():
        rewrite(2)
        for sequence in (12, 8, 4):
            trail.delete(sequence)
            trail.shift(sequence + 1, -1)
        trail.compute_anew(1)
    trail.forget()
    assert "no signed anchor" in broken(verify())


@pytest.mark.parametrize("unsigned", [True, False])
def test_a_trail_that_lost_its_signed_anchors_is_signed_anew_only_when_a_person_says_so(
    signing: Settings, administrator: User, unsigned: bool
) -> None:
    with time_machine.travel(timezone.now(), tick=False) as clock:
        for _ in range(4):
            trail.fill(3)
            anchoring.anchor_head()
            clock.shift(dt.timedelta(hours=1))
        with trail.triggers_dropped():
            if unsigned:
                give_anchors(lambda anchor: replace(anchor, key_id="", signature=""))
            else:
                anchors = AuditEntry.objects.filter(action=Action.AUDIT_ANCHORED)
                for sequence in list(anchors.values_list("sequence", flat=True)):
                    trail.delete(sequence)
                    trail.shift(sequence + 1, -1)
                trail.compute_anew(1)
        # A worker on a host that has never seen this trail.
        trail.forget()
        assert anchoring.anchor_if_due() is None
        with pytest.raises(NotVerified, match="anchors were removed"):
            anchoring.anchor_head()
        verdict = AuditEntry.objects.get(action=Action.AUDIT_VERIFIED)
        assert "anchors were removed" in verdict.detail["faults"][0]
        assert "anchors were removed" in watch.alarm_text()

        who: dict[str, Any] = {
            "user": administrator,
            "actor": audit.Actor.of_user(administrator),
        }
        anchoring.acknowledge("signing begins today", **who)
        trail.fill(1)
        assert anchoring.anchor_head() is not None
        judged = verify()
        assert judged.is_good
        assert "signing begins today" in judged.acknowledged[0]


def test_a_first_signed_anchor_long_after_the_first_entry_is_a_fault(signing: Settings) -> None:
    with time_machine.travel(START, tick=False) as clock:
        trail.fill(2)
        clock.shift(dt.timedelta(hours=3))
        # As somebody would who holds the key, or an older version did.
        anchoring._record(AuditHead.objects.get())
        assert "anchors were removed" in broken(verify())


def test_the_first_worker_may_start_within_two_intervals(signing: Settings) -> None:
    with time_machine.travel(START, tick=False) as clock:
        trail.fill(2)
        clock.shift(dt.timedelta(hours=2))
        assert anchoring.anchor_if_due() is not None
        assert verify().is_good


@pytest.mark.usefixtures("anchored")
def test_a_dropped_anchor_in_the_middle_is_missed() -> None:
    with trail.triggers_dropped():
        trail.delete(8)
        trail.shift(9, -1)
        trail.compute_anew(5)
    # The third anchor no longer fits its place; put to its place, its signature is false.
    assert "false" in broken(verify()) or "another hash" in broken(verify())


def test_an_anchor_that_skips_a_number_is_missed(signing: Settings) -> None:
    trail.fill(2)
    anchoring.anchor_head()
    trail.fill(2)
    first = AuditEntry.objects.get(action=Action.AUDIT_ANCHORED)
    head = AuditHead.objects.get()
    before = Anchor.from_json(first.detail)
    skipping = signed(head.sequence, head.hash, number=3, previous=before.digest(), interval=3600)
    audit.record_now(audit.Fact(Action.AUDIT_ANCHORED, audit.SYSTEM, detail=skipping.to_json()))
    assert "anchor 3 where 2 should be" in broken(verify())


def test_an_unsigned_anchor_after_a_signed_one_is_a_fault(signing: Settings) -> None:
    trail.fill(2)
    anchoring.anchor_head()
    trail.fill(2)
    signing.AUDIT_SIGNING_KEY, signing.AUDIT_PUBLIC_KEYS = "", []
    anchoring._record(AuditHead.objects.get())
    signing.AUDIT_SIGNING_KEY = KEY
    trail.fill(1)
    assert "not signed" in broken(verify())
    with pytest.raises(NotVerified):
        anchoring.anchor_head()


def test_anchors_from_before_there_was_a_key_are_confirmed_by_the_first_signed_one(
    settings: Settings,
) -> None:
    for _ in range(2):
        trail.fill(2)
        anchoring.anchor_head()
    settings.AUDIT_SIGNING_KEY = KEY
    assert "no signed anchor" in broken(verify())
    trail.fill(1)
    anchoring.anchor_head()
    assert verify().is_good


def test_a_late_anchor_is_a_fault_until_somebody_acknowledges_it(
    signing: Settings, administrator: User
) -> None:
    with time_machine.travel(START, tick=False) as clock:
        trail.fill(2)
        anchoring.anchor_head()
        clock.shift(dt.timedelta(hours=1))
        anchoring.anchor_head()
        assert verify().is_good
        clock.shift(dt.timedelta(hours=3))
        assert "is missing" in broken(verify())
        trail.fill(1)
        anchoring.anchor_head()
        assert "came late" in broken(verify())
        anchoring.acknowledge(
            "the worker was stopped for a move",
            user=administrator,
            actor=audit.Actor.of_user(administrator),
        )
        verdict = verify()
        assert verdict.is_good
        assert "the worker was stopped for a move" in verdict.acknowledged[0]
        assert "came late" in verdict.acknowledged[0]


def test_an_idle_trail_goes_on_being_signed_so_that_silence_tells(signing: Settings) -> None:
    with time_machine.travel(START, tick=False) as clock:
        trail.fill(1)
        for _ in range(3):
            assert anchoring.anchor_if_due() is not None
            assert anchoring.anchor_if_due() is None
            clock.shift(dt.timedelta(hours=1))
        assert verify().signed_anchors == 3


def test_an_acknowledgement_cannot_be_forged(signing: Settings) -> None:
    with time_machine.travel(START, tick=False) as clock:
        trail.fill(1)
        anchoring.anchor_head()
        clock.shift(dt.timedelta(hours=9))
        trail.fill(1)
        anchoring.anchor_head()
        signing.AUDIT_SIGNING_KEY = OTHER_KEY
        anchoring._record(AuditHead.objects.get(), reason="all is well", by="mallory")
        signing.AUDIT_SIGNING_KEY = ""
        anchoring._record(AuditHead.objects.get(), reason="all is well", by="mallory")
        signing.AUDIT_SIGNING_KEY = KEY
        assert verify().outcome == "broken"


@pytest.mark.usefixtures("anchored")
def test_a_replaced_key_of_the_environment_is_found_by_the_key_from_outside(
    signing: Settings,
) -> None:
    true = anchoring.signing_key()
    assert true is not None
    public = base64.b64encode(true.public_key().public_bytes_raw()).decode()
    signing.AUDIT_SIGNING_KEY = OTHER_KEY

    def sign_anew(anchor: Anchor) -> Anchor:
        return signed(
            anchor.sequence,
            anchor.hash,
            number=anchor.number,
            previous=anchor.previous,
            interval=anchor.interval,
        )

    with trail.triggers_dropped():
        rewrite(2)
        give_anchors(sign_anew)
    trail.forget()
    assert "Integrity: good" in command("verify_audit")
    with pytest.raises(CommandError) as caught:
        command("verify_audit", "--public-key", public)
    assert caught.value.returncode == 1
    with pytest.raises(CommandError) as caught:
        command("verify_audit", "--public-key", "short")
    assert caught.value.returncode == 2


@pytest.mark.usefixtures("anchored")
def test_a_key_from_outside_verifies_where_the_environment_has_none(signing: Settings) -> None:
    true = anchoring.signing_key()
    assert true is not None
    public = base64.b64encode(true.public_key().public_bytes_raw()).decode()
    signing.AUDIT_SIGNING_KEY = "not a key at all"
    assert "3 signed anchors" in command("verify_audit", "--public-key", public)


@pytest.mark.usefixtures("anchored")
def test_nothing_is_signed_over_what_was_altered_since_the_last_signature() -> None:
    with trail.triggers_dropped():
        rewrite(13)
    with pytest.raises(NotVerified, match="Entry 13 was changed"):
        anchoring.anchor_head()
    head, stored = anchoring.verified_end()
    assert head.key_id == ""
    assert stored is not None
    verdict = AuditEntry.objects.get(action=Action.AUDIT_VERIFIED)
    assert verdict.outcome == "broken"
    with pytest.raises(CommandError, match="Nothing is signed"):
        command("anchor_audit")
