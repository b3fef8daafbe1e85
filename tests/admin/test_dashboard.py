"""The overview, the frame around every page, and "Sync now"."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from batchops import audit, tasks
from batchops.models import AuditEntry, Batch, Change, SyncRun
from batchops.services.stats import overview
from tests.services.changes import world

pytestmark = pytest.mark.django_db

HOME = reverse("admin:index")
LIST = reverse("admin:batchops_batch_changelist")
NOW = reverse("admin:batchops_syncrun_now")


@pytest.fixture
def client(client: Client, operator: User) -> Client:
    client.force_login(operator)
    return client


def run(state: str = "done", ago: int = 40, **fields: Any) -> SyncRun:
    began = timezone.now() - dt.timedelta(seconds=ago)
    return SyncRun.objects.create(
        kind="full",
        state=state,
        started_at=began,
        alive_at=began,
        **{"finished_at": began, **fields},
    )


def text(client: Client, page: str = HOME) -> str:
    response = client.get(page)
    assert response.status_code == 200
    return response.content.decode()


# The frame ----------------------------------------------------------------------------------


def test_every_page_says_that_this_is_the_sandbox(client: Client, settings: Settings) -> None:
    settings.DEMO = True
    for page in (HOME, LIST, reverse("admin:password_change")):
        assert "nothing reaches real people" in text(client, page)
    client.logout()
    assert "nothing reaches real people" in text(client, reverse("admin:login"))


def test_the_vendor_is_named_when_it_is_real(client: Client, settings: Settings) -> None:
    settings.SYLLABLE_BASE_URL = "https://api.example.com"
    page = text(client)
    assert "Live: api.example.com" in page
    assert "nothing reaches real people" not in page


def test_every_page_says_how_old_the_mirror_is(client: Client) -> None:
    assert "Mirror is empty" in text(client)
    run()
    assert ">40 s</time> ago, never fully synced" in text(client, LIST)
    run(ago=7_000, fully_synced_at=timezone.now() - dt.timedelta(seconds=7_000))
    last = run(ago=20)
    last.fully_synced_at = timezone.now() - dt.timedelta(seconds=7_000)
    last.save()
    page = text(client, LIST)
    assert "Synced <time" in page and "fully synced <time" in page
    last.fully_synced_at = last.started_at
    last.save()
    assert "Fully synced" in text(client, LIST)


def test_an_old_mirror_stands_out(client: Client, settings: Settings) -> None:
    settings.MIRROR_MAX_AGE = 30
    run()
    assert "strip-mirror is-old" in text(client)


def test_an_unreachable_vendor_is_said_with_the_time_since_when(client: Client) -> None:
    run(ago=900)
    first = run("failed", ago=600, error="No answer within 5 s.")
    run("failed", ago=300, error="No answer within 5 s.")
    run("running", ago=5, finished_at=None)
    response = client.get(HOME)
    freshness = response.context["freshness"]
    assert freshness.failing_since == first.finished_at
    assert freshness.running
    page = response.content.decode()
    assert "No sync has succeeded since" in page
    assert "No answer within 5 s." in page


def test_a_rejected_key_is_said(client: Client) -> None:
    run("failed", error="The key is not accepted.", key_rejected=True)
    page = text(client)
    assert "Key rejected:" in page
    assert "The key is not accepted." in page


def test_a_halted_change_calls_for_a_person_on_every_page(client: Client, operator: User) -> None:
    world.batch()
    change = world.confirm(world.draft(operator), operator)
    Change.objects.update(state="running", halted_reason="<b>Key rejected.</b>")
    page = text(client, reverse("admin:batchops_campaign_changelist"))
    assert "needs a person" in page
    assert "&lt;b&gt;Key rejected." in page
    assert reverse("admin:batchops_change_change", args=[change.pk]) in page


def test_nothing_of_it_is_told_to_those_who_are_not_signed_in(client: Client) -> None:
    run("failed", error="The key is not accepted.", key_rejected=True)
    client.logout()
    page = text(client, reverse("admin:login"))
    assert "Key rejected" not in page
    assert "Mirror" not in page and "ynced" not in page


def test_the_sections_stand_in_the_order_of_need(client: Client, administrator: User) -> None:
    client.force_login(administrator)
    sections = client.get(HOME).context["available_apps"]
    assert [section["name"] for section in sections] == ["Operations", "People"]
    names = [model["name"] for section in sections for model in section["models"]]
    assert names == ["Batches", "Campaigns", "Changes", "Audit trail", "Syncs", "Users", "Groups"]


# The overview -------------------------------------------------------------------------------


def all_kinds(user: User) -> None:
    now = timezone.now()
    world.batch("on")
    world.batch("silent", paused=None)
    world.batch("soon", expires_on=now + dt.timedelta(hours=3))
    world.batch("held-outside", 2, paused=True, status="PAUSED")
    world.batch("failed", 2, status="FAILED", paused=True)
    world.batch("expired", 3, status="EXPIRED")
    world.batch("odd", 3, status="SLEEPING", id_shared_since=now)
    world.batch("changed_externally", changed_externally_at=now)
    world.batch("missing", missing_since=now)
    world.batch("deleted", deleted_at=now, missing_since=now)
    world.batch("held")
    change = world.ended(user, batches=Batch.objects.filter(pk="held"))
    Change.objects.filter(pk=change.pk).update(resume_at=now + dt.timedelta(days=1))


def test_each_tile_counts_what_its_list_shows(client: Client, operator: User) -> None:
    all_kinds(operator)
    tiles = client.get(HOME).context["tiles"]
    assert len(tiles) == 8
    for tile in tiles:
        shown = client.get(tile.address).context["cl"].result_count
        assert (tile.words, tile.number) == (tile.words, shown)
    assert {tile.words: tile.number for tile in tiles} == {
        "Live, not paused": 5,
        "Paused": 2,
        "Paused with no end": 1,
        "Expiring in 24 h": 1,
        "Failed": 1,
        "Changed outside": 1,
        "Id in several campaigns": 1,
        "Missing at the vendor": 1,
    }


def test_the_chart_adds_up_and_can_be_read_without_colours(client: Client, operator: User) -> None:
    all_kinds(operator)
    response = client.get(HOME)
    bars = response.context["bars"]
    assert sum(bar.total for bar in bars) == Batch.objects.present().count()
    assert all(sum(part.number for part in bar.parts) == bar.total for bar in bars)
    assert "1 expired, 1 other" in [bar.sentence for bar in bars]
    looks = [(part.tone, part.pattern) for part in response.context["legend"]]
    assert len(set(looks)) == len(looks)


def test_many_campaigns_are_told_together_beyond_the_largest(client: Client) -> None:
    for number in range(1, 16):
        for index in range(16 - number):
            world.batch(f"{number}-{index}", number)
    bars = client.get(HOME).context["bars"]
    assert len(bars) == 13
    assert bars[-1].name == "3 other campaigns"
    assert bars[-1].total == 3 + 2 + 1
    assert bars[0].name == "Campaign 1"


def test_open_changes_are_grouped_with_their_progress(client: Client, operator: User) -> None:
    world.batches(4)
    world.confirm(world.draft(operator), operator)
    later = timezone.now() + dt.timedelta(days=1)
    world.confirm(world.draft(operator), operator, starts_at=later)
    draft = world.draft(operator)
    running = Change.objects.get(state="queued")
    Change.objects.filter(pk=running.pk).update(
        state="running", counts_json={"applied": 2, "failed": 1, "pending": 1}
    )
    response = client.get(HOME)
    groups = dict(response.context["groups"])
    assert groups["Running"] == [running]
    assert len(groups["Scheduled"]) == 1
    assert draft not in overview.open_changes()
    assert "3 of 4, 1 not done" in response.content.decode()


def test_the_trail_is_shown_to_those_who_may_read_it(
    client: Client, auditor: User, operator: User
) -> None:
    audit.record_now(audit.Fact("sync.requested", audit.Actor.of_user(operator)))
    assert "entries" not in client.get(HOME).context
    client.force_login(auditor)
    entries = client.get(HOME).context["entries"]
    assert "sync.requested" in [entry.action for entry in entries]


def test_those_without_a_role_are_told_where_to_get_one(client: Client) -> None:
    world.batch()
    client.force_login(User.objects.create_user("nina", is_staff=True))
    page = text(client)
    assert "Ask an administrator for a role" in page
    assert "Emergency pause" not in page
    assert "Sync now" not in page


@pytest.mark.parametrize(("role", "shown"), [("viewer", False), ("operator", True)])
def test_the_emergency_pause_is_offered_to_those_who_may(
    client: Client, request: pytest.FixtureRequest, role: str, shown: bool
) -> None:
    world.batch()
    client.force_login(request.getfixturevalue(role))
    emergency = reverse("admin:batchops_change_emergency")
    campaign = text(client, reverse("admin:batchops_campaign_change", args=[1]))
    assert (f'action="{emergency}"' in text(client)) is shown
    assert (f'action="{emergency}"' in campaign) is shown


# Sync now -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["full", "incremental"])
def test_sync_now_is_recorded_and_enqueued(
    client: Client, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    asked: list[tuple[str, str]] = []
    monkeypatch.setattr(tasks, "sync_now", lambda kind, name: asked.append((kind, name)))
    response = client.post(NOW, {"kind": kind, "next": HOME}, follow=True)
    assert response.redirect_chain == [(HOME, 302)]
    assert b"sync requested" in response.content
    assert asked == [(kind, "olivia")]
    entry = AuditEntry.objects.get(action="sync.requested")
    assert (entry.actor_name, entry.detail) == ("olivia", {"kind": kind})


def test_a_queue_that_is_down_is_said(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: str) -> None:
        raise ConnectionError("no route to the queue")

    monkeypatch.setattr(tasks, "sync_now", refuse)
    page = client.post(NOW, follow=True).content
    assert b"The queue cannot be reached" in page
    assert b"sync requested" not in page


@pytest.mark.parametrize("role", ["viewer", "approver", "auditor"])
def test_sync_now_needs_its_permission(
    client: Client, request: pytest.FixtureRequest, role: str
) -> None:
    client.force_login(request.getfixturevalue(role))
    assert client.post(NOW).status_code == 403
    assert not AuditEntry.objects.filter(action="sync.requested").exists()


def test_sync_now_leads_to_no_other_site(client: Client) -> None:
    response = client.post(NOW, {"next": "https://example.com/"})
    assert response["Location"] == reverse("admin:batchops_syncrun_changelist")
    assert client.get(NOW).status_code == 405


def test_syncs_are_listed_with_what_went_wrong(client: Client) -> None:
    failed = run("failed", error="No <answer>.", notes=["Unknown status <x>"])
    page = text(client, reverse("admin:batchops_syncrun_changelist"))
    assert "No &lt;answer&gt;." in page
    assert "Sync now" in page
    page = text(client, reverse("admin:batchops_syncrun_change", args=[failed.pk]))
    assert "Unknown status &lt;x&gt;" in page


# Campaigns ----------------------------------------------------------------------------------


def test_a_campaign_shows_its_batches_by_status(client: Client, operator: User) -> None:
    all_kinds(operator)
    response = client.get(reverse("admin:batchops_campaign_change", args=[2]))
    assert response.context["numbers"] == {"PAUSED": 1, "FAILED": 1}
    assert (response.context["on"], response.context["paused"]) == (0, 1)


@pytest.mark.parametrize("key", ["99", "x", "9" * 30, "1'"])
def test_an_unknown_campaign_has_no_page(client: Client, key: str) -> None:
    address = reverse("admin:batchops_campaign_change", args=[key])
    assert client.get(address).status_code == 404


def test_campaigns_are_listed_with_their_numbers(client: Client, operator: User) -> None:
    all_kinds(operator)
    response = client.get(reverse("admin:batchops_campaign_changelist"))
    numbers = {
        row.pk: (row.present_batches, row.on_batches, row.paused_batches)
        for row in response.context["cl"].result_list
    }
    assert numbers == {1: (5, 4, 1), 2: (2, 0, 1), 3: (2, 1, 0)}
