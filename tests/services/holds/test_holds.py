"""A batch that several people paused stays paused until the last of them lets go."""

from __future__ import annotations

import datetime as dt
import importlib
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from batchops import audit
from batchops.models import AuditEntry, Batch, Change, ChangeItem, Hold, HoldOverride, SyncRun
from batchops.models.hold import OUTSIDE
from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.services import overriding
from batchops.services.changes import drafts, lifecycle, timed_pauses
from batchops.services.errors import InvalidInput, NotAllowed
from batchops.services.holds import covered
from batchops.services.mirror import sync
from batchops.syllable.patch import BatchPatch
from tests.services.push.world import PAUSE, RESUME, confirmed, drive_to_the_end, fill

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def ben(make_person: Callable[..., User]) -> User:
    return make_person("ben", "Operator")


@pytest.fixture
def lead(make_person: Callable[..., User]) -> User:
    """May lift the holds of others."""
    return make_person("lena", "Operator", "Approver")


def did(user: User, patch: BatchPatch) -> Change:
    change = confirmed(user, patch)
    drive_to_the_end(change, user)
    return change


def drafted(user: User, patch: BatchPatch = RESUME) -> Change:
    return drafts.draft(
        Batch.objects.all(),
        patch,
        user=user,
        actor=audit.Actor.of_user(user),
        source=Change.Source.ACTION,
    )


def run(change: Change, user: User, **terms: object) -> Change:
    actor = audit.Actor.of_user(user)
    change = lifecycle.confirm(change, user=user, actor=actor, reason="sorted out", **terms)  # type: ignore[arg-type]
    drive_to_the_end(change, user)
    return change


def standing() -> list[tuple[str, str]]:
    holds = Hold.objects.filter(lifted_at=None).order_by("batch_id", "pk")
    return [(hold.batch_id, hold.owner) for hold in holds]


def paused() -> set[bool | None]:
    return set(Batch.objects.values_list("paused", flat=True))


def test_a_pause_leaves_a_hold_on_what_it_paused_and_what_it_found_paused(
    sandbox: EmbeddedSandbox, operator: User, ben: User
) -> None:
    [one] = fill(sandbox, 1)
    did(operator, PAUSE)
    did(ben, PAUSE)
    assert standing() == [(one, "olivia"), (one, "ben")]


def test_who_resumes_lifts_their_own_hold_and_the_last_one_resumes(
    sandbox: EmbeddedSandbox, operator: User, ben: User
) -> None:
    [one] = fill(sandbox, 1)
    did(operator, PAUSE)
    did(ben, PAUSE)
    sandbox.reset_journal()

    run(drafted(ben), ben)
    assert standing() == [(one, "olivia")]
    assert paused() == {True}
    assert not sandbox.journal(method="PUT")
    assert Batch.objects.get().paused_by is not None
    entry = AuditEntry.objects.get(action="change.holds_lifted")
    assert entry.detail["holds"] == 1

    did(operator, RESUME)
    assert standing() == []
    assert paused() == {False}
    applied = AuditEntry.objects.filter(action="batch.applied").latest("sequence")
    assert applied.detail["lifted"] == ["olivia: a test"]


def test_a_second_person_lifts_nothing_and_sees_whose_hold_it_is(
    sandbox: EmbeddedSandbox, operator: User, ben: User
) -> None:
    fill(sandbox, 2)
    pause = did(operator, PAUSE)
    change = drafted(ben)
    assert set(change.items.values_list("plan", "message")) == {
        (ChangeItem.Plan.SKIP, covered.KEPT)
    }
    [holder] = covered.holders(change)
    assert (holder.hold.change, holder.number, holder.is_kept) == (pause, 2, True)
    with pytest.raises(InvalidInput, match="Nothing is left to do"):
        run(change, ben)
    assert paused() == {True}


def test_overriding_takes_a_permission_and_lifts_what_was_seen(
    sandbox: EmbeddedSandbox, operator: User, ben: User, lead: User
) -> None:
    fill(sandbox, 1)
    did(operator, PAUSE)
    with pytest.raises(NotAllowed):
        overriding.draft_again(drafted(ben), user=ben, actor=audit.Actor.of_user(ben))
    first = drafted(lead)
    again = overriding.draft_again(first, user=lead, actor=audit.Actor.of_user(lead))
    first.refresh_from_db()
    assert first.state == "discarded"
    run(again, lead)
    assert standing() == []
    assert paused() == {False}
    confirmation = AuditEntry.objects.get(action="change.confirmed", change_id=again.pk)
    assert (confirmation.detail["lifts"], confirmation.reason) == ("all", "sorted out")


def test_a_hold_that_came_after_the_draft_keeps_its_batch_paused(
    sandbox: EmbeddedSandbox, operator: User, ben: User, lead: User
) -> None:
    fill(sandbox, 1)
    did(operator, PAUSE)
    change = overriding.draft_again(drafted(lead), user=lead, actor=audit.Actor.of_user(lead))
    did(ben, PAUSE)
    run(change, lead)
    item = change.items.get()
    assert (item.state, item.message) == (
        "conflict",
        "Held by ben since it was drafted: left paused.",
    )
    assert paused() == {True}


def test_a_protected_hold_is_lifted_by_others_only_with_approval(
    sandbox: EmbeddedSandbox, operator: User, approver: User, lead: User
) -> None:
    fill(sandbox, 1)
    pause = run(drafted(operator, PAUSE), operator, protected=True)
    actor = audit.Actor.of_user(lead)
    with pytest.raises(NotAllowed, match="protected"):
        later = timezone.now() + dt.timedelta(hours=1)
        timed_pauses.move_resume(pause, later, user=lead, actor=actor, reason="enough")
    change = overriding.draft_again(drafted(lead), user=lead, actor=actor)
    change = lifecycle.confirm(change, user=lead, actor=actor, reason="cleared by legal")
    assert change.state == "awaiting_approval"
    assert change.approval_reason == "It lifts protected holds of others."


def test_the_end_of_a_timed_pause_lifts_its_own_hold_alone(
    sandbox: EmbeddedSandbox, operator: User, ben: User
) -> None:
    [one] = fill(sandbox, 1)
    end = timezone.now() + dt.timedelta(hours=1)
    pause = run(drafted(operator, PAUSE), operator, resume_at=end)
    did(ben, PAUSE)
    Change.objects.filter(pk=pause.pk).update(resume_at=timezone.now())
    [ending] = timed_pauses.resume_due()
    drive_to_the_end(ending, operator)
    assert standing() == [(one, "ben")]
    assert paused() == {True}


def test_undoing_a_resume_puts_the_holds_back(
    sandbox: EmbeddedSandbox, operator: User, lead: User
) -> None:
    [one] = fill(sandbox, 1)
    did(operator, PAUSE)
    again = overriding.draft_again(drafted(lead), user=lead, actor=audit.Actor.of_user(lead))
    change = run(again, lead)
    run(drafts.draft_undo(change, user=lead, actor=audit.Actor.of_user(lead)), lead)
    assert standing() == [(one, "olivia")]
    assert paused() == {True}


def test_another_person_does_not_undo_a_pause_without_overriding(
    sandbox: EmbeddedSandbox, operator: User, ben: User
) -> None:
    fill(sandbox, 1)
    pause = did(operator, PAUSE)
    undo = drafts.draft_undo(pause, user=ben, actor=audit.Actor.of_user(ben))
    assert undo.items.get().message == covered.KEPT


def test_what_is_resumed_outside_is_held_by_nobody(
    sandbox: EmbeddedSandbox, operator: User
) -> None:
    [one] = fill(sandbox, 1)
    did(operator, PAUSE)
    sandbox.edit_batch(one, paused=False)
    sync.run_sync(SyncRun.Kind.FULL)
    assert paused() == {False}
    assert standing() == []


def test_the_preview_shows_whose_holds_stand_and_lets_only_the_permitted_override(
    sandbox: EmbeddedSandbox, client: Client, operator: User, ben: User, lead: User
) -> None:
    fill(sandbox, 2)
    did(operator, PAUSE)
    for person, may in ((ben, False), (lead, True)):
        client.force_login(person)
        change = drafted(person)
        page = client.get(reverse("admin:batchops_change_preview", args=[change.pk]))
        text = page.content.decode()
        assert "Holds on these batches" in text
        assert "a test" in text
        assert ("Lift the holds of others as well" in text) is may
        answer = client.post(reverse("admin:batchops_change_override", args=[change.pk]))
        again = Change.objects.filter(requested_by=person, lifts="all")
        assert answer.status_code == 302
        assert again.exists() is may
    assert "Will be lifted." in client.get(answer["Location"]).content.decode()


def test_a_pause_ends_by_itself_only_when_all_that_holds_it_does(
    sandbox: EmbeddedSandbox, client: Client, operator: User, ben: User
) -> None:
    [one] = fill(sandbox, 1)
    did(operator, PAUSE)
    run(drafted(ben, PAUSE), ben, resume_at=timezone.now() + dt.timedelta(hours=1))
    assert [batch.pk for batch in Batch.objects.all().paused_with_no_end()] == [one]
    client.force_login(ben)
    page = client.get(reverse("admin:batchops_batch_change", args=[one])).content.decode()
    assert "olivia" in page
    assert "Held by" in page
    for name in ("olivia", "ben"):
        found = client.get(reverse("admin:batchops_batch_changelist") + f"?paused_by={name}")
        assert one in found.content.decode()


def test_a_pause_made_outside_is_a_hold_of_outside_which_no_end_of_a_pause_lifts(
    sandbox: EmbeddedSandbox, client: Client, operator: User, ben: User
) -> None:
    one, other = fill(sandbox, 2)
    sandbox.edit_batch(one, paused=True, last_updated_by="console@example.com")
    sync.run_sync(SyncRun.Kind.FULL)
    outside = "outside batchops (console@example.com)"
    assert standing() == [(one, outside)]
    pause = did(operator, PAUSE)
    assert standing() == [(one, outside), (one, "olivia"), (other, "olivia")]

    client.force_login(ben)
    batches = reverse("admin:batchops_batch_changelist")
    listed = client.get(batches).content.decode()
    assert "2 holds: <bdi>outside batchops (console@example.com)</bdi>, no end; " in listed
    found = client.get(f"{batches}?paused_by=:outside").content.decode()
    assert one in found
    assert other not in found
    Hold.objects.filter(batch=other).update(placed_at=timezone.now() - dt.timedelta(days=8))
    found = client.get(f"{batches}?held_for=7d").content.decode()
    assert other in found
    assert one not in found

    exactly = drafts.draft_resume(pause, user=operator, actor=audit.Actor.of_user(operator))
    exactly = run(exactly, operator)
    assert standing() == [(one, outside)]
    assert paused() == {True, False}
    run(drafts.draft_undo(exactly, user=operator, actor=audit.Actor.of_user(operator)), operator)
    assert standing() == [(one, outside), (one, "olivia"), (other, "olivia")]
    assert paused() == {True}

    did(operator, RESUME)
    assert standing() == []
    assert paused() == {False}


def test_the_owner_is_told_until_they_have_seen_it(
    sandbox: EmbeddedSandbox, client: Client, operator: User, ben: User, lead: User
) -> None:
    fill(sandbox, 2)
    pause = did(operator, PAUSE)
    again = overriding.draft_again(drafted(lead), user=lead, actor=audit.Actor.of_user(lead))
    run(again, lead)
    entry = AuditEntry.objects.get(action="change.holds_overridden")
    assert (entry.change_id, entry.detail["by"], entry.detail["why"]) == (
        pause.pk,
        "lena",
        "sorted out",
    )
    words = "lifted your hold on 2 batches"
    override = HoldOverride.objects.get()
    seen = reverse("admin:batchops_change_seen", args=[override.pk])
    for person in (ben, lead):
        client.force_login(person)
        assert words not in client.get("/").content.decode()
        client.post(seen)
    client.force_login(operator)
    assert words in client.get("/").content.decode()
    client.post(seen)
    assert words not in client.get("/").content.decode()
    said = AuditEntry.objects.get(action="change.override_seen")
    assert said.actor_name == "olivia"


def test_ending_another_persons_pause_lifts_the_holds_of_that_pause_alone(
    sandbox: EmbeddedSandbox, operator: User, ben: User, lead: User
) -> None:
    [one] = fill(sandbox, 1)
    pause = did(operator, PAUSE)
    did(ben, PAUSE)
    actor = audit.Actor.of_user(lead)
    first = drafts.draft_resume(pause, user=lead, actor=actor)
    run(overriding.draft_again(first, user=lead, actor=actor), lead)
    assert standing() == [(one, "ben")]
    assert paused() == {True}


def test_the_last_hold_stays_where_the_others_let_go_after_the_draft(
    sandbox: EmbeddedSandbox, operator: User, ben: User
) -> None:
    """Both saw the other's hold: a batch that stays paused is never held by nobody."""
    [one] = fill(sandbox, 1)
    did(operator, PAUSE)
    did(ben, PAUSE)
    of_ben = drafted(ben)
    run(drafted(operator), operator)
    assert standing() == [(one, "ben")]
    actor = audit.Actor.of_user(ben)
    with pytest.raises(InvalidInput, match="Nothing is left to do"):
        lifecycle.confirm(of_ben, user=ben, actor=actor, reason="sorted out")
    assert standing() == [(one, "ben")]
    did(ben, RESUME)
    assert paused() == {False}


def test_what_is_paused_already_is_held_when_holds_come(
    sandbox: EmbeddedSandbox, operator: User
) -> None:
    ours, theirs, _ = fill(sandbox, 3)
    sandbox.edit_batch(theirs, paused=True, last_updated_by="console@example.com")
    sync.run_sync(SyncRun.Kind.FULL)
    confirmation = confirmed(operator, PAUSE, Batch.objects.filter(pk=ours))
    drive_to_the_end(confirmation, operator)
    expected = standing()
    Hold.objects.all().delete()
    migration = importlib.import_module("batchops.migrations.0007_hold_what_is_paused")
    with connection.cursor() as cursor:
        cursor.execute(migration.HOLD)
    assert (
        standing() == expected == [(ours, "olivia"), (theirs, f"{OUTSIDE} (console@example.com)")]
    )
