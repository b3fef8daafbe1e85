"""The world that a demo begins with is believable, and adds up."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchops.sandbox import make_batch
from batchops.sandbox.counts import detailed_status_counts, status_counts
from batchops.sandbox.generator import UNKNOWN_CAMPAIGN_ID, make_world
from batchops.sandbox.records import Batch
from batchops.sandbox.rules import status_of

NOW = dt.datetime.now(dt.UTC)
STATUSES = ["PENDING", "ACTIVE", "PAUSED", "FAILED", "CANCELED", "EXPIRED"]


@pytest.fixture(scope="module", params=[1, 2, 3])
def batches(request: pytest.FixtureRequest) -> list[Batch]:
    """The batches of the usual world, for some seeds."""
    return list(make_world(seed=request.param).batches.values())


def expiring_within(batches: list[Batch], span: dt.timedelta) -> int:
    return sum(1 for one in batches if one.expires_on and NOW < one.expires_on <= NOW + span)


def test_it_has_600_batches_in_12_campaigns() -> None:
    world = make_world()
    assert (len(world.batches), len(world.campaigns)) == (600, 12)
    assert len({campaign.campaign_name for campaign in world.campaigns.values()}) == 12
    assert {one.mode for one in world.campaigns.values()} == {"voice", "sms", "email"}


def test_every_status_is_there(batches: list[Batch]) -> None:
    counts = Counter(status_of(batch, NOW) for batch in batches)
    assert set(counts) == set(STATUSES)
    assert min(counts.values()) >= 10


def test_some_expire_within_a_day_more_within_a_week_and_some_never(batches: list[Batch]) -> None:
    day, week = (expiring_within(batches, dt.timedelta(days=days)) for days in (1, 7))
    assert 5 < day < week
    assert sum(1 for batch in batches if batch.expires_on is None) > 20


def test_failed_ones_say_why(batches: list[Batch]) -> None:
    failed = [batch for batch in batches if batch.status == "FAILED"]
    assert all(batch.error_message for batch in failed)
    assert any(batch.upload_filename for batch in failed)


def test_automatic_call_rate_always_has_an_expiry(batches: list[Batch]) -> None:
    automatic = [batch for batch in batches if batch.auto_call_rate]
    assert automatic
    assert all(batch.expires_on for batch in automatic)


def test_ids_follow_the_day_of_creation_but_for_two_odd_ones(batches: list[Batch]) -> None:
    odd = {one.batch_id for one in batches if one.batch_id[:9] != f"{one.created_at:%Y%m%d}."}
    assert odd == {"spring/retry #2", "nachzügler 50%"}


def test_a_few_belong_to_a_campaign_that_is_in_no_list(batches: list[Batch]) -> None:
    assert 0 < sum(batch.campaign_id == UNKNOWN_CAMPAIGN_ID for batch in batches) < 20


def test_nothing_happened_in_the_future_or_before_its_creation(batches: list[Batch]) -> None:
    now = dt.datetime.now(dt.UTC)
    for batch in batches:
        assert batch.last_updated_at is not None
        assert batch.created_at <= batch.last_updated_at <= now


def test_the_same_seed_gives_the_same_batches_and_another_seed_others() -> None:
    def shape(seed: int) -> list[tuple[object, ...]]:
        batches = make_world(50, seed=seed).batches.values()
        return [(one.campaign_id, one.paused, one.contacts, one.dispatch_id) for one in batches]

    assert shape(1) == shape(1)
    assert shape(1) != shape(2)


@pytest.mark.parametrize(("batches", "campaigns"), [(0, 0), (1, 1), (30, 0), (5, 40)])
def test_a_world_can_have_any_size(batches: int, campaigns: int) -> None:
    world = make_world(batches, campaigns)
    assert (len(world.batches), len(world.campaigns)) == (batches, campaigns)


@given(
    st.builds(
        make_batch,
        batch_id=st.text(st.characters(codec="utf-8"), min_size=1, max_size=9),
        contacts=st.integers(0, 5_000),
        reached=st.floats(0, 1),
    ),
    st.sampled_from(STATUSES),
    st.sampled_from(["voice", "sms", "email", None, "fax"]),
)
def test_counts_add_up_to_the_contacts_of_a_batch(
    batch: Batch, status: str, mode: str | None
) -> None:
    counts = status_counts(batch, status)
    details = detailed_status_counts(batch, counts, mode)
    assert sum(counts.values()) == (0 if status == "FAILED" else batch.contacts)
    assert all(count > 0 for count in counts.values())
    for name, count in counts.items():
        assert details[name]["total_count"] == count
        assert sum(details[name].get("counts", {"": count}).values()) == count


def test_the_sandbox_stands_apart_from_django_and_the_rest_of_the_project() -> None:
    program = (
        "import sys, batchops.sandbox, batchops.sandbox.server, batchops.sandbox.generator;"
        "print([name for name in sys.modules if name.partition('.')[0] == 'django' or"
        " name.startswith('batchops.') and not name.startswith('batchops.sandbox')])"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "[]"
