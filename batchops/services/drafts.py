"""Drafts: a selection frozen into items, with what is foreseen for each, before anyone confirms.

Whatever was selected, also "all 48,312 matching", goes into the database in one statement.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from django.db import connection, transaction
from django.db.models import Case, JSONField, QuerySet, UUIDField, Value, When
from django.db.models.fields import BooleanField, CharField, SmallIntegerField
from django.utils import timezone

from batchops import permissions
from batchops.models import Action, Batch, Change, ChangeItem
from batchops.models.change import DRAFT_LIFETIME, TROUBLE_STATES
from batchops.services import audit, effects, mirror, permits
from batchops.services.errors import EmptySelection, InvalidInput, WrongState
from batchops.syllable.patch import BatchPatch, InvalidPatch, Values

if TYPE_CHECKING:
    from django.contrib.auth.models import User

State, Plan, Source = ChangeItem.State, ChangeItem.Plan, Change.Source
CHUNK: Final = 2_000


@permits.records_denials
def draft(
    batches: QuerySet[Batch],
    patch: BatchPatch,
    *,
    user: User,
    actor: audit.Actor,
    source: Change.Source,
    selection: str = "",
    expire_now: bool = False,
    priority: int = Change.Priority.NORMAL,
) -> Change:
    """Freeze a selection and what is asked of it into a draft, to be reviewed and confirmed.

    `expire_now` allows an expiry that is not in the future. Raises EmptySelection, InvalidInput
    (with the field), or NotAllowed when the person may not do this to some of the batches.
    """
    now = timezone.now()
    check_patch(patch, now, expire_now=expire_now)
    with transaction.atomic():
        change = _new_change(user, actor, source, patch, selection=selection, priority=priority)
        change.save(force_insert=True)
        _insert_items(change, batches, now)
        return _finish_draft(change, user, actor)


def check_patch(patch: BatchPatch, now: dt.datetime, *, expire_now: bool = False) -> None:
    """Raise InvalidInput for a patch that asks for nothing, or for an expiry in the past."""
    if not patch:
        raise InvalidInput("Nothing is to be changed: choose at least one thing.")
    expiry = patch.expires_on
    if isinstance(expiry, dt.datetime) and expiry <= now and not expire_now:
        raise InvalidInput(
            "This expiry is in the past. To end outreach at once, choose “expire now”.",
            "expires_on",
        )


@permits.records_denials
def draft_retry(change: Change, *, user: User, actor: audit.Actor) -> Change:
    """A draft over the batches of a change that did not get what was asked, seen afresh.

    Raises as `draft` does, and WrongState before the change has ended.
    """
    permits.require(user, permissions.CONTROL_CHANGE, actor, change)
    _require_ended(change)
    batches = Batch.objects.filter(
        pk__in=change.items.filter(state__in=TROUBLE_STATES).values("batch_id")
    )
    own = change.items.filter(state__in=TROUBLE_STATES, patch_json__isnull=False).exists()
    with transaction.atomic():
        follower = _new_change(user, actor, Source.RETRY, change.patch, follows=change)
        follower.reason, follower.reference = change.reason, change.reference
        follower.selection = f"What failed in change {change.short_id}"
        follower.save(force_insert=True)
        if own:
            items = change.items.filter(state__in=TROUBLE_STATES).select_related("batch")
            _insert_each(
                follower,
                (
                    (item.batch, item.wanted(change), Values.of(item.batch))
                    for item in items.iterator(CHUNK)
                ),
            )
        else:
            _insert_items(follower, batches, timezone.now())
        return _finish_draft(follower, user, actor)


@permits.records_denials
def draft_undo(change: Change, *, user: User, actor: audit.Actor) -> Change:
    """A draft that puts back what each applied batch had before a change.

    Batches that are no longer as the change left them become conflicts at once.
    """
    applied = change.items.filter(state=State.APPLIED).select_related("batch")
    with transaction.atomic():
        follower = _follower(change, Source.UNDO, BatchPatch(), user, actor)
        _insert_each(
            follower,
            (
                (item.batch, _put_back(item, change), item.after_values or item.before)
                for item in applied.iterator(CHUNK)
            ),
        )
        return _finish_draft(follower, user, actor)


@permits.records_denials
def draft_resume(change: Change, *, user: User, actor: audit.Actor) -> Change:
    """A draft that resumes exactly the batches a change paused and that are still on its hold."""
    with transaction.atomic():
        follower = _follower(change, Source.RESUME, BatchPatch(paused=False), user, actor)
        _insert_items(follower, Batch.objects.filter(hold=change, paused=True), timezone.now())
        return _finish_draft(follower, user, actor)


def lapse_drafts() -> int:
    """Discard drafts that nobody confirmed within a day; returns how many."""
    old = Change.objects.filter(
        state=Change.State.DRAFT, created_at__lt=timezone.now() - DRAFT_LIFETIME
    )
    count = 0
    for change in old:
        with transaction.atomic():
            if drop(change):
                audit.record(
                    audit.Fact.about_change(
                        Action.CHANGE_DISCARDED,
                        audit.SYSTEM,
                        change,
                        detail={"why": "Not confirmed within a day."},
                    )
                )
                count += 1
    return count


def drop(change: Change) -> bool:
    """Discard a draft with its items; False when it is no longer a draft."""
    dropped = Change.objects.filter(pk=change.pk, state=Change.State.DRAFT).update(
        state=Change.State.DISCARDED, finished_at=timezone.now()
    )
    if dropped:
        change.items.all().delete()
        change.refresh_from_db()
    return bool(dropped)


def fingerprint(change: Change) -> str:
    """SHA-256 over the patch and all items: what was reviewed and approved is what runs."""
    digest = hashlib.sha256(audit.canonical_json(change.patch_json))
    digest.update(b"skip" if change.resume_at is None else change.resume_at.isoformat().encode())
    rows = change.items.order_by("batch_id").values_list("batch_id", "plan", "patch_json")
    for row in rows.iterator(CHUNK):
        digest.update(audit.canonical_json(row))
    return digest.hexdigest()


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
    change.item_count = change.items.count()
    if not change.item_count:
        raise EmptySelection("No batch is selected. Select at least one, then try again.")
    change.releasing_count = change.items.filter(plan=Plan.ACT, releases=True).count()
    permits.require_for(change, user, actor)
    change.save(update_fields=["item_count", "releasing_count"])
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


def _insert_items(change: Change, batches: QuerySet[Batch], now: dt.datetime) -> None:
    """Freeze batches into items by one INSERT … SELECT."""
    patch = change.patch
    skipped = {"plan_": Plan.SKIP}
    columns: dict[str, Any] = {
        "change_id": Value(change.pk, UUIDField()),
        "batch_id": "batch_id",
        "plan": effects.plan(patch),
        "state": Case(
            When(**skipped, then=Value(State.SKIPPED.value)),
            default=Value(State.PENDING.value),
            output_field=CharField(),
        ),
        "releases": Case(
            When(effects.releases(patch, now), then=Value(True)),
            default=Value(False),
            output_field=BooleanField(),
        ),
        "message": effects.skip_message(patch),
        "before_paused": "paused",
        "before_expires_on": "expires_on",
        "before_call_rate": "call_rate",
        "before_auto_call_rate": "auto_call_rate",
        "before_status": "status",
        "attempts": Value(0, SmallIntegerField()),
        "lease": Value("", CharField()),
        "confirmation": Value("", CharField()),
        "unasked": Value([], JSONField()),
    }
    annotations = {
        f"{name}_": value for name, value in columns.items() if not isinstance(value, str)
    }
    source = (
        Batch.objects.filter(pk__in=batches.order_by().values("pk"))
        .annotate(**annotations)
        .order_by("batch_id")
        .values_list(
            *(value if isinstance(value, str) else f"{name}_" for name, value in columns.items())
        )
    )
    select, parameters = source.query.get_compiler(connection=connection).as_sql()
    names = ", ".join(connection.ops.quote_name(name) for name in columns)
    table = connection.ops.quote_name(ChangeItem._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {table} ({names}) {select}", parameters)


def _follower(
    change: Change, source: Change.Source, patch: BatchPatch, user: User, actor: audit.Actor
) -> Change:
    """An empty draft that follows a change which has ended."""
    _require_ended(change)
    follower = _new_change(user, actor, source, patch, follows=change)
    follower.reference = change.reference
    follower.selection = f"What change {change.short_id} did"
    follower.save(force_insert=True)
    return follower


def _require_ended(change: Change) -> None:
    if change.state not in (Change.State.FINISHED, Change.State.STOPPED):
        raise WrongState("This change has not ended yet. Stop it first.", change)


def _put_back(item: ChangeItem, change: Change) -> BatchPatch:
    try:
        return item.wanted(change).reverse(item.before)
    except InvalidPatch:
        # What was before cannot be asked for again; leave it and say so.
        return BatchPatch()


def _insert_each(change: Change, rows: Iterable[tuple[Batch, BatchPatch, Values]]) -> None:
    """Freeze batches that are each asked for something of their own."""
    now = timezone.now()
    for chunk in _chunks(_item(change, *row, now=now) for row in rows):
        ChangeItem.objects.bulk_create(chunk)


def _item(
    change: Change, batch: Batch, patch: BatchPatch, left: Values, *, now: dt.datetime
) -> ChangeItem:
    item = ChangeItem(
        change=change,
        batch=batch,
        before_status=batch.status,
        releases=patch.releases(batch, now),
        patch_json=None if patch == change.patch else patch.to_json(),
    )
    item.before = left
    skip = _why_not(batch, patch)
    if skip:
        item.plan, item.state, item.message = Plan.SKIP, State.SKIPPED, skip
    elif fields := patch.conflicts(left, batch):
        item.plan, item.state = Plan.SKIP, State.CONFLICT
        item.message = f"Changed since: {', '.join(fields)}."
        item.after = mirror.snapshot(batch)
    elif patch.is_satisfied_by(batch):
        item.plan = Plan.ALREADY
    return item


def _why_not(batch: Batch, patch: BatchPatch) -> str:
    if not patch:
        return "What it was before cannot be asked for."
    return effects.why_not(batch, patch)


def _chunks(items: Iterable[ChangeItem]) -> Iterator[list[ChangeItem]]:
    chunk: list[ChangeItem] = []
    for item in items:
        chunk.append(item)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
