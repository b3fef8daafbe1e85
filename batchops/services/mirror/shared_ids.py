"""Batch ids that the vendor has in more than one campaign, an alarm while it lasts.

An id need be unique only within its campaign (vendor's CLI notes), while a PUT names nothing but
the id: what was meant for one batch could reach the other. So nothing is sent to such an id. A
single read shows only one of the two, so only a walk over the whole list ends the alarm.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from django.db import transaction
from django.utils import timezone

from batchops import audit
from batchops.models import Action, Batch
from batchops.services.mirror.evidence import read_lag
from batchops.syllable.records import BatchRecord


@dataclass(slots=True)
class Sightings:
    """What a walk over a list showed of each id; `strangers` are of another campaign than ours."""

    campaigns: dict[str, int] = field(default_factory=dict)
    shared: dict[str, set[int]] = field(default_factory=dict)
    strangers: dict[str, tuple[BatchRecord, dt.datetime]] = field(default_factory=dict)

    @property
    def batches(self) -> int:
        """How many batches were shown, one id in two campaigns being two."""
        return len(self.campaigns) + sum(len(found) - 1 for found in self.shared.values())

    def add(self, records: Iterable[BatchRecord]) -> None:
        """Note what one page showed."""
        for record in records:
            first = self.campaigns.setdefault(record.batch_id, record.campaign_id)
            if first != record.campaign_id:
                self.shared.setdefault(record.batch_id, {first}).add(record.campaign_id)


def split_by_campaign(
    records: Iterable[BatchRecord], rows: Mapping[str, Batch]
) -> tuple[dict[str, BatchRecord], list[BatchRecord]]:
    """The record of each id that its row is about, and the records of other campaigns."""
    own: dict[str, BatchRecord] = {}
    strangers = []
    for record in records:
        row, earlier = rows.get(record.batch_id), own.get(record.batch_id)
        known = row.campaign_id if row else earlier.campaign_id if earlier else record.campaign_id
        if record.campaign_id == known:
            own[record.batch_id] = record
        else:
            strangers.append(record)
    return own, strangers


def raise_alarms(found: Mapping[str, Iterable[int]]) -> None:
    """Mark batches whose id was seen in other campaigns too, by id; recorded once for each."""
    if not found:
        return
    now = timezone.now()
    with transaction.atomic():
        rows = _locked(found)
        fresh = []
        for row in rows:
            campaigns = sorted({row.campaign_id, *row.shared_with, *found[row.batch_id]})
            if row.id_shared_since is None:
                row.id_shared_since = now
                detail = {"campaigns": campaigns}
                fresh.append(
                    audit.Fact.about_batch(Action.BATCH_ID_SHARED, audit.SYSTEM, row, detail=detail)
                )
            row.shared_with = [pk for pk in campaigns if pk != row.campaign_id]
        Batch.objects.bulk_update(rows, ["id_shared_since", "shared_with"], batch_size=500)
        audit.record(*fresh)


def end_alarms(sightings: Sightings, unreadable: Iterable[str], walked_at: dt.datetime) -> None:
    """End the alarm of batches that a walk over everything has shown in one campaign alone.

    A walk that began at `walked_at` ends none that is newer than lists may lag behind.
    """
    doubtful = {*sightings.shared, *unreadable}
    alarmed = Batch.objects.filter(id_shared_since__lte=walked_at - read_lag())
    names = [
        batch_id
        for batch_id in alarmed.values_list("batch_id", flat=True)
        if batch_id in sightings.campaigns and batch_id not in doubtful
    ]
    if not names:
        return
    with transaction.atomic():
        rows = [row for row in _locked(names) if row.id_shared_since is not None]
        facts = []
        for row in rows:
            detail = {"campaign": sightings.campaigns[row.batch_id], "gone": row.shared_with}
            facts.append(
                audit.Fact.about_batch(Action.BATCH_ID_UNIQUE, audit.SYSTEM, row, detail=detail)
            )
            row.id_shared_since, row.shared_with = None, []
        Batch.objects.bulk_update(rows, ["id_shared_since", "shared_with"], batch_size=500)
        audit.record(*facts)


def _locked(batch_ids: Iterable[str]) -> list[Batch]:
    rows = Batch.objects.select_for_update(no_key=True, of=("self",)).select_related("campaign")
    return list(rows.filter(pk__in=list(batch_ids)).order_by("pk"))
