"""From a draft to a confirmed change, and everything that speaks against it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.utils import timezone
from pytest_django import Settings

from batchops import audit, permissions
from batchops.models import AuditEntry, Batch, Change, ChangeItem, ChangeState
from batchops.services.changes import drafts, lifecycle
from batchops.services.errors import (
    EmptySelection,
    InvalidInput,
    NotAllowed,
    WrongState,
)
from batchops.syllable.patch import BatchPatch
from tests.services.changes.world import PAUSE, RESUME, batch, batches, confirm, draft

pytestmark = pytest.mark.django_db


def actions() -> list[str]:
    """What the trail tells of changes and batches, in order."""
    told = AuditEntry.objects.order_by("sequence").values_list("action", flat=True)
    return [action for action in told if action.startswith(("change.", "batch."))]


def without(user: User, *names: str) -> User:
    """The person as the next request would load them, without some of their groups."""
    user.groups.remove(*Group.objects.filter(name__in=names))
    return User.objects.get(pk=user.pk)


def test_what_was_selected_is_frozen_with_what_is_foreseen_for_each(operator: User) -> None:
    batch("live")
    batch("held", paused=True)
    batch("failed", status="FAILED")
    change = draft(operator)
    plans = dict(change.items.values_list("batch_id", "plan"))
    assert plans == {"live": "act", "held": "already", "failed": "skip"}
    batch("too-late")
    assert change.items.count() == change.item_count == 3


def test_an_empty_selection_leaves_no_draft_behind(operator: User) -> None:
    with pytest.raises(EmptySelection, match="No batch is selected"):
        draft(operator)
    assert not Change.objects.exists()
    assert actions() == []


def test_a_patch_that_asks_for_nothing_is_refused(operator: User) -> None:
    batch()
    with pytest.raises(InvalidInput, match="choose at least one value"):
        draft(operator, BatchPatch())


def test_an_expiry_in_the_past_needs_expire_now(operator: User) -> None:
    batch()
    past = BatchPatch(expires_on=timezone.now() - dt.timedelta(minutes=1))
    with pytest.raises(InvalidInput) as refused:
        draft(operator, past)
    assert refused.value.field == "expires_on"
    assert draft(operator, past, expire_now=True).item_count == 1


def test_a_confirmed_draft_is_queued_and_recorded_with_what_is_skipped(operator: User) -> None:
    batch("live")
    batch("failed", status="FAILED")
    change = confirm(draft(operator), operator, reason="  wrong list ", reference="OPS-1")
    assert (change.state, change.reason, change.reference) == ("queued", "wrong list", "OPS-1")
    assert change.counts_json == {"pending": 1, "skipped": 1}
    assert actions() == ["change.requested", "change.confirmed", "batch.skipped"]


@pytest.mark.parametrize("reason", ["", "   ", "x" * 2001])
def test_a_reason_is_needed_and_bounded(operator: User, reason: str) -> None:
    batch()
    change = draft(operator)
    with pytest.raises(InvalidInput) as refused:
        confirm(change, operator, reason=reason)
    assert refused.value.field == "reason"
    change.refresh_from_db()
    assert change.state == ChangeState.DRAFT


def test_a_draft_confirmed_twice_runs_once(operator: User) -> None:
    batch()
    change = draft(operator)
    same_in_another_tab = Change.objects.get(pk=change.pk)
    confirm(change, operator)
    with pytest.raises(WrongState, match="already been confirmed"):
        confirm(same_in_another_tab, operator, reason="another reason")
    change.refresh_from_db()
    assert change.reason == "wrong list"
    assert actions().count("change.confirmed") == 1


def test_nobody_else_confirms_or_discards_a_draft(
    operator: User, make_person: Callable[..., User]
) -> None:
    batch()
    change = draft(operator)
    other = make_person("otto", "Operator")
    with pytest.raises(NotAllowed, match="Only its author"):
        confirm(change, other)
    with pytest.raises(NotAllowed, match="Only its author"):
        lifecycle.discard(change, user=other, actor=audit.Actor.of_user(other))
    assert actions() == ["change.requested", "change.denied", "change.denied"]


def test_a_discarded_draft_cannot_be_confirmed(operator: User) -> None:
    batch()
    change = draft(operator)
    lifecycle.discard(change, user=operator, actor=audit.Actor.of_user(operator))
    with pytest.raises(WrongState):
        confirm(change, operator)
    assert not change.items.exists()


def test_a_permission_taken_away_after_the_review_stops_the_confirmation(operator: User) -> None:
    batch(paused=True)
    change = draft(operator, RESUME)
    operator = without(operator, "Operator")
    with pytest.raises(NotAllowed, match="let outreach reach more people"):
        confirm(change, operator)
    change.refresh_from_db()
    assert change.state == ChangeState.DRAFT
    denied = AuditEntry.objects.get(action="change.denied")
    assert denied.outcome == "denied"
    assert denied.detail["permission"] == permissions.EXPAND_OUTREACH


def test_who_may_only_pause_cannot_resume_and_the_try_is_recorded(
    make_person: Callable[..., User],
) -> None:
    batch("live")
    batch("held", paused=True)
    person = make_person("petra", "Viewer")
    person.user_permissions.add(permission("request_change"))
    person = User.objects.get(pk=person.pk)
    assert draft(person, PAUSE).state == ChangeState.DRAFT
    with pytest.raises(NotAllowed):
        draft(person, RESUME)
    assert actions()[-1] == "change.denied"


def test_who_cannot_resume_cannot_let_a_pause_end_by_itself(
    make_person: Callable[..., User],
) -> None:
    batch()
    person = make_person("petra", "Viewer")
    person.user_permissions.add(permission("request_change"))
    person = User.objects.get(pk=person.pk)
    with pytest.raises(NotAllowed):
        confirm(draft(person), person, resume_at=timezone.now() + dt.timedelta(hours=1))


def permission(codename: str) -> Permission:
    return Permission.objects.get(codename=codename, content_type__app_label="batchops")


@pytest.mark.parametrize("typed", [None, 0, 2, 4])
def test_a_wrong_number_is_refused_above_the_limit(
    operator: User, settings: Settings, typed: int | None
) -> None:
    settings.TYPED_CONFIRMATION_ABOVE = 2
    batches(3)
    batch("already-so", paused=True)
    change = draft(operator)
    with pytest.raises(InvalidInput, match=r"\(3\)") as refused:
        confirm(change, operator, typed_count=typed)
    assert refused.value.field == "typed_count"
    assert confirm(change, operator, typed_count=3).state == ChangeState.QUEUED


def test_up_to_the_limit_nothing_has_to_be_typed(operator: User, settings: Settings) -> None:
    settings.TYPED_CONFIRMATION_ABOVE = 3
    batches(3)
    assert confirm(draft(operator), operator).state == ChangeState.QUEUED


def test_a_draft_of_which_all_is_skipped_cannot_be_confirmed(operator: User) -> None:
    batch(status="CANCELED")
    with pytest.raises(InvalidInput, match="every batch of this draft is skipped"):
        confirm(draft(operator), operator)


@pytest.mark.parametrize(
    "fate",
    [
        {"status": "FAILED"},
        {"status": "CANCELED"},
        {"status": "EXPIRED"},
        {"missing_since": timezone.now()},
        {"deleted_at": timezone.now()},
    ],
)
def test_a_draft_whose_batches_all_became_ineligible_cannot_be_confirmed(
    operator: User, fate: dict[str, object]
) -> None:
    batches(2)
    change = draft(operator)
    Batch.objects.update(**fate)
    with pytest.raises(InvalidInput, match="None of these batches can still be changed"):
        confirm(change, operator)
    change.refresh_from_db()
    assert change.state == ChangeState.DRAFT


def test_one_batch_that_is_left_is_enough(operator: User) -> None:
    batches(2)
    change = draft(operator)
    Batch.objects.filter(pk="b-0").update(status="FAILED")
    assert confirm(change, operator).state == ChangeState.QUEUED


def test_a_schedule_waits_for_its_time(operator: User) -> None:
    batch()
    later = timezone.now() + dt.timedelta(hours=1)
    change = confirm(draft(operator), operator, starts_at=later)
    assert change.state == ChangeState.SCHEDULED
    lifecycle.queue_due()
    change.refresh_from_db()
    assert change.state == ChangeState.SCHEDULED
    Change.objects.update(starts_at=timezone.now() - dt.timedelta(seconds=1))
    assert lifecycle.queue_due() == 1
    change.refresh_from_db()
    assert change.state == ChangeState.QUEUED


@pytest.mark.parametrize(
    ("field", "hours"),
    [("starts_at", 0), ("starts_at", -1), ("starts_at", 24 * 400), ("resume_at", -1)],
)
def test_a_time_that_makes_no_sense_is_refused_at_its_field(
    operator: User, field: str, hours: int
) -> None:
    batch()
    change = draft(operator)
    when = timezone.now() + dt.timedelta(hours=hours)
    with pytest.raises(InvalidInput) as refused:
        confirm(change, operator, **{field: when})
    assert refused.value.field == field


def test_a_pause_cannot_end_before_it_begins(operator: User) -> None:
    batch()
    change = draft(operator)
    start = timezone.now() + dt.timedelta(hours=2)
    with pytest.raises(InvalidInput, match="end before it begins") as refused:
        confirm(change, operator, starts_at=start, resume_at=start - dt.timedelta(minutes=1))
    assert refused.value.field == "resume_at"


def test_only_a_pause_can_end_by_itself(operator: User) -> None:
    batch(paused=True)
    with pytest.raises(InvalidInput, match="Only a pause"):
        confirm(draft(operator, RESUME), operator, resume_at=timezone.now() + dt.timedelta(hours=1))


def test_a_scheduled_change_can_be_cancelled(operator: User) -> None:
    batch()
    change = confirm(draft(operator), operator, starts_at=timezone.now() + dt.timedelta(hours=1))
    stopped = lifecycle.stop(change, user=operator, actor=audit.Actor.of_user(operator))
    assert stopped.state == ChangeState.STOPPED
    assert stopped.counts_json == {"stopped": 1}
    assert actions()[-2:] == ["change.cancelled", "batch.stopped"]
    with pytest.raises(WrongState):
        lifecycle.proceed(stopped, user=operator, actor=audit.Actor.of_user(operator))


def test_a_draft_lapses_after_a_day(operator: User) -> None:
    batch()
    change = draft(operator)
    assert drafts.expire_drafts() == 0
    Change.objects.update(created_at=timezone.now() - dt.timedelta(days=1, minutes=1))
    assert drafts.expire_drafts() == 1
    change.refresh_from_db()
    assert change.state == ChangeState.DISCARDED
    assert not ChangeItem.objects.exists()
    assert actions()[-1] == "change.discarded"


def test_a_viewer_cannot_ask_for_anything(viewer: User) -> None:
    batch()
    with pytest.raises(NotAllowed, match="may not request changes"):
        draft(viewer)
    assert not Change.objects.exists()
    assert actions() == ["change.denied"]
