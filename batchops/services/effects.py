"""What a patch will do to batches, as database conditions over the mirror.

A change over 100,000 batches is foreseen by the database in one statement, never in Python.
"""

from __future__ import annotations

import datetime as dt

from django.db.models import Case, CharField, Q, TextField, Value, When

from batchops.models import ChangeItem, KnownStatus
from batchops.syllable.patch import CLEAR, BatchPatch

Plan = ChangeItem.Plan
SECOND = dt.timedelta(seconds=1)

NEEDS_EXPIRY = "Automatic pacing needs an expiry, and this batch has none."


def skip_reasons(patch: BatchPatch) -> list[tuple[Q, str]]:
    """Which batches are not eligible, each with the reason people are given."""
    reasons = [
        (Q(deleted_at__isnull=False), "Deleted at the vendor."),
        (Q(missing_since__isnull=False), "The vendor does not know this batch any more."),
        (Q(status=KnownStatus.CANCELED), "Canceled: nothing is sent out any more."),
        (Q(status=KnownStatus.FAILED), "Failed at the vendor: there is nothing to reach out to."),
    ]
    if not revives(patch):
        reasons.append((Q(status=KnownStatus.EXPIRED), "Expired: nothing is sent out any more."))
    if patch.auto_call_rate is True and not isinstance(patch.expires_on, dt.datetime):
        reasons.append((Q(expires_on=None), NEEDS_EXPIRY))
    return reasons


def revives(patch: BatchPatch) -> bool:
    """Whether a patch moves the expiry, which an expired batch may be asked for as well."""
    return "expires_on" in patch.touched


def satisfied(patch: BatchPatch) -> Q:
    """Batches that are already as wanted."""
    conditions = Q()
    for name, wish in patch.wishes():
        conditions &= _has(name, wish)
    return conditions


def releases(patch: BatchPatch, now: dt.datetime) -> Q:
    """Batches on which the patch lets outreach reach more people; see `BatchPatch.releases`."""
    conditions = Q(pk__in=[])
    if patch.paused is False:
        conditions |= Q(paused=True) | Q(paused=None)
    if patch.expires_on is CLEAR:
        conditions |= Q(expires_on__isnull=False)
    elif isinstance(patch.expires_on, dt.datetime) and patch.expires_on > now:
        conditions |= Q(expires_on__lt=patch.expires_on)
    if patch.call_rate is CLEAR:
        conditions |= Q(call_rate__isnull=False)
    elif isinstance(patch.call_rate, int):
        conditions |= Q(call_rate__lt=patch.call_rate) | Q(call_rate=None)
    if patch.auto_call_rate is True:
        conditions |= Q(auto_call_rate=False) | Q(auto_call_rate=None)
    elif patch.auto_call_rate is False:
        conditions |= Q(auto_call_rate=True)
    return conditions


def plan(patch: BatchPatch) -> Case:
    """The plan for each batch: act, already so, or skip."""
    return Case(
        *(When(condition, then=Value(Plan.SKIP.value)) for condition, _ in skip_reasons(patch)),
        When(satisfied(patch), then=Value(Plan.ALREADY.value)),
        default=Value(Plan.ACT.value),
        output_field=CharField(),
    )


def skip_message(patch: BatchPatch) -> Case:
    """Why a batch is skipped; empty for the others."""
    return Case(
        *(When(condition, then=Value(text)) for condition, text in skip_reasons(patch)),
        default=Value(""),
        output_field=TextField(),
    )


def _has(name: str, wish: object) -> Q:
    if wish is None:
        return Q(**{f"{name}__isnull": True})
    if isinstance(wish, dt.datetime):
        return Q(**{f"{name}__gt": wish - SECOND, f"{name}__lt": wish + SECOND})
    if name == "auto_call_rate" and wish is False:
        return Q(auto_call_rate=False) | Q(auto_call_rate=None)
    return Q(**{name: wish})
