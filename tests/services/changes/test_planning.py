"""What the database foresees for batches is what the patch itself says of each."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import transaction
from django.db.models import BooleanField, Case, Value, When
from hypothesis import given, settings
from hypothesis import strategies as st

from batchops.models import Batch, ChangeItem
from batchops.services.changes import eligibility
from batchops.syllable.patch import CLEAR, LEAVE, BatchPatch
from tests.services.changes.world import campaign

pytestmark = pytest.mark.django_db

NOW = dt.datetime(2026, 11, 24, 12, tzinfo=dt.UTC)
Plan = ChangeItem.Plan

switches = st.sampled_from([None, True, False])
rates = st.sampled_from([None, 1, 60, 61, 3600])
instants = st.sampled_from([-86_400, -1, 0, 1, 3600, 86_400]).flatmap(
    lambda seconds: st.sampled_from([0, 1, 400_000, 999_999]).map(
        lambda microseconds: NOW + dt.timedelta(seconds=seconds, microseconds=microseconds)
    )
)
statuses = st.sampled_from(
    ["", "PENDING", "ACTIVE", "PAUSED", "FAILED", "CANCELED", "EXPIRED", "IDLE"]
)
seldom = st.sampled_from([None, None, None, NOW])
rows = st.lists(
    st.fixed_dictionaries(
        {
            "status": statuses,
            "paused": switches,
            "expires_on": st.none() | instants,
            "call_rate": rates,
            "auto_call_rate": switches,
            "deleted_at": seldom,
            "missing_since": seldom,
        }
    ),
    min_size=1,
    max_size=12,
)


@st.composite
def patches(draw: st.DrawFn) -> BatchPatch:
    """Any patch that asks for something the vendor's API allows."""
    requested: dict[str, Any] = {
        "paused": draw(st.sampled_from([LEAVE, True, False])),
        "expires_on": draw(st.sampled_from([LEAVE, CLEAR]) | instants),
        "call_rate": draw(st.sampled_from([LEAVE, CLEAR, 1, 60, 61, 3600])),
        "auto_call_rate": draw(st.sampled_from([LEAVE, True, False])),
    }
    if requested["expires_on"] is CLEAR and requested["auto_call_rate"] is True:
        requested["auto_call_rate"] = LEAVE
    return BatchPatch(**requested)


def foreseen(batch: Batch, patch: BatchPatch) -> tuple[str, bool, str]:
    """Plan, whether outreach can reach more people, and why it is skipped, by the row alone."""
    why = eligibility.ineligibility_reason(batch, patch)
    plan = Plan.SKIP if why else Plan.ALREADY if patch.is_satisfied_by(batch) else Plan.ACT
    return plan.value, patch.expands_outreach(batch, NOW), why


@given(rows, patches().filter(bool))
@settings(max_examples=150)
def test_the_database_foresees_what_the_patch_says(
    db: None, values: list[dict[str, Any]], patch: BatchPatch
) -> None:
    with transaction.atomic():
        home = campaign()
        Batch.objects.bulk_create(
            Batch(batch_id=f"b-{index}", campaign=home, synced_at=NOW, observed_at=NOW, **row)
            for index, row in enumerate(values)
        )
        releases = Case(
            When(eligibility.expands_outreach(patch, NOW), then=Value(True)),
            default=Value(False),
            output_field=BooleanField(),
        )
        found = Batch.objects.annotate(
            plan=eligibility.plan(patch), letting=releases, why=eligibility.skip_message(patch)
        ).values_list("pk", "plan", "letting", "why")
        said = {pk: tuple(rest) for pk, *rest in found}
        assert said == {row.pk: foreseen(row, patch) for row in Batch.objects.all()}
        eligible = Batch.objects.exclude(eligibility.ineligible(patch)).values_list("pk", flat=True)
        assert set(eligible) == {pk for pk, (plan, *_) in said.items() if plan != Plan.SKIP}
        transaction.set_rollback(True)


@given(patches().filter(bool), rows)
def test_what_releases_nothing_cannot_release_when_done_twice(
    patch: BatchPatch, values: list[dict[str, Any]]
) -> None:
    for row in values:
        batch = Batch(batch_id="b", **row)
        done = patch.applied_to(batch)
        assert not patch.expands_outreach(done, NOW)
