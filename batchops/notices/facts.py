"""Takes up the audit trail from where it was left, and says what of it is worth a word.

An entry is committed with what it records, so none is lost, however a worker ends; the cursor moves
in the transaction of the notices, so none is taken up twice.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from django.db import transaction
from django.db.models import Subquery

from batchops.models import (
    TROUBLE_STATES,
    Action,
    AuditEntry,
    AuditHead,
    Change,
)
from batchops.models.audit import ActorKind
from batchops.models.batch import counted
from batchops.notices import kinds, links, raising
from batchops.notices.kinds import Kind, Raised, always
from batchops.notices.models import Cursor
from batchops.services.trail import sentences

CURSOR: Final = "notices"
SLICE: Final = 1_000
"""Entries that are taken up at one go."""

Changes = Mapping[uuid.UUID, Change]
Rule = Callable[[AuditEntry, Changes], Raised | None]


def take_up() -> int:
    """Raise what the trail gained since the last time; returns how many entries were looked at.

    At most a slice of those that may be worth a word. Two workers never take up the same.
    """
    head = AuditHead.objects.values("sequence")[:1]
    cursor = Cursor.objects.annotate(head=Subquery(head)).filter(pk=CURSOR).first()
    if cursor is None:
        Cursor.objects.get_or_create(pk=CURSOR)
        return take_up()
    if not cursor.head or cursor.head <= cursor.sequence:
        return 0
    span = {"sequence__gt": cursor.sequence, "sequence__lte": cursor.head}
    found = AuditEntry.objects.filter(action__in=RULES, **span).order_by("sequence")
    entries = list(found[:SLICE])
    through = entries[-1].sequence if len(entries) == SLICE else cursor.head
    raised = list(worth_a_word(entries))
    with transaction.atomic():
        here = Cursor.objects.filter(pk=CURSOR, sequence=cursor.sequence)
        if here.update(sequence=through):
            raising.raise_all(raised)
    return len(entries)


def worth_a_word(entries: Iterable[AuditEntry]) -> Iterable[Raised]:
    """What of some entries is worth a word."""
    entries = list(entries)
    changes = Change.objects.in_bulk({entry.change_id for entry in entries if entry.change_id})
    for entry in entries:
        raised = RULES[entry.action](entry, changes)
        if raised is not None:
            yield raised


def asked(change: Change) -> str:
    """What a change asks for, and of how many batches: "pause, on 20 batches"."""
    return f"{sentences.shown(change.summary())}, on {counted(change.item_count)}"


# What a rule says is a template of ours; what others chose is put into it, and never read as one.


def _of_change(kind: Kind, words: str) -> Rule:
    """Told to those who answer for a change, unless they did it themselves."""

    def rule(entry: AuditEntry, changes: Changes) -> Raised | None:
        change = changes.get(entry.change_id) if entry.change_id else None
        if change is None:
            return None
        counts = entry.detail.get("counts") or {}
        title = words.format(
            who=_who(entry),
            asked=asked(change),
            trouble=sum(int(counts.get(state, 0)) for state in TROUBLE_STATES),
            count=change.item_count,
        )
        return Raised(
            kind,
            str(change.pk),
            always(title),
            links.change(change.pk),
            change_id=change.pk,
            people=frozenset(change.author_ids),
            not_for=_doer(entry),
        )

    return rule


def _overridden(entry: AuditEntry, changes: Changes) -> Raised | None:
    """Told to the owner of the holds, once for each change that lifted some."""
    pause = changes.get(entry.change_id) if entry.change_id else None
    if pause is None or pause.requested_by_id is None:
        return None
    who, why = (sentences.shown(str(entry.detail.get(key, "")), 200) for key in ("by", "why"))
    return Raised(
        kinds.HOLD_OVERRIDDEN,
        str(entry.sequence),
        always(f"{who} lifted holds of yours: {why}. You had asked: {asked(pause)}"),
        links.change(pause.pk),
        change_id=pause.pk,
        people=frozenset({pause.requested_by_id}),
    )


def _finished(entry: AuditEntry, changes: Changes) -> Raised | None:
    return (_WELL if entry.outcome == "ok" else _NOT_WELL)(entry, changes)


_WELL: Final = _of_change(kinds.FINISHED, "Finished as requested: {asked}")
_NOT_WELL: Final = _of_change(
    kinds.FAILED, "Finished, {trouble:,} of {count:,} not as requested: {asked}"
)


def _of_batches(
    kind: Kind, one: str, many: str, page: Callable[[AuditEntry], str], *, apart: str = ""
) -> Rule:
    """Facts of a while as one notice, told apart by a field of the entry."""

    def rule(entry: AuditEntry, changes: Changes) -> Raised | None:
        who, batch = _who(entry), sentences.shown(entry.batch_id, 80)

        def title(number: int) -> str:
            return (one if number == 1 else many).format(who=who, batch=batch, number=number)

        change = changes.get(entry.change_id) if entry.change_id else None
        return Raised(
            kind,
            str(getattr(entry, apart) or "") if apart else "",
            title,
            page(entry),
            change_id=entry.change_id,
            batch_id=entry.batch_id,
            campaign_id=entry.campaign_id,
            people=frozenset(change.author_ids if change else ()),
        )

    return rule


def _about_trail(kind: Kind, words: str) -> Rule:
    """Told to those who may see the trail, unless they did it themselves."""

    def rule(entry: AuditEntry, _: Changes) -> Raised | None:
        title, page = f"{words}, by {_who(entry)}", links.entry(entry.sequence)
        return Raised(kind, str(entry.sequence), always(title), page, not_for=_doer(entry))

    return rule


def _permissions(entry: AuditEntry, _: Changes) -> Raised | None:
    """Not those that a migration gives the groups."""
    if entry.actor_kind not in (ActorKind.PERSON, ActorKind.COMMAND_LINE):
        return None
    who = _who(entry)
    return Raised(
        kinds.ROLES,
        entry.actor_name,
        lambda number: f"{who} changed permissions" + (f" {number:,} times" if number > 1 else ""),
        links.entry(entry.sequence),
        not_for=_doer(entry),
    )


def _who(entry: AuditEntry) -> str:
    return sentences.shown(entry.actor_name, 80)


def _doer(entry: AuditEntry) -> frozenset[int]:
    return frozenset({entry.actor_id} if entry.actor_id else ())


def _show(question: str) -> Callable[[AuditEntry], str]:
    return lambda _: links.of_list("batch", show=question)


def _batch_page(entry: AuditEntry) -> str:
    return links.batch(entry.batch_id)


def _change_page(entry: AuditEntry) -> str:
    return links.change(entry.change_id) if entry.change_id else _batch_page(entry)


RULES: Final[Mapping[str, Rule]] = {
    Action.CHANGE_FINISHED: _finished,
    Action.CHANGE_STOPPED: _of_change(kinds.STOPPED, "{who} stopped: {asked}"),
    Action.CHANGE_CANCELLED: _of_change(kinds.STOPPED, "{who} cancelled: {asked}"),
    Action.CHANGE_APPROVED: _of_change(kinds.APPROVED, "{who} approved: {asked}"),
    Action.CHANGE_REJECTED: _of_change(kinds.REJECTED, "{who} rejected: {asked}"),
    Action.CHANGE_APPROVAL_EXPIRED: _of_change(
        kinds.APPROVAL_EXPIRED, "The approval expired: {asked}"
    ),
    Action.CHANGE_RESCHEDULED: _of_change(kinds.POSTPONED, "The start was moved: {asked}"),
    Action.HOLDS_OVERRIDDEN: _overridden,
    Action.RESUME_MOVED: _of_change(kinds.PAUSE_MOVED, "{who} moved the end of a pause: {asked}"),
    Action.RESUME_CANCELLED: _of_change(
        kinds.PAUSE_MOVED, "{who} cancelled the end of a pause: {asked}"
    ),
    Action.BATCH_CHANGED_OUTSIDE: _of_batches(
        kinds.CHANGED_OUTSIDE,
        "{who} changed batch {batch} outside batchops",
        "{who} made {number:,} changes to batches outside batchops",
        _show("changed_externally"),
        apart="actor_name",
    ),
    Action.BATCH_CHANGED_WITH_OUR_KEY: _of_batches(
        kinds.CHANGED_WITH_OUR_KEY,
        "Another tool changed batch {batch} with the key of batchops",
        "Another tool made {number:,} changes to batches with the key of batchops",
        _show("changed_externally"),
    ),
    Action.BATCH_UNREQUESTED_CHANGE: _of_batches(
        kinds.UNREQUESTED,
        "Batch {batch} changed in a way that was not requested",
        "Batches changed {number:,} times in a way that was not requested",
        _batch_page,
    ),
    Action.BATCH_NOT_CONFIRMED: _of_batches(
        kinds.NOT_CONFIRMED,
        "The vendor accepted an update of batch {batch}, but does not show it",
        "The vendor accepted {number:,} updates, but does not show them",
        _change_page,
        apart="change_id",
    ),
    Action.BATCH_MISSING: _of_batches(
        kinds.MISSING,
        "Batch {batch} vanished at the vendor",
        "Batches vanished at the vendor: {number:,}",
        _show("missing"),
    ),
    Action.ACCOUNT_PERMISSIONS: _permissions,
    Action.GROUP_CHANGED: _permissions,
    Action.AUDIT_ARCHIVED: _about_trail(kinds.TRAIL_TOUCHED, "A part of the trail was archived"),
    Action.AUDIT_ACKNOWLEDGED: _about_trail(
        kinds.TRAIL_TOUCHED, "A fault of the audit trail was acknowledged"
    ),
    Action.DATABASE_RESTORED: _about_trail(
        kinds.TRAIL_TOUCHED, "The database was restored from a backup"
    ),
}
"""What is made of an entry, by its action; all other actions are no news to anybody."""
