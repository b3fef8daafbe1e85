"""Whatever changes anything leaves an entry: each service that writes is named here, or fails."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client, RequestFactory
from django.utils import timezone

from batchops import audit
from batchops.accounts import reauth, sessions, sign_in
from batchops.accounts.factors import codes, factors
from batchops.accounts.models import SecondFactor, Session
from batchops.accounts.session_store import SessionStore
from batchops.audit import denials
from batchops.models import (
    Action,
    AuditEntry,
    AuditHead,
    Batch,
    Change,
    ChangeState,
    DeniedTries,
    HoldOverride,
    ItemState,
    SyncRun,
)
from batchops.release_windows import freezes
from batchops.release_windows.models import Freeze
from batchops.saved_views import views
from batchops.services.changes import approvals, drafts, emergency, lifecycle, timed_pauses
from batchops.services.holds import overrides
from batchops.services.mirror import shared_ids, store, sync, time_zones
from batchops.services.proof import anchoring, last_seen, verdicts, watch
from batchops.services.proof.verification import Verdict
from batchops.services.runs import read_back, run_state
from batchops.services.table_files import batch_list
from batchops.services.trail import search, sign_offs
from batchops.services.trail.trail_filter import TrailFilter
from batchops.services.trail_files import archive, exports
from batchops.syllable.records import BatchRecord
from tests.accounts.apps import code_of, with_app
from tests.audit import trail
from tests.audit.world import BATCH, World, as_, last_sequence, later
from tests.audit.writing_services import writing_functions

pytestmark = pytest.mark.django_db(transaction=True)

PART_OF = {
    "accounts.sso.people.account_of": "what it changes of accounts is recorded by signals",
    "accounts.factors.codes.take": "a code that is used up, by a sign-in that is recorded",
    "accounts.factors.codes.write_recovery_codes": "part of adding or renewing, which is recorded",
    "accounts.sign_in.finish_with_code": "a sign-in, which is recorded by the signal of Django",
    "saved_views.list_settings.keep": "columns, for one's own eyes",
    "saved_views.list_settings.forget": "the same",
    "saved_views.views.open_by_default": "with which view the list opens for one person",
    "accounts.throttling.begin": "a try that is counted; when none is left, that is recorded",
    "anchors.outlets.send_out": "how far anchors have left the database, which have entries each",
    "trail.reviewed_ranges.settle": "finishes what a review, which has its entry, left",
    "trail.slices.in_slices": "how others write",
    "trail.slices.lease": "who is at long work; it lapses",
    "audit.recording.locked_head": "locks, and makes the head when there is none",
    "audit.recording.record": "the door itself",
    "audit.recording.record_now": "the door itself",
    "bulk.update_in_order": "each caller records what it changed",
    "changes.lifecycle.move": "each caller records why it moved the state",
    "changes.lifecycle.queue_due": "what was scheduled is due; its start is recorded",
    "changes.lifecycle.refresh_counts": "a cached sum of items that have entries each",
    "changes.lifecycle.sweep_stopped": "settles items through unsent.stop_waiting",
    "holds.moves.place": "holds of a pause whose outcome on each batch is recorded",
    "holds.moves.lift": "told in the outcome of each batch that is resumed",
    "holds.moves.lift_without_resuming": "through driver.drive",
    "holds.moves.keep_true": "what was paused or resumed outside has its entry",
    "holds.overrides.tell_owners": "gives its facts to whoever lifts the holds",
    "runs.leases.claim": "a lease before anything is sent; the outcome is recorded",
    "runs.leases.give_back": "the end of a lease; record_outcomes.give_back records what was tried",
    "runs.leases.doubt": "what may have been done; the outcome is recorded",
    "runs.leases.renew": "a lease that goes on",
    "runs.leases.reclaim_expired": "a lease that ended; what was tried is recorded",
    "runs.leases.reclaim_unknown": "a lease nobody knew of; what was tried is recorded",
    "clean_up.delete": "how clean_up deletes, here and for other tables that only remind",
    "clean_up.clean_up": "what is over by the settings: syncs, sessions, pasted lists; in the log",
    "heartbeats.forget_old": "workers that are long gone",
    "changes.freezing.drop_items": "a draft goes, which is recorded when it does",
    "changes.freezing.each": "part of a draft, which is recorded when it is whole",
    "changes.freezing.selection": "part of a draft, which is recorded when it is whole",
    "mirror.key_identity.learn": "a name that the vendor's replies showed, to tell our changes by",
    "mirror.store.apply_campaigns": "what the vendor says of campaigns, which nobody changes here",
    "mirror.store.ensure_campaigns": "nameless rows for campaigns that are not known yet",
    "mirror.store.detect_external_change": "gives its facts to record_outcomes",
    "mirror.store.update_rows": "each caller records what it saw",
    "mirror.store.write_rows": "each caller records what it saw",
    "authorization.records_denials": "wraps services; the denied tries below prove it",
    "runs.run_state.end_wait": "the end of a wait that is shown on the page of the change",
    "runs.run_state.retry_waiting": "the same, for those who wait still",
    "runs.run_state.no_longer_sending": "through run_state.halt",
    "runs.run_state.start": "through driver.drive",
    "runs.run_state.wait": "a wait by itself, shown on the page of the change; a halt is recorded",
    "rate_sharing.share_rate": "what rate a worker has learnt, to be shown and shared",
    "quotas.begin_export": "a place among the exports; the export itself is recorded",
    "quotas.spend_count": "how often somebody looked, so that it is not too often",
    "quotas.take": "a number for a while, of something that nobody did to a batch",
    "changes.pasted_ids.keep": "a pasted list that nothing was done with yet",
    "changes.pasted_ids.keep_with": "the same, with what the person added to it",
    "push.record_outcomes.give_back": "through driver.drive, whose tests prove its entries",
    "push.record_outcomes.record": "through driver.drive",
    "changes.unsent.record_items": "through lifecycle.stop",
    "changes.unsent.record_left_out": "through lifecycle.confirm and push.drive",
    "changes.unsent.record_rest": "through driver.drive",
    "changes.unsent.stop_waiting": "through lifecycle.stop",
}
"""Functions that write as a part of others, or that write nothing that anyone did."""


def lapse(world: World) -> None:
    world.draft()
    Change.objects.update(created_at=timezone.now() - dt.timedelta(days=3))
    drafts.expire_drafts()


def end_pause(world: World) -> None:
    pause = world.pushed(resume_at=later())
    Change.objects.filter(pk=pause.pk).update(resume_at=timezone.now())
    timed_pauses.resume_due()


def postpone(world: World) -> None:
    change = world.draft()
    Change.objects.filter(pk=change.pk).update(state=ChangeState.QUEUED, expanding_count=1)
    change.refresh_from_db()
    tomorrow = f"{later():%a}".lower()
    world.settings.RESUME_WINDOWS = f"{tomorrow} 00:00-24:00"
    assert lifecycle.postpone(change)


def halt(world: World) -> None:
    assert run_state.halt(world.confirmed(), "the key was refused")


def proceed(world: World) -> None:
    change = world.confirmed()
    run_state.halt(change, "the key was refused")
    lifecycle.proceed(change, **as_(world.operator))


def finish(world: World) -> None:
    change = world.confirmed()
    Change.objects.filter(pk=change.pk).update(state=ChangeState.RUNNING)
    change.items.update(state=ItemState.APPLIED)
    assert lifecycle.finish(change)


def retry(world: World) -> None:
    change = world.pushed()
    change.items.update(state=ItemState.FAILED)
    drafts.draft_retry(change, **as_(world.operator))


def read_all_back(world: World) -> None:
    world.pushed()
    read_back.all_due()


def fail_to_sync(world: World) -> None:
    world.settings.SYLLABLE_API_KEY = "another"
    with pytest.raises(Exception, match="key"):
        sync.run_sync(SyncRun.Kind.FULL)


def see_an_outside_change(world: World) -> None:
    record = BatchRecord(batch_id=BATCH, campaign_id=1, status="ACTIVE", paused=True)
    store.apply_page([record], timezone.now())


def ask_for_archive(world: World) -> AuditEntry:
    world.settings.AUDIT_RETENTION_DAYS = 0
    User.objects.update(is_superuser=True)
    world.auditor.refresh_from_db()
    return archive.request(timezone.now(), reason="old", **as_(world.auditor))


def in_campaign(number: int) -> BatchRecord:
    return BatchRecord(batch_id=BATCH, campaign_id=number, status="ACTIVE", paused=False)


def end_an_alarm(world: World) -> None:
    shared_ids.raise_alarms({BATCH: [1, 2]})
    sightings = shared_ids.Sightings()
    sightings.add([in_campaign(1)])
    shared_ids.end_alarms(sightings, [], timezone.now())


def approve(world: World) -> None:
    change = world.awaiting()
    approvals.approve(change, seen=change.fingerprint, **as_(world.approver))


def let_an_approval_expire(world: World) -> None:
    approve(world)
    Change.objects.update(approval_expires_at=timezone.now())
    assert not approvals.require(Change.objects.get())


def recording_of_denials(world: World) -> None:
    denials.record(audit.Fact(Action.ACCESS_DENIED, audit.Actor.nobody("x"), outcome="denied"))


def refuse_a_request(world: World) -> None:
    request = RequestFactory().post("/somewhere/")
    request.user = world.operator
    denials.record_request(request, "not this one")


def sum_up(world: World) -> None:
    world.settings.DENIALS_PER_MINUTE = 1
    recording_of_denials(world)
    recording_of_denials(world)
    DeniedTries.objects.update(since=timezone.now() - denials.SPAN)
    denials.sum_up_due()


def carry_out_an_archive(world: World) -> None:
    asked = ask_for_archive(world)
    world.approver.refresh_from_db()
    archive.carry_out(asked.pk, world.folder / "archive", **as_(world.approver))


def acknowledge(world: World) -> None:
    AuditHead.objects.update(hash="0" * 64)
    User.objects.update(is_superuser=True)
    world.auditor.refresh_from_db()
    anchoring.acknowledge("a test", **as_(world.auditor))


def roll_back(world: World) -> None:
    last_seen.remember()
    with trail.triggers_dropped():
        trail.change(last_sequence(), hash="f" * 64)
    last_seen.check()


def verify_at_night(world: World) -> None:
    watch.nightly()


def export(world: World) -> None:
    found = search.entries(TrailFilter())
    kind = exports.ExportFormat.CSV
    exports.export(found, kind, description="everything", **as_(world.auditor))


def export_batches(world: World) -> None:
    kind = batch_list.BatchFileFormat.CSV
    batch_list.export(Batch.objects.all(), kind, description="all", **as_(world.operator))


def remove_a_shared_view(world: World) -> None:
    view = views.save("late", "", is_shared=True, **as_(world.operator))
    views.remove(view, **as_(world.operator))


def sign_off(world: World) -> None:
    start = timezone.now() - dt.timedelta(days=1)
    sign_offs.sign_off(start, timezone.now(), comment="seen", **as_(world.auditor))


def begin_a_session(world: World) -> Session:
    Client().force_login(world.operator)
    return Session.objects.get(user=world.operator)


def end_a_session(world: World) -> None:
    handle = begin_a_session(world).handle
    sessions.end(world.operator, handle, actor=as_(world.operator)["actor"], why="a test")


def end_all_sessions(world: World) -> None:
    begin_a_session(world)
    sessions.end_all(world.operator, actor=as_(world.operator)["actor"], why="a test")


def end_a_session_that_is_over(world: World) -> None:
    begin_a_session(world)
    Session.objects.update(expire_date=timezone.now())
    sessions.end_due()


def prove_again(world: World) -> None:
    request = RequestFactory().post("/somewhere/")
    request.user, request.session = world.operator, SessionStore()
    reauth.prove(request, world.operator, "password")


def with_factor(world: World) -> dict[str, audit.Actor]:
    with_app(world.operator)
    return {"actor": as_(world.operator)["actor"]}


def add_app(world: World) -> None:
    secret = codes.new_secret()
    given = {"actor": as_(world.operator)["actor"], "spared": None}
    factors.add_app(world.operator, secret, code_of(secret), "phone", **given)


def add_factor(world: World) -> None:
    factor = SecondFactor(user=world.operator, kind=SecondFactor.Kind.PASSKEY, secret="{}")
    factors.add(factor, "key", actor=as_(world.operator)["actor"], spared=None)


def remove_factor(world: World) -> None:
    given = with_factor(world)
    factors.remove(world.operator, factors.of_user(world.operator)[0].pk, **given)


def fail_the_second_step(world: World) -> None:
    request = RequestFactory().post("/somewhere/")
    with_app(world.operator)
    with pytest.raises(sign_in.NotSignedIn):
        sign_in.prove_with_code(request, world.operator, "000000")


def frozen(world: World) -> Freeze:
    until = later()
    return freezes.freeze(**as_(world.approver), reason="audit", starts_at=None, ends_at=until)


def set_zone(world: World) -> None:
    administrator = User.objects.create_superuser("zoe")
    time_zones.set_time_zone(1, "Asia/Tokyo", **as_(administrator))


def see_override(world: World) -> None:
    pause = world.pushed()
    override = HoldOverride.objects.create(pause=pause, by=pause, at=timezone.now())
    overrides.mark_seen(override, **as_(world.operator))


LEAVE: dict[str, tuple[Action, Callable[[World], object]]] = {
    "accounts.factors.factors.add": (Action.ACCOUNT_FACTOR_ADDED, add_factor),
    "accounts.factors.factors.add_app": (Action.ACCOUNT_FACTOR_ADDED, add_app),
    "accounts.factors.factors.remove": (Action.ACCOUNT_FACTOR_REMOVED, remove_factor),
    "accounts.factors.factors.renew_recovery_codes": (
        Action.ACCOUNT_FACTOR_ADDED,
        lambda w: factors.renew_recovery_codes(w.operator, **with_factor(w)),
    ),
    "accounts.factors.factors.reset": (
        Action.ACCOUNT_FACTOR_REMOVED,
        lambda w: factors.reset(w.operator, why="lost", **with_factor(w)),
    ),
    "accounts.sign_in.failed": (Action.ACCOUNT_SIGN_IN_FAILED, fail_the_second_step),
    "accounts.sign_in.prove_with_code": (Action.ACCOUNT_SIGN_IN_FAILED, fail_the_second_step),
    "accounts.reauth.prove": (Action.ACCOUNT_PROVED, prove_again),
    "accounts.sessions.end": (Action.ACCOUNT_SESSION_ENDED, end_a_session),
    "accounts.sessions.end_all": (Action.ACCOUNT_SESSION_ENDED, end_all_sessions),
    "accounts.sessions.end_due": (Action.ACCOUNT_SESSION_ENDED, end_a_session_that_is_over),
    "changes.approvals.approve": (Action.CHANGE_APPROVED, approve),
    "changes.approvals.require": (Action.CHANGE_APPROVAL_EXPIRED, let_an_approval_expire),
    "changes.approvals.reject": (
        Action.CHANGE_REJECTED,
        lambda w: approvals.reject(w.awaiting(), comment="no", **as_(w.approver)),
    ),
    "proof.anchoring.anchor_head": (Action.AUDIT_ANCHORED, lambda w: anchoring.anchor_head()),
    "proof.anchoring.anchor_if_due": (
        Action.AUDIT_ANCHORED,
        lambda w: anchoring.anchor_if_due(),
    ),
    "proof.anchoring.acknowledge": (Action.AUDIT_ACKNOWLEDGED, acknowledge),
    "trail_files.archive.carry_out": (Action.AUDIT_ARCHIVED, carry_out_an_archive),
    "trail_files.archive.request": (Action.AUDIT_ARCHIVE_REQUESTED, ask_for_archive),
    "saved_views.views.save": (
        Action.VIEW_SHARED,
        lambda w: views.save("late", "", is_shared=True, **as_(w.operator)),
    ),
    "saved_views.views.remove": (Action.VIEW_REMOVED, remove_a_shared_view),
    "table_files.batch_list.export": (Action.BATCHES_EXPORTED, export_batches),
    "trail_files.exports.export": (Action.AUDIT_EXPORTED, export),
    "proof.last_seen.check": (Action.AUDIT_ROLLED_BACK, roll_back),
    "trail.sign_offs.draw_sample": (
        Action.AUDIT_SAMPLED,
        lambda w: sign_offs.draw_sample(TrailFilter(), 2, **as_(w.auditor)),
    ),
    "trail.sign_offs.mark_entries": (
        Action.AUDIT_REVIEWED,
        lambda w: sign_offs.mark_entries([1, 2], comment="seen", **as_(w.auditor)),
    ),
    "trail.sign_offs.mark_filtered": (
        Action.AUDIT_REVIEWED,
        lambda w: sign_offs.mark_filtered(TrailFilter(), comment="seen", **as_(w.auditor)),
    ),
    "trail.sign_offs.sign_off": (Action.AUDIT_SIGNED_OFF, sign_off),
    "proof.verdicts.record": (Action.AUDIT_VERIFIED, verify_at_night),
    "proof.verdicts.record_once": (
        Action.AUDIT_VERIFIED,
        lambda _: verdicts.record_once(Verdict(others=["broken"])),
    ),
    "proof.watch.nightly": (Action.AUDIT_VERIFIED, verify_at_night),
    "changes.lifecycle.confirm": (Action.CHANGE_CONFIRMED, lambda w: w.confirmed()),
    "changes.lifecycle.pause_now": (
        Action.CHANGE_CONFIRMED,
        lambda w: lifecycle.pause_now(Batch.objects.get(), reason="x", **as_(w.operator)),
    ),
    "changes.lifecycle.discard": (
        Action.CHANGE_DISCARDED,
        lambda w: lifecycle.discard(w.draft(), **as_(w.operator)),
    ),
    "changes.lifecycle.finish": (Action.CHANGE_FINISHED, finish),
    "runs.run_state.halt": (Action.CHANGE_HALTED, halt),
    "changes.lifecycle.postpone": (Action.CHANGE_RESCHEDULED, postpone),
    "changes.lifecycle.proceed": (Action.CHANGE_CONTINUED, proceed),
    "changes.lifecycle.stop": (
        Action.CHANGE_CANCELLED,
        lambda w: lifecycle.stop(w.confirmed(starts_at=later()), **as_(w.operator)),
    ),
    "changes.drafts.draft": (Action.CHANGE_REQUESTED, lambda w: w.draft()),
    "changes.drafts.draft_resume": (
        Action.CHANGE_REQUESTED,
        lambda w: drafts.draft_resume(w.pushed(), **as_(w.operator)),
    ),
    "changes.drafts.draft_retry": (Action.CHANGE_REQUESTED, retry),
    "changes.drafts.draft_undo": (
        Action.CHANGE_REQUESTED,
        lambda w: drafts.draft_undo(w.pushed(), **as_(w.operator)),
    ),
    "audit.denials.record": (Action.ACCESS_DENIED, recording_of_denials),
    "audit.denials.sum_up_due": (Action.ACCESS_DENIALS_SUMMED_UP, sum_up),
    "audit.denials.record_request": (Action.ACCESS_DENIED, refuse_a_request),
    "changes.drafts.drop": (
        Action.CHANGE_DISCARDED,
        lambda w: drafts.drop(w.draft(), audit.SYSTEM, "why not"),
    ),
    "changes.drafts.expire_drafts": (Action.CHANGE_DISCARDED, lapse),
    "changes.emergency.draft_pause": (
        Action.CHANGE_REQUESTED,
        lambda w: emergency.draft_pause(**as_(w.operator)),
    ),
    "mirror.store.follow_to_campaign": (
        Action.BATCH_CHANGED_OUTSIDE,
        lambda w: store.follow_to_campaign(in_campaign(2), timezone.now()),
    ),
    "mirror.store.apply_page": (Action.BATCH_CHANGED_OUTSIDE, see_an_outside_change),
    "mirror.store.mark_missing": (
        Action.BATCH_MISSING,
        lambda w: store.mark_missing([BATCH], timezone.now()),
    ),
    "changes.timed_pauses.move_resume": (
        Action.RESUME_MOVED,
        lambda w: timed_pauses.move_resume(w.pushed(), later(), **as_(w.operator)),
    ),
    "release_windows.freezes.freeze": (Action.RELEASES_FROZEN, lambda w: frozen(w)),
    "release_windows.freezes.end": (
        Action.FREEZE_ENDED,
        lambda w: freezes.end(frozen(w), **as_(w.approver), reason="over"),
    ),
    "mirror.time_zones.set_time_zone": (Action.CAMPAIGN_ZONE_SET, set_zone),
    "holds.overrides.mark_seen": (Action.OVERRIDE_SEEN, see_override),
    "changes.timed_pauses.resume_due": (Action.CHANGE_REQUESTED, end_pause),
    "push.driver.drive": (Action.BATCH_APPLIED, lambda w: w.pushed()),
    "runs.read_back.all_due": (Action.CHANGE_READ_BACK, read_all_back),
    "runs.read_back.read_back": (
        Action.CHANGE_READ_BACK,
        lambda w: read_back.read_back(w.pushed()),
    ),
    "mirror.shared_ids.end_alarms": (Action.BATCH_ID_UNIQUE, end_an_alarm),
    "mirror.shared_ids.raise_alarms": (
        Action.BATCH_ID_SHARED,
        lambda w: shared_ids.raise_alarms({BATCH: [1, 2]}),
    ),
    "mirror.sync.run_sync": (Action.SYNC_FAILED, fail_to_sync),
    "mirror.sync.record_request": (
        Action.SYNC_REQUESTED,
        lambda w: sync.record_request(as_(w.operator)["actor"], "full"),
    ),
}
"""What each writing function leaves in the trail, and how it comes to do so."""


def test_every_service_that_writes_is_known_to_leave_an_entry_or_to_be_part_of_one() -> None:
    writing = writing_functions() | {
        "changes.lifecycle.discard",
        "changes.emergency.draft_pause",
        "push.driver.drive",
    }
    assert writing - LEAVE.keys() - PART_OF.keys() == set()
    assert (LEAVE.keys() | PART_OF.keys()) - writing == set()


@pytest.mark.parametrize("name", sorted(LEAVE))
def test_it_leaves_an_entry(world: World, name: str) -> None:
    action, doing = LEAVE[name]
    known = set(AuditEntry.objects.values_list("sequence", flat=True))
    doing(world)
    left = AuditEntry.objects.exclude(sequence__in=known)
    assert action in set(left.values_list("action", flat=True))
