"""What a draft will do, in numbers: counted by the database, whatever its size."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from django.db.models import Count, F, Q, QuerySet
from django.utils import timezone

from batchops.models import Campaign, Change, ChangeItem
from batchops.release_windows import openings
from batchops.services import authorization
from batchops.services.changes import terms
from batchops.services.errors import ResumeWindowClosed
from batchops.services.preview.risks import Risk, risks_of
from batchops.syllable.patch import (
    FIELD_LABELS,
    PATCH_FIELDS,
    BatchPatch,
    describe_value,
    same_value,
)

if TYPE_CHECKING:
    from django.contrib.auth.models import User

Plan = ChangeItem.Plan

CAMPAIGNS_SHOWN: Final = 8
REASONS_SHOWN: Final = 5
REASONS_LOOKED_AT: Final = 60
EMERGENCY_REASONS: Final = (
    "Emergency: outreach has to stop now",
    "Wrong list",
    "Wrong script or message",
    "Complaints from people reached",
    "Incident at the vendor",
)


@dataclass(frozen=True, slots=True)
class Share:
    """A number of batches that have something in common."""

    label: str
    number: int


@dataclass(frozen=True, slots=True)
class Preview:
    """The numbers of a draft; `acting`, `already` and `skipped` add up to all selected."""

    change: Change
    acting: int
    already: int
    skipped: int
    reasons: tuple[Share, ...]
    by_status: tuple[Share, ...]
    by_campaign: tuple[Share, ...]
    campaign_count: int
    risks: tuple[Risk, ...]
    approval: str
    closed: str
    typed: bool

    @property
    def total(self) -> int:
        return self.acting + self.already + self.skipped

    @property
    def more_campaigns(self) -> int:
        return self.campaign_count - len(self.by_campaign)


@dataclass(frozen=True, slots=True)
class ValueChange:
    """One value of a batch: what it is, and what it will be or became."""

    label: str
    before: str
    after: str
    moved: bool


def preview(change: Change) -> Preview:
    """Count what a draft will do, in six queries."""
    numbers = dict.fromkeys(Plan, 0)
    reasons: dict[str, int] = {}
    rows = change.items.values_list("plan", "message").annotate(number=Count("id")).order_by()
    for plan, message, number in rows:
        numbers[Plan(plan)] += number
        if plan == Plan.SKIP:
            words = _reason(message)
            reasons[words] = reasons.get(words, 0) + number
    acting = change.items.filter(plan=Plan.ACT)
    campaigns = _campaigns(acting)
    return Preview(
        change=change,
        acting=numbers[Plan.ACT],
        already=numbers[Plan.ALREADY],
        skipped=numbers[Plan.SKIP],
        reasons=_shares(reasons.items()),
        by_status=_shares(_by_status(acting)),
        by_campaign=_shares((str(one), number) for one, number in campaigns)[:CAMPAIGNS_SHOWN],
        campaign_count=len(campaigns),
        risks=risks_of(change, numbers[Plan.ACT], campaigns),
        approval=authorization.approval_reason(change),
        closed=_closed(change),
        typed=terms.needs_typed_count(change),
    )


def risks(change: Change) -> tuple[Risk, ...]:
    """What whoever decides on a change should know."""
    acting = change.items.filter(plan=Plan.ACT)
    return risks_of(change, acting.count(), _campaigns(acting))


def differing(change: Change) -> int:
    """How many batches that a change is to change are no longer as they were when it was drafted.

    As far as the mirror knows, and in the fields that the change touches.
    """
    same = Q()
    for name in change.patch.touched or PATCH_FIELDS:
        ours, theirs = f"before_{name}", f"batch__{name}"
        same &= Q(**{ours: F(theirs)}) | Q(**{f"{ours}__isnull": True, f"{theirs}__isnull": True})
    acting = change.items.filter(plan=Plan.ACT)
    return acting.count() - acting.filter(same).count()


def rows(change: Change, plan: str = "", text: str = "") -> QuerySet[ChangeItem]:
    """The batches of a draft, by what is foreseen for them and by a part of their id."""
    items = change.items.select_related("batch__campaign").order_by("id")
    if plan in Plan.values:
        items = items.filter(plan=plan)
    return items.filter(batch__batch_id__icontains=text) if text else items


def plans(item: ChangeItem, patch: BatchPatch) -> list[ValueChange]:
    """What a patch does to a batch, field by field, with instants in the reader's zone."""
    return _compare(item.before, patch.applied_to(item.before), patch.touched)


def results(item: ChangeItem, patch: BatchPatch) -> list[ValueChange]:
    """What became of a batch: the fields that were asked for, and those that moved besides."""
    left = item.after_values or item.before
    moved = [name for name in PATCH_FIELDS if name in patch.touched or name in item.unrequested]
    return _compare(item.before, left, moved)


def recent_reasons(user: User, *, expanding: bool) -> list[str]:
    """What a person gave as reason lately, the latest first, for one click.

    Why outreach was held back is no reason to let it go on, nor the other way round.
    """
    expands = Q(expanding_count__gt=0) | Q(patch_json__paused=False)
    latest = (
        Change.objects.visible()
        .filter(expands if expanding else ~expands, requested_by=user)
        .exclude(reason="")
        .exclude(source=Change.Source.END)
        .order_by("-confirmed_at")
        .values_list("reason", flat=True)[:REASONS_LOOKED_AT]
    )
    return list(dict.fromkeys(latest))[:REASONS_SHOWN]


def _compare(before: Any, after: Any, names: Iterable[str]) -> list[ValueChange]:
    zone = timezone.get_current_timezone()
    return [
        ValueChange(
            FIELD_LABELS[name],
            describe_value(name, getattr(before, name), zone),
            describe_value(name, getattr(after, name), zone),
            not same_value(name, getattr(before, name), getattr(after, name)),
        )
        for name in names
    ]


def _reason(message: str) -> str:
    """Conflicts name their fields; together they are one reason."""
    return "Changed since: left as it is." if message.startswith("Changed since") else message


def _by_status(items: QuerySet[ChangeItem]) -> list[tuple[str, int]]:
    rows = items.values_list("before_status").annotate(number=Count("id")).order_by()
    return [(status or "not stated", number) for status, number in rows]


def _campaigns(items: QuerySet[ChangeItem]) -> list[tuple[Campaign, int]]:
    counted = dict(items.values_list("batch__campaign").annotate(number=Count("id")).order_by())
    found = Campaign.objects.filter(pk__in=counted)
    return sorted(((one, counted[one.pk]) for one in found), key=lambda pair: -pair[1])


def _shares(pairs: Iterable[tuple[str, int]]) -> tuple[Share, ...]:
    return tuple(
        Share(label, number)
        for label, number in sorted(pairs, key=lambda pair: (-pair[1], pair[0]))
    )


def _closed(change: Change) -> str:
    """Why it cannot start now; empty when it can."""
    try:
        openings.require_open(change)
    except ResumeWindowClosed as closed:
        return closed.message
    return ""
