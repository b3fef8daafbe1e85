"""The page of one batch: what it shows, what it asks the vendor, and what its form drafts."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.contrib.admin.utils import quote
from django.contrib.auth.models import Permission, User
from django.db import transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from batchops import audit
from batchops.models import AuditEntry, Batch, Change, ChangeState, SyncRun
from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.services.mirror import sync
from tests.services.changes import world

pytestmark = [pytest.mark.once, pytest.mark.django_db]

TOMORROW = timezone.now() + dt.timedelta(days=1)


@pytest.fixture
def client(client: Client, operator: User) -> Client:
    client.force_login(operator)
    return client


def page(name: str = "b-1") -> str:
    return reverse("admin:batchops_batch_change", args=[quote(name)])


def counts(name: str = "b-1") -> str:
    return reverse("admin:batchops_batch_counts", args=[quote(name)])


@pytest.mark.parametrize(
    "name", ["b-1", "../campaigns/1", "a/b?c#d%2F", "paste", "x/counts", "ü 1"]
)
def test_every_id_has_its_page(client: Client, name: str) -> None:
    world.batch(name)
    response = client.get(page(name))
    assert response.status_code == 200
    assert response.context["batch"].pk == name


@pytest.mark.parametrize("name", ["ghost", "\x00", "x" * 300])
def test_an_unknown_id_has_none(client: Client, name: str) -> None:
    assert client.get(page(name)).status_code == 404
    assert client.get(counts(name)).status_code == 404


def test_nobody_sees_it_without_the_permission(client: Client) -> None:
    world.batch()
    client.force_login(User.objects.create_user("nina", is_staff=True))
    assert client.get(page()).status_code == 403
    assert client.get(counts()).status_code == 403
    assert client.post(page(), {"paused": "pause"}).status_code == 403


def test_a_viewer_sees_it_without_the_form_and_cannot_forge_one(
    client: Client, viewer: User
) -> None:
    world.batch()
    client.force_login(viewer)
    assert client.get(page()).context["form"] is None
    assert client.post(page(), {"paused": "pause"}).status_code == 403
    assert not Change.objects.exists()


def past_of(name: str, user: User) -> None:
    """A pause, a change outside, a failure and a sign-in, which is no matter of the batch."""
    world.batch(name)
    world.ended(user, batches=Batch.objects.filter(pk=name))
    person, outside = audit.Actor.of_user(user, "192.0.2.7"), audit.Actor.outside("console")
    pause = {"paused": True}
    facts = [
        audit.Fact("batch.applied", person, "applied", name, detail={"requested": pause}),
        audit.Fact("batch.changed_outside", outside, "outside", name, before=pause, after={}),
        audit.Fact("batch.failed", person, "failed", name, reason="wrong list"),
        audit.Fact("account.signed_in", person, "ok"),
    ]
    with transaction.atomic():
        for fact in facts:
            audit.record(fact)


def kinds(client: Client, query: str) -> list[str]:
    history = client.get(f"{page()}?{query}").context["history"]
    return [entry.action.partition(".")[2] for entry in history.entries]


@pytest.mark.parametrize("role", ["viewer", "operator", "approver", "auditor"])
def test_whoever_may_see_a_batch_sees_who_did_what_to_it(
    client: Client, operator: User, request: pytest.FixtureRequest, role: str
) -> None:
    past_of("b-1", operator)
    client.force_login(request.getfixturevalue(role))
    assert kinds(client, "") == ["failed", "changed_outside", "applied"]
    assert kinds(client, "history=ours") == ["failed", "applied"]
    assert kinds(client, "history=outside") == ["changed_outside"]
    assert kinds(client, "history=trouble") == ["failed"]
    shown = client.get(page()).content.decode()
    assert "olivia paused b-1" in shown
    # Neither the address of a person nor what is the auditors' own.
    assert "192.0.2.7" not in shown
    assert ("auditentry/" in shown) == (role == "auditor")
    assert client.get(f"{page()}?history=secret").status_code == 400
    assert client.get(f"{page()}?before=x").status_code == 400


def test_the_history_goes_on_page_by_page_to_its_beginning(client: Client, operator: User) -> None:
    world.batch()
    actor = audit.Actor.of_user(operator)
    with transaction.atomic():
        for _ in range(65):
            audit.record(audit.Fact("batch.applied", actor, "applied", "b-1"))
    seen: list[int] = []
    query = ""
    while True:
        history = client.get(f"{page()}?{query}").context["history"]
        seen += [entry.sequence for entry in history.entries]
        if history.before is None:
            break
        query = f"before={history.before}"
    assert len(seen) == len(set(seen)) == 65
    assert seen == sorted(seen, reverse=True)


def test_without_its_permission_the_history_is_not_shown(client: Client, operator: User) -> None:
    past_of("b-1", operator)
    nina = User.objects.create_user("nina", is_staff=True)
    nina.user_permissions.add(Permission.objects.get(codename="view_batch"))
    client.force_login(nina)
    response = client.get(page())
    assert response.context["history"] is None
    assert "timeline-entry" not in response.content.decode()


def test_one_batch_is_paused_with_one_field(client: Client, operator: User) -> None:
    world.batch()
    pause = reverse("admin:batchops_batch_pause", args=["b-1"])
    assert pause in client.get(page()).content.decode()
    client.post(pause, {"reason": "  "})
    assert not Change.objects.exists()
    response = client.post(pause, {"reason": "wrong list"})
    change = Change.objects.get()
    assert response["Location"] == reverse("admin:batchops_change_change", args=[change.pk])
    assert (change.state, change.reason) == (ChangeState.QUEUED, "wrong list")
    assert [item.batch_id for item in change.items.all()] == ["b-1"]


@pytest.mark.parametrize("role", ["viewer", "approver"])
def test_who_may_not_pause_is_not_offered_it(
    client: Client, request: pytest.FixtureRequest, role: str
) -> None:
    world.batch()
    pause = reverse("admin:batchops_batch_pause", args=["b-1"])
    client.force_login(request.getfixturevalue(role))
    assert pause not in client.get(page()).content.decode()
    client.post(pause, {"reason": "wrong list"})
    assert not Change.objects.exists()
    assert client.get(pause).status_code == 405


@pytest.mark.parametrize(
    ("fields", "offered"),
    [
        ({}, ["Pause…"]),
        ({"paused": True}, ["Resume…"]),
        ({"status": "FAILED"}, []),
        ({"missing_since": TOMORROW}, []),
        ({"id_shared_since": TOMORROW}, []),
    ],
)
def test_only_what_makes_sense_now_is_offered(
    client: Client, fields: dict[str, Any], offered: list[str]
) -> None:
    world.batch(**fields)
    shown = client.get(page()).content.decode()
    assert [words for words in ("Pause…", "Resume…") if words in shown] == offered


def test_open_changes_on_it_are_linked(client: Client, operator: User) -> None:
    world.batches(2)
    change = world.confirm(world.draft(operator), operator)
    assert client.get(page("b-1")).context["open_changes"] == [change]
    assert reverse("admin:batchops_change_change", args=[change.pk]).encode() in (
        client.get(page("b-1")).content
    )


@pytest.mark.parametrize(
    ("given", "patch"),
    [
        ({"paused": "pause"}, {"paused": True}),
        ({"paused": "resume"}, {"paused": False}),
        ({"expiry": "clear"}, {"expires_on": None}),
        (
            {"expiry": "at", "expires_on": "2099-01-31T08:00"},
            {"expires_on": "2099-01-31T08:00:00Z"},
        ),
        ({"rate": "set", "call_rate": "60"}, {"call_rate": 60}),
        ({"rate": "clear"}, {"call_rate": None}),
        ({"auto_call_rate": "on"}, {"auto_call_rate": True}),
        ({"auto_call_rate": "off", "paused": "pause"}, {"paused": True, "auto_call_rate": False}),
    ],
)
def test_the_form_drafts_what_it_says_and_leaves_the_rest(
    client: Client, given: dict[str, str], patch: dict[str, Any]
) -> None:
    world.batch(expires_on=TOMORROW, call_rate=5)
    response = client.post(page(), given)
    change = Change.objects.get()
    assert response["Location"] == reverse("admin:batchops_change_preview", args=[change.pk])
    assert change.patch_json == patch
    assert change.source == Change.Source.FORM
    assert change.selection == "Batch b-1"


def test_automatic_call_rate_and_the_expiry_it_needs_can_be_asked_for_together(
    client: Client,
) -> None:
    world.batch()
    client.post(page(), {"auto_call_rate": "on", "expiry": "week"})
    assert set(Change.objects.get().patch_json) == {"auto_call_rate", "expires_on"}


@pytest.mark.parametrize(
    ("given", "field", "message"),
    [
        ({}, "__all__", "Nothing would change"),
        ({"auto_call_rate": "on"}, "auto_call_rate", "needs an expiry"),
        ({"auto_call_rate": "on", "expiry": "clear"}, "auto_call_rate", "needs an expiry"),
        ({"expiry": "at"}, "expires_on", "Enter a date and a time"),
        ({"expiry": "at", "expires_on": "31.1.2099"}, "expires_on", "Enter a date and a time"),
        ({"expiry": "at", "expires_on": "2020-01-01T00:00"}, "expires_on", "in the past"),
        ({"expires_on": "2099-01-01T00:00"}, "expires_on", "would be ignored"),
        ({"rate": "set"}, "call_rate", "Enter a whole number"),
        ({"rate": "set", "call_rate": "4000"}, "call_rate", "Between 1 and 3,600"),
        ({"call_rate": "60"}, "call_rate", "would be ignored"),
        ({"paused": "perhaps"}, "paused", "Select a valid choice"),
        ({"rate": "x"}, "rate", "Select a valid choice"),
    ],
)
def test_bad_input_is_refused_at_its_field_and_nothing_is_drafted(
    client: Client, given: dict[str, str], field: str, message: str
) -> None:
    world.batch()
    response = client.post(page(), given)
    assert response.status_code == 200
    assert message in str(response.context["form"].errors[field])
    assert not Change.objects.exists()


def test_a_time_that_the_clocks_leave_out_is_refused(client: Client) -> None:
    world.batch()
    client.cookies["time_zone"] = "Europe/Berlin"
    response = client.post(page(), {"expiry": "at", "expires_on": "2099-03-29T02:30"})
    assert "expires_on" in response.context["form"].errors


def test_releasing_choices_are_kept_from_those_who_may_not(
    client: Client, operator: User, make_person: Any
) -> None:
    person = make_person("paula")
    person.user_permissions.set(
        permission
        for permission in operator.groups.get().permissions.all()
        if permission.codename != "expand_outreach"
    )
    client.force_login(person)
    world.batch(paused=True, expires_on=TOMORROW)
    form = client.get(page()).context["form"]
    assert "auto_call_rate" not in form.fields
    for given in ({"paused": "resume"}, {"expiry": "clear"}, {"rate": "clear"}):
        assert client.post(page(), given).context["form"].errors
    later = {"expiry": "at", "expires_on": "2099-01-31T08:00"}
    assert "may not let outreach" in str(client.post(page(), later).context["form"].errors)
    assert not Change.objects.exists()


class TestLiveCounts:
    """How far a batch is, as the vendor tells when somebody looks."""

    pytestmark = pytest.mark.django_db(transaction=True)

    @pytest.fixture
    def vendor(self, sandbox: EmbeddedSandbox, client: Client) -> EmbeddedSandbox:
        sandbox.add_batch(
            batch_id="b-1",
            campaign_id=1,
            status="ACTIVE",
            paused=False,
            contacts=500,
            reached=0.4,
            call_rate=10,
        )
        sync.run_sync(SyncRun.Kind.FULL)
        sandbox.reset_journal()
        return sandbox

    def test_they_are_fetched_on_view_and_kept_for_half_a_minute(
        self, client: Client, vendor: EmbeddedSandbox
    ) -> None:
        html = client.get(counts()).json()["html"]
        assert "Pending" in html
        assert "At 10 an hour" in html
        assert "An estimate." in html
        client.get(counts())
        assert len(vendor.journal("GET")) == 1

    def test_they_are_there_without_a_script(self, client: Client, vendor: EmbeddedSandbox) -> None:
        assert b"?counts=1" in client.get(page()).content
        assert vendor.journal("GET") == []
        assert b"At 10 an hour" in client.get(f"{page()}?counts=1").content

    def test_a_vendor_that_fails_is_said_softly(
        self, client: Client, vendor: EmbeddedSandbox
    ) -> None:
        vendor.set_faults(error_503=1)
        response = client.get(counts())
        assert response.status_code == 200
        assert "The vendor gave no counts" in response.json()["html"]
        assert len(vendor.journal("GET")) == 1

    def test_nothing_of_it_is_stored(self, client: Client, vendor: EmbeddedSandbox) -> None:
        before = Batch.objects.values().get()
        client.get(counts())
        assert Batch.objects.values().get() == before
        assert not AuditEntry.objects.filter(batch_id="b-1").exists()

    def test_a_batch_that_is_gone_is_not_asked_for(
        self, client: Client, vendor: EmbeddedSandbox
    ) -> None:
        Batch.objects.update(missing_since=timezone.now())
        assert "no longer has this batch" in client.get(counts()).json()["html"]
        assert vendor.journal("GET") == []


def test_a_campaign_shows_what_was_done_to_its_batches_and_is_paused_from_its_row(
    client: Client, operator: User, viewer: User
) -> None:
    world.campaign(-7)
    for name, fields in {"a": {}, "b": {}, "c": {"paused": True}}.items():
        world.batch(name, -7, **fields)
    batch = Batch.objects.get(pk="a")
    audit.record_now(audit.Fact.about_batch("batch.failed", audit.Actor.of_user(operator), batch))
    address = reverse("admin:batchops_campaign_change", args=[-7])
    assert [entry.batch_id for entry in client.get(address).context["entries"]] == ["a"]
    rows = reverse("admin:batchops_campaign_changelist")
    assert "Pause 2…" in client.get(rows).content.decode()
    client.post(reverse("admin:batchops_change_emergency"), {"campaign": "-7"})
    plans = dict(Change.objects.get().items.values_list("batch_id", "plan"))
    assert plans == {"a": "act", "b": "act", "c": "already"}
    client.force_login(viewer)
    assert "Pause 2…" not in client.get(rows).content.decode()
