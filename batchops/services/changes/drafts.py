"""Drafts: a selection frozen into items, with what is foreseen for each, before anyone confirms.

The right is checked before anything is written, and no lock is held while many are frozen.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from batchops import audit, permissions
from batchops.models import (
    DRAFT_STATES,
    ENDED_STATES,
    TROUBLE_STATES,
    Action,
    Batch,
    Change,
    ChangeItem,
    ChangeState,
    Hold,
    ItemState,
)
from batchops.services import authorization
from batchops.services.changes import eligibility, fingerprints, freezing
from batchops.services.errors import EmptySelection, InvalidInput, WrongState
from batchops.services.holds import covered
from batchops.services.mirror import store
from batchops.syllable.patch import BatchPatch, InvalidPatch, Values

if TYPE_CHECKING:
    from django.contrib.auth.models import User

Plan, Source = ChangeItem.Plan, Change.Source

DRAFT_LIFETIME: Final = dt.timedelta(days=1)
"""How long an unconfirmed draft is kept."""
DRAFTING_LIFETIME: Final = dt.timedelta(minutes=15)
"""After so long a draft that is still being made was broken off."""


@authorization.records_denials
def draft(
    batches: QuerySet[Batch],
    patch: BatchPatch,
    *,
    then: QuerySet[Batch] | None = None,
    user: User,
    actor: audit.Actor,
    source: Change.Source,
    selection: str = "",
    expire_now: bool = False,
    priority: int = Change.Priority.NORMAL,
    lifts: Change.Lifts = Change.Lifts.OWN,
) -> Change:
    """Freeze a selection and what is asked of it into a draft, to be reviewed and confirmed.

    `expire_now` allows an expiry that is not in the future. `lifts`: whose holds it may lift.
    `then`: what comes after these, as far as it is not among them.
    Raises EmptySelection, InvalidInput (with the field), or NotAllowed when the person may not do
    this to some of the batches.
    """
    now = timezone.now()
    authorization.require_any(user, actor)
    if patch.paused is False:
        authorization.require(user, permissions.EXPAND_OUTREACH, actor)
    _require_may_lift(lifts, user, actor)
    check_patch(patch, now, expire_now=expire_now)
    change = _new_change(
        user, actor, source, patch, selection=selection, priority=priority, lifts=lifts
    )
    if not user.has_perm(permissions.EXPAND_OUTREACH):
        _require_nothing_expanded(
            batches.filter(eligibility.expands_outreach(patch, now)), patch, user, actor
        )
    with _drafting(change, actor):
        freezing.selection(change, batches, now)
        if then is not None:
            taken = change.items.filter(batch=OuterRef("pk"))
            freezing.selection(change, then.exclude(Exists(taken)), now)
        return _finish_draft(change, user, actor)


def check_patch(patch: BatchPatch, now: dt.datetime, *, expire_now: bool = False) -> None:
    """Raise InvalidInput for a patch that asks for nothing, or for an expiry in the past."""
    if not patch:
        raise InvalidInput("Nothing would change: choose at least one value to change.")
    expiry = patch.expires_on
    if isinstance(expiry, dt.datetime) and expiry <= now and not expire_now:
        raise InvalidInput(
            "This expiry is in the past. To end outreach at once, choose “expire now”.",
            "expires_on",
        )


@authorization.records_denials
def draft_retry(change: Change, *, user: User, actor: audit.Actor) -> Change:
    """A draft over the batches of a change that did not get what was asked, seen afresh.

    Raises as `draft` does, and WrongState before the change has ended.
    """
    authorization.require(user, permissions.CONTROL_CHANGE, actor, change)
    authorization.require_for(change, user, actor)
    follower = _follower(change, Source.RETRY, change.patch, user, actor)
    follower.reason = change.reason
    follower.selection = f"What failed in change {change.short_id}"
    failed = change.items.filter(state__in=TROUBLE_STATES)
    if failed.filter(patch_json__isnull=False).exists():

        def planned() -> Iterator[ChangeItem]:
            now = timezone.now()
            for item in _with_kept(failed, follower):
                seen = Values.of(item.batch)
                yield _item(follower, item, item.requested(change), seen, now=now)

        return _drafted_each(follower, planned, user, actor)
    with _drafting(follower, actor):
        batches = Batch.objects.filter(pk__in=failed.values("batch_id"))
        freezing.selection(follower, batches, timezone.now())
        return _finish_draft(follower, user, actor)


@authorization.records_denials
def draft_undo(
    change: Change,
    *,
    user: User,
    actor: audit.Actor,
    lifts: Change.Lifts = Change.Lifts.OWN,
) -> Change:
    """A draft that puts back what each applied batch had before a change, and the holds.

    Batches that are no longer as the change left them become conflicts at once. What an earlier
    undo has put back is left out.
    """
    authorization.require_any(user, actor, change)
    _require_may_lift(lifts, user, actor, change)
    follower = _follower(change, Source.UNDO, BatchPatch(), user, actor)
    follower.lifts = lifts
    # Where it moved holds alone, these are put back or lifted.
    held = Hold.objects.filter(batch=OuterRef("batch"), lifted_at=None, change=change)
    lifted = Hold.objects.filter(batch=OuterRef("batch"), lifted_by=change)
    moved = change.items.filter(
        Q(state=ItemState.APPLIED)
        | Q(Exists(held), state=ItemState.UNCHANGED)
        | Q(Exists(lifted), state=ItemState.SKIPPED)
    ).exclude(batch_id__in=freezing.undone(change).values("batch_id"))

    def planned() -> Iterator[ChangeItem]:
        now = timezone.now()
        for item in _with_kept(moved, follower):
            left = item.after_values or item.before
            found_so = item.state == ItemState.UNCHANGED
            asked = BatchPatch(paused=False) if found_so else _put_back(item, change)
            yield _item(follower, item, asked, left, now=now)

    return _drafted_each(follower, planned, user, actor)


@authorization.records_denials
def draft_resume(
    change: Change,
    *,
    user: User,
    actor: audit.Actor,
    source: Change.Source = Source.RESUME,
    requested_from: str | None = None,
    lifts: Change.Lifts = Change.Lifts.OWN,
) -> Change:
    """A draft that lifts exactly the holds of a pause, and resumes what nothing else holds.

    `source` tells the end of a timed pause from a resume that a person asks for now;
    `requested_from` is the address that the person asked from, where it is not the actor's.
    """
    authorization.require(user, permissions.EXPAND_OUTREACH, actor, change)
    # The end that a person set lifts the holds of its pause without further ado.
    if lifts == Change.Lifts.ALL or actor.kind == audit.ActorKind.PERSON:
        _require_may_lift(lifts, user, actor, change)
    follower = _follower(change, source, BatchPatch(paused=False), user, actor)
    follower.lifts = lifts
    if requested_from is not None:
        follower.requested_from = requested_from
    with _drafting(follower, actor):
        freezing.selection(follower, Batch.objects.held_by(change), timezone.now())
        return _finish_draft(follower, user, actor)


def expire_drafts() -> int:
    """Discard drafts that nobody confirmed within a day; returns how many.

    What was broken off while it was made, or while it was dropped, goes as well.
    """
    now = timezone.now()
    broken_off = Change.objects.filter(
        state=ChangeState.DRAFTING, created_at__lt=now - DRAFTING_LIFETIME
    )
    for change in broken_off:
        _abandon(change)
    lately = Change.objects.filter(
        state=ChangeState.DISCARDED, finished_at__gt=now - 2 * DRAFT_LIFETIME
    )
    for change in lately.filter(Exists(ChangeItem.objects.filter(change=OuterRef("pk")))):
        freezing.drop_items(change)
    old = Change.objects.filter(state=ChangeState.DRAFT, created_at__lt=now - DRAFT_LIFETIME)
    return sum(drop(change, audit.SYSTEM, "Not confirmed within a day.") for change in old)


def drop(change: Change, actor: audit.Actor, why: str = "") -> bool:
    """Discard a draft and record it; False when it is no longer a draft."""
    with transaction.atomic():
        dropped = Change.objects.filter(pk=change.pk, state=ChangeState.DRAFT).update(
            state=ChangeState.DISCARDED, finished_at=timezone.now()
        )
        if not dropped:
            return False
        detail = {"why": why} if why else {}
        audit.record(audit.Fact.about_change(Action.CHANGE_DISCARDED, actor, change, detail=detail))
    freezing.drop_items(change)
    change.refresh_from_db()
    return True


@contextlib.contextmanager
def _drafting(change: Change, actor: audit.Actor) -> Iterator[None]:
    """Keep a change as being drafted while its items are frozen; what fails leaves nothing."""
    _require_room(change, actor)
    change.state = ChangeState.DRAFTING
    change.save(force_insert=True)
    try:
        yield
    except BaseException:
        _abandon(change)
        raise


def _abandon(change: Change) -> None:
    freezing.drop_items(change)
    Change.objects.filter(pk=change.pk, state=ChangeState.DRAFTING).delete()


def _require_room(change: Change, actor: audit.Actor) -> None:
    """Raise InvalidInput when a person has too many drafts open; an emergency finds room."""
    emergency = change.priority == Change.Priority.EMERGENCY
    if emergency or actor.kind != audit.ActorKind.PERSON:
        return
    drafts = Change.objects.filter(state__in=DRAFT_STATES, requested_by=change.requested_by_id)
    if drafts.count() >= settings.OPEN_DRAFTS:
        raise InvalidInput(
            f"You have {settings.OPEN_DRAFTS:,} drafts open, and no more are allowed. Confirm or "
            "discard some of them: see “My drafts” among the changes."
        )


def _require_may_lift(
    lifts: Change.Lifts, user: User, actor: audit.Actor, change: Change | None = None
) -> None:
    if lifts != Change.Lifts.OWN:
        authorization.require(user, permissions.OVERRIDE_HOLDS, actor, change)


def _with_kept(items: QuerySet[ChangeItem], follower: Change) -> Iterator[ChangeItem]:
    """Items with their batches, and whether these stay paused whatever the follower asks."""
    found = items.select_related("batch").annotate(is_kept=covered.kept(follower))
    return freezing.pages(found)


def _require_nothing_expanded(
    expanding: QuerySet[Batch], patch: BatchPatch, user: User, actor: audit.Actor
) -> None:
    """Raise NotAllowed where a person who may only pause would let outreach reach more people."""
    if expanding.exclude(eligibility.ineligible(patch)).exists():
        authorization.require(user, permissions.EXPAND_OUTREACH, actor)


def _new_change(
    user: User, actor: audit.Actor, source: Change.Source, patch: BatchPatch, **more: Any
) -> Change:
    change = Change(
        source=source,
        requested_by=user,
        requested_by_name=user.get_username(),
        requested_from=actor.ip,
        created_at=timezone.now(),
        **more,
    )
    change.patch = patch
    return change


def _finish_draft(change: Change, user: User, actor: audit.Actor) -> Change:
    """Count what was frozen, check that the person may ask for it, and record that they did."""
    counted = change.items.aggregate(
        items=Count("pk"),
        acting=Count("pk", filter=Q(plan=Plan.ACT)),
        expanding=Count("pk", filter=Q(plan=Plan.ACT, expands_outreach=True)),
    )
    change.item_count, change.acting_count = counted["items"], counted["acting"]
    change.expanding_count = counted["expanding"]
    if not change.item_count:
        raise EmptySelection("No batch is selected. Select at least one, then try again.")
    authorization.require_for(change, user, actor)
    change.items_fingerprint = fingerprints.of_items(change)
    change.fingerprint = fingerprints.of(change)
    change.state = ChangeState.DRAFT
    with transaction.atomic():
        change.save()
        audit.record(
            audit.Fact.about_change(
                Action.CHANGE_REQUESTED,
                actor,
                change,
                after=change.patch_json,
                detail={
                    "batches": change.item_count,
                    "source": change.source,
                    "selection": change.selection,
                    "follows": str(change.follows_id) if change.follows_id else None,
                },
            )
        )
    return change


def _drafted_each(
    change: Change, planned: Callable[[], Iterator[ChangeItem]], user: User, actor: audit.Actor
) -> Change:
    """A draft whose batches are each asked for something of their own."""
    # Whose hold it is makes no difference to the right to resume.
    acting = (one for one in planned() if one.plan == Plan.ACT or one.message == covered.KEPT)
    # Looked at before anything is written, however many they are.
    may_expand = user.has_perm(permissions.EXPAND_OUTREACH)
    if not may_expand and any(item.expands_outreach for item in acting):
        authorization.require(user, permissions.EXPAND_OUTREACH, actor, change.follows)
    with _drafting(change, actor):
        freezing.each(planned())
        return _finish_draft(change, user, actor)


def _follower(
    change: Change, source: Change.Source, patch: BatchPatch, user: User, actor: audit.Actor
) -> Change:
    """An empty draft that follows a change which has ended."""
    if change.state not in ENDED_STATES:
        raise WrongState("This change has not ended yet. Stop it first.", change)
    follower = _new_change(user, actor, source, patch, follows=change)
    follower.reference = change.reference
    follower.selection = f"What change {change.short_id} did"
    return follower


def _put_back(item: ChangeItem, change: Change) -> BatchPatch:
    try:
        return item.requested(change).reverse(item.before)
    except InvalidPatch:
        # What was before cannot be asked for again; leave it and say so.
        return BatchPatch()


def _item(
    change: Change, old: Any, patch: BatchPatch, left: Values, *, now: dt.datetime
) -> ChangeItem:
    batch = old.batch
    item = ChangeItem(
        change=change,
        batch=batch,
        before_status=batch.status,
        expands_outreach=eligibility.expands_outreach_on(batch, patch, now),
        patch_json=None if patch == change.patch else patch.to_json(),
    )
    item.before = left
    reason = _ineligibility_reason(batch, patch)
    if not reason and patch.paused is False and old.is_kept:
        reason = covered.KEPT
    if reason:
        item.plan, item.state, item.message = Plan.SKIP, ItemState.SKIPPED, reason
    elif batch.is_in_doubt:
        # What it is like now, the push finds out.
        return item
    elif fields := patch.conflicts(left, batch):
        item.plan, item.state = Plan.SKIP, ItemState.CONFLICT
        item.message = f"Changed since: {', '.join(fields)}."
        item.after = store.snapshot(batch)
    elif patch.is_satisfied_by(batch):
        item.plan = Plan.ALREADY
    return item


def _ineligibility_reason(batch: Batch, patch: BatchPatch) -> str:
    if not patch:
        return "Its former values cannot be requested."
    return eligibility.ineligibility_reason(batch, patch)
