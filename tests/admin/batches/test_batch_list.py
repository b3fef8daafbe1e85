"""The batch list: what each filter finds, what is searched, and that it stays fast and safe."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from batchops.models import Batch, Campaign, Change
from tests.services.changes import world

pytestmark = pytest.mark.django_db

LIST = reverse("admin:batchops_batch_changelist")
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def client(client: Client, operator: User) -> Client:
    client.force_login(operator)
    return client


def found(client: Client, query: str = "") -> set[str]:
    """The ids that the list shows for a query."""
    response = client.get(f"{LIST}?{query}")
    assert response.status_code == 200
    return {batch.pk for batch in response.context["cl"].result_list}


def in_hours(hours: float) -> dt.datetime:
    return timezone.now() + dt.timedelta(hours=hours)


def paused_by(user: User, name: str, **fields: Any) -> None:
    """A batch that a change of a person paused; `fields` are the change's."""
    world.batch(name)
    change = world.ended(user, batches=Batch.objects.filter(pk=name))
    Change.objects.filter(pk=change.pk).update(**{"reason": "wrong list", **fields})


@pytest.fixture
def all_kinds(operator: User) -> None:
    """One batch for each question that people ask."""
    world.batch("on", expires_on=in_hours(30 * 24))
    world.batch("tomorrow", expires_on=in_hours(20))
    world.batch("next-week", expires_on=in_hours(6 * 24))
    world.batch("held-outside", paused=True, status="PAUSED")
    world.batch("failed", status="FAILED", expires_on=in_hours(3))
    world.batch("expired", status="EXPIRED", expires_on=in_hours(-3))
    world.batch("new-kind", status="SLEEPING")
    world.batch("silent", status="", paused=None)
    world.batch("changed_externally", changed_externally_at=timezone.now())
    world.batch("missing", missing_since=timezone.now())
    world.batch("deleted", deleted_at=timezone.now())
    paused_by(operator, "held-by-me")
    paused_by(operator, "held-until", resume_at=in_hours(48))


PRESENT = {
    "on",
    "tomorrow",
    "next-week",
    "held-outside",
    "failed",
    "expired",
    "new-kind",
    "silent",
    "changed_externally",
    "held-by-me",
    "held-until",
}
HELD = {"held-outside", "held-by-me", "held-until"}


QUESTIONS: dict[str, set[str]] = {
    "": PRESENT,
    "show=on": PRESENT - HELD - {"failed", "expired"},
    "show=paused": HELD,
    "show=no_end": {"held-outside", "held-by-me"},
    "show=mine": {"held-by-me", "held-until"},
    "show=expiring_24h": {"tomorrow"},
    "show=expiring_7d": {"tomorrow", "next-week"},
    "show=failed": {"failed"},
    "show=changed_externally": {"changed_externally"},
    "show=missing": {"missing"},
    "show=everything": PRESENT | {"missing", "deleted"},
    "status=SLEEPING": {"new-kind"},
    "status=-": {"silent"},
    "status=%00": set(),
    "paused_by=olivia": {"held-by-me", "held-until"},
    "paused_by=nobody": set(),
    "q=held-": HELD,
    "q=campaign+1&show=failed": {"failed"},
    "campaign=1&show=changed_externally": {"changed_externally"},
    "campaign=2": set(),
    "campaign=x%27": set(),
    "pasted=99": set(),
    "pasted=x": set(),
}


@pytest.mark.usefixtures("all_kinds")
def test_each_question_finds_its_batches(client: Client) -> None:
    assert {query: found(client, query) for query in QUESTIONS} == QUESTIONS


def test_campaigns_are_chosen_by_name_mode_and_label(client: Client) -> None:
    world.campaign(1, mode="voice", labels=["recall", "2027"])
    world.campaign(2, mode="sms", labels=["recall"])
    world.batch("a", 1)
    world.batch("b", 2)
    assert found(client, "campaign=2") == {"b"}
    assert found(client, "mode=voice") == {"a"}
    assert found(client, "label=recall") == {"a", "b"}
    assert found(client, "label=2027") == {"a"}
    assert found(client, "label=20") == set()


def test_a_pause_tells_who_until_when_and_why(client: Client, operator: User) -> None:
    paused_by(operator, "b-1", resume_at=in_hours(1))
    page = client.get(LIST).content.decode()
    assert "by <bdi>olivia</bdi> until <time" in page
    assert ": <bdi>wrong list</bdi>" in page


def test_a_pause_of_others_is_said_to_come_from_outside(client: Client) -> None:
    world.batch("b-1", paused=True)
    assert "outside batchops" in client.get(LIST).content.decode()


def test_what_strangers_wrote_is_shown_as_text(client: Client, operator: User) -> None:
    world.campaign(1, campaign_name=HOSTILE, mode=HOSTILE, labels=[HOSTILE])
    world.batch(HOSTILE, status=HOSTILE[:64], last_updated_by=HOSTILE, error_message=HOSTILE)
    paused_by(operator, "b-1", reason=HOSTILE)
    pages = (
        LIST,
        f"{LIST}?q={HOSTILE}&status={HOSTILE}&campaign={HOSTILE}&pasted={HOSTILE}",
        reverse("admin:batchops_batch_change", args=["_3Cscript_3Ealert(1)_3C_2Fscript_3E"]),
        reverse("admin:batchops_campaign_change", args=[1]),
        reverse("admin:batchops_campaign_changelist"),
        reverse("admin:index"),
    )
    for page in (*pages, f"{LIST}?show={HOSTILE}", f"{LIST}?{HOSTILE}=1", f"{LIST}?p={HOSTILE}"):
        response = client.get(page)
        assert response.status_code == (200 if page in pages else 400)
        assert HOSTILE not in response.content.decode()


def test_the_number_of_queries_does_not_grow_with_the_rows(
    client: Client, operator: User, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(60):
        world.batch(f"b-{number}", campaign_id=number % 9 + 1)
    world.ended(operator)
    with django_assert_max_num_queries(20):
        client.get(LIST)


@pytest.mark.parametrize(
    ("role", "offered"),
    [
        ("viewer", set()),
        ("approver", set()),
        (
            "operator",
            {"pause", "resume", "set_expiry", "clear_expiry", "auto_call_rate_on", "refresh"},
        ),
    ],
)
def test_only_what_the_person_may_do_is_offered(
    client: Client, request: pytest.FixtureRequest, role: str, offered: set[str]
) -> None:
    world.batch()
    client.force_login(request.getfixturevalue(role))
    response = client.get(LIST)
    form = response.context["action_form"]
    actions = {value for value, _ in form.fields["action"].choices if value} if form else set()
    assert offered <= actions
    assert bool(actions) == bool(offered)


def test_without_a_role_nothing_is_shown(client: Client) -> None:
    client.force_login(User.objects.create_user("nina", is_staff=True))
    assert client.get(LIST).status_code == 403
    assert client.get(reverse("admin:batchops_batch_paste")).status_code == 403
    assert Campaign.objects.count() == 0
