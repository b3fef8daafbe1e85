"""The filters of the batch list by time and by what is not so, and the words they are said in."""

from __future__ import annotations

import datetime as dt

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from batchops.models import Batch, Change
from tests.services.changes import world

pytestmark = pytest.mark.django_db

LIST = reverse("admin:batchops_batch_changelist")


@pytest.fixture
def client(client: Client, operator: User) -> Client:
    client.force_login(operator)
    client.cookies["time_zone"] = "Europe/Berlin"
    return client


def found(client: Client, query: str) -> set[str]:
    response = client.get(f"{LIST}?{query}")
    assert response.status_code == 200
    return {batch.pk for batch in response.context["cl"].result_list}


def in_force(client: Client, query: str) -> list[str]:
    response = client.get(f"{LIST}?{query}")
    return [one["words"] for one in response.context["cl"].filters_in_force]


def ago(**span: float) -> dt.datetime:
    return timezone.now() - dt.timedelta(**span)


@pytest.fixture
def over_time() -> None:
    world.batch("young", created_at=ago(hours=3), last_updated_at=ago(hours=1))
    world.batch("older", created_at=ago(days=5), last_updated_at=ago(days=2), status="FAILED")
    world.batch("old", created_at=ago(days=90), last_updated_at=ago(days=60), status="FAILED")
    world.batch("undated", created_at=None, last_updated_at=None)
    # 23:30 UTC is the next day in Berlin.
    new_year = dt.datetime(2026, 12, 31, 23, 30, tzinfo=dt.UTC)
    Batch.objects.filter(pk="young").update(expires_on=new_year)
    Batch.objects.filter(pk="older").update(expires_on=new_year - dt.timedelta(hours=1))


@pytest.mark.usefixtures("over_time")
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("created=24h", {"young"}),
        ("created=7d", {"young", "older"}),
        ("created=before_30d", {"old"}),
        ("status=FAILED&changed=7d", {"older"}),
        ("expires_from=2027-01-01", {"young"}),
        ("expires_to=2026-12-31", {"older"}),
        ("expires_from=2026-12-31&expires_to=2027-01-01", {"young", "older"}),
        ("expires_from=&expires_to=", {"young", "older", "old", "undated"}),
        ("created=7d&expires_to=2026-12-31", {"older"}),
        ("status=FAILED&status_not=1", {"young", "undated"}),
        ("status=FAILED&status_not=", {"older", "old"}),
        ("campaign=1&campaign_not=1", set()),
        ("campaign=77&campaign_not=1", {"young", "older", "old", "undated"}),
        ("status_not=1", {"young", "older", "old", "undated"}),
    ],
)
def test_each_filter_finds_its_batches(client: Client, query: str, expected: set[str]) -> None:
    assert found(client, query) == expected


@pytest.mark.parametrize(
    "query",
    [
        "created=soon",
        "created_from=2026-13-01",
        "created_from=0001-01-01",
        "expires_to=yesterday",
        "changed_from=%00",
        "expires_from=2027-01-02&expires_to=2027-01-01",
        "status_not=yes",
        "created_from=2026-01-01&created_from=2026-01-02",
    ],
)
def test_what_no_filter_can_mean_is_refused_and_not_passed_over(client: Client, query: str) -> None:
    assert client.get(f"{LIST}?{query}").status_code == 400


def test_negation_keeps_what_lacks_the_value_altogether(client: Client, operator: User) -> None:
    world.campaign(1, mode="voice", labels=["recall"])
    world.campaign(2, mode="")
    world.batch("a", 1)
    world.batch("b", 2)
    world.ended(operator, batches=Batch.objects.filter(pk="a"))
    assert found(client, "mode=voice&mode_not=1") == {"b"}
    assert found(client, "label=recall&label_not=1") == {"b"}
    assert found(client, "paused_by=olivia&paused_by_not=1") == {"b"}
    assert found(client, "paused_by=olivia") == {"a"}


@pytest.mark.usefixtures("over_time")
def test_the_list_says_what_narrows_it_and_leads_out_of_each(client: Client) -> None:
    query = "status=FAILED&status_not=1&expires=30d&expires_to=2027-01-01&q=o&o=-4"
    assert in_force(client, query) == [
        "status: not Failed",
        "expires: in the next 30 days, to 1 Jan 2027 (Europe/Berlin)",
        "search: o",
    ]
    first, second, _ = client.get(f"{LIST}?{query}").context["cl"].filters_in_force
    assert "status" not in first["without"]
    assert "o=-4" in first["without"]
    assert "expires" not in second["without"]
    assert in_force(client, "show=failed") == []


@pytest.mark.usefixtures("over_time")
def test_all_that_match_are_frozen_under_the_same_words(client: Client) -> None:
    query = "status=FAILED&status_not=1&created_from=2026-01-01"
    expected = found(client, query)
    client.post(
        f"{LIST}?{query}",
        {"action": "pause", "select_across": "1", "index": "0", "_selected_action": "young"},
    )
    change = Change.objects.get()
    assert {item.batch_id for item in change.items.all()} == expected
    assert "status: not Failed; created: from 1 Jan 2026 (Europe/Berlin)" in change.selection
