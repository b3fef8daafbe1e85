"""What a patch will do to batches, as database conditions over the mirror.

A change over 100,000 batches is foreseen by the database in one statement, never in Python.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from django.db.models import Case, CharField, F, Q, TextField, Value, When

from batchops.models import Batch, ChangeItem, KnownStatus
from batchops.syllable.patch import CLEAR, NEEDS_EXPIRY, BatchPatch

Plan = ChangeItem.Plan
SECOND = dt.timedelta(seconds=1)

SHARED_ID: Final = (
    "The vendor has this id in several campaigns, and an update names only the id: it could reach "
    "the wrong batch. Change it in the vendor's console."
)
LACKS_EXPIRY: Final = f"{NEEDS_EXPIRY}, and this batch has none."


KNOWN: Final = Q(written_at=None) | Q(written_at__lte=F("observed_at"))
"""Rows whose values no write of ours may have moved since they were seen."""
IN_DOUBT: Final = Q(written_at__gt=F("observed_at"))


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why batches are not eligible: for the database, for a row at hand, and for people."""

    condition: Q
    applies_to: Callable[[Batch], bool]
    message: str


ALWAYS: Final = (
    Obstacle(
        Q(deleted_at__isnull=False),
        lambda batch: batch.deleted_at is not None,
        "Deleted at the vendor.",
    ),
    Obstacle(
        Q(missing_since__isnull=False),
        lambda batch: batch.missing_since is not None,
        "The vendor no longer knows this batch.",
    ),
    Obstacle(
        Q(id_shared_since__isnull=False),
        lambda batch: batch.shares_its_id,
        SHARED_ID,
    ),
    Obstacle(
        Q(status=KnownStatus.CANCELED),
        lambda batch: batch.status == KnownStatus.CANCELED,
        "Canceled: its outreach has ended.",
    ),
    Obstacle(
        Q(status=KnownStatus.FAILED),
        lambda batch: batch.status == KnownStatus.FAILED,
        "Failed at the vendor: there is nobody to reach.",
    ),
)
EXPIRED: Final = Obstacle(
    Q(status=KnownStatus.EXPIRED) & KNOWN,
    lambda batch: batch.status == KnownStatus.EXPIRED and not batch.is_in_doubt,
    "Expired: its outreach has ended.",
)
WITHOUT_EXPIRY: Final = Obstacle(
    Q(expires_on=None) & KNOWN,
    lambda batch: batch.expires_on is None and not batch.is_in_doubt,
    LACKS_EXPIRY,
)


def obstacles(patch: BatchPatch) -> list[Obstacle]:
    """What makes a batch ineligible for a patch, the first that applies being the reason given."""
    found = [*ALWAYS]
    if not revives(patch):
        found.append(EXPIRED)
    if patch.auto_call_rate is True and not isinstance(patch.expires_on, dt.datetime):
        found.append(WITHOUT_EXPIRY)
    return found


def unsendable(batch: Batch) -> str:
    """Why nothing may be sent to a batch any more, whatever was confirmed; empty when it may."""
    if batch.is_gone:
        return "Deleted at the vendor, or no longer known there."
    return SHARED_ID if batch.shares_its_id else ""


def ineligibility_reason(batch: Batch, patch: BatchPatch) -> str:
    """Why a batch is not eligible; empty when it is."""
    return next((one.message for one in obstacles(patch) if one.applies_to(batch)), "")


def ineligible(patch: BatchPatch) -> Q:
    """Batches that a patch cannot be asked of. An empty one stands for patches of their own."""
    conditions = Q()
    for one in obstacles(patch) if patch else ALWAYS:
        conditions |= one.condition
    return conditions


def revives(patch: BatchPatch) -> bool:
    """Whether a patch moves the expiry, which an expired batch may be asked for as well."""
    return "expires_on" in patch.touched


def satisfied(patch: BatchPatch) -> Q:
    """Batches that are already as wanted."""
    conditions = Q()
    for name, value in patch.requested_values():
        conditions &= _has(name, value)
    return conditions


def expands_outreach(patch: BatchPatch, now: dt.datetime) -> Q:
    """Batches on which a patch lets outreach reach more people, as `BatchPatch` says it."""
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
    return conditions | IN_DOUBT if patch.may_expand_outreach(now) else conditions


def expands_outreach_on(batch: Batch, patch: BatchPatch, now: dt.datetime) -> bool:
    """The same for a row at hand. In doubt it may, whatever the mirror still shows."""
    return patch.expands_outreach(batch, now) or (
        batch.is_in_doubt and patch.may_expand_outreach(now)
    )


def plan(patch: BatchPatch) -> Case:
    """The plan for each batch: act, already so, or skip."""
    return Case(
        *(When(one.condition, then=Value(Plan.SKIP.value)) for one in obstacles(patch)),
        When(satisfied(patch) & KNOWN, then=Value(Plan.ALREADY.value)),
        default=Value(Plan.ACT.value),
        output_field=CharField(),
    )


def skip_message(patch: BatchPatch) -> Case:
    """Why a batch is skipped; empty for the others."""
    return Case(
        *(When(one.condition, then=Value(one.message)) for one in obstacles(patch)),
        default=Value(""),
        output_field=TextField(),
    )


def _has(name: str, value: object) -> Q:
    if value is None:
        return Q(**{f"{name}__isnull": True})
    if isinstance(value, dt.datetime):
        return _within_a_second(name, value)
    if name == "auto_call_rate" and value is False:
        return Q(auto_call_rate=False) | Q(auto_call_rate=None)
    return Q(**{name: value})


def _within_a_second(name: str, instant: dt.datetime) -> Q:
    """The same second; nothing lies beyond the ends of the calendar."""
    conditions = Q()
    with contextlib.suppress(OverflowError):
        conditions &= Q(**{f"{name}__gt": instant - SECOND})
    with contextlib.suppress(OverflowError):
        conditions &= Q(**{f"{name}__lt": instant + SECOND})
    return conditions
