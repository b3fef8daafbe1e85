"""What happens to accounts and permissions is in the trail, with who did it, never a password."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from django.urls import reverse

from batchops import audit
from batchops.models import Action, AuditEntry, Batch, Campaign, Change
from batchops.services.proof.verification import verify
from tests.audit import trail
from tests.services.push.world import confirmed

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_trail")]


def facts_since(sequence: int) -> list[AuditEntry]:
    return list(AuditEntry.objects.filter(sequence__gt=sequence).order_by("sequence"))


def after(doing: Callable[[], object]) -> list[AuditEntry]:
    """The entries that doing something leaves."""
    last = AuditEntry.objects.order_by("-sequence").values_list("sequence", flat=True).first() or 0
    doing()
    return facts_since(last)


def test_an_account_made_changed_and_deleted_leaves_an_entry_each() -> None:
    created = after(lambda: User.objects.create_user("olga", password="secret-1"))
    assert [entry.action for entry in created] == [Action.ACCOUNT_CREATED]
    user = User.objects.get(username="olga")
    user.is_active = False
    changed = after(user.save)
    assert [entry.action for entry in changed] == [Action.ACCOUNT_CHANGED]
    assert (changed[0].before, changed[0].after) == ({"is_active": True}, {"is_active": False})
    deleted = after(user.delete)
    assert [entry.action for entry in deleted] == [Action.ACCOUNT_DELETED]
    assert deleted[0].before is not None
    assert deleted[0].before["username"] == "olga"


def test_a_changed_password_is_recorded_but_neither_it_nor_its_hash() -> None:
    user = User.objects.create_user("olga", password="secret-1")
    user.set_password("secret-2")
    entries = after(user.save)
    assert [entry.action for entry in entries] == [Action.ACCOUNT_PASSWORD]
    everything = json.dumps(list(AuditEntry.objects.values()), default=str)
    assert "secret" not in everything
    assert user.password not in everything


def test_saving_an_account_as_it_is_leaves_no_entry(operator: User) -> None:
    assert after(operator.save) == []
    assert after(lambda: operator.save(update_fields=["last_login"])) == []


def test_given_and_taken_permissions_are_recorded_from_either_side(operator: User) -> None:
    group = Group.objects.get(name="Auditor")
    permission = Permission.objects.get(codename="archive_auditentry")
    doings: list[tuple[Callable[[], object], str, list[str]]] = [
        (lambda: operator.groups.add(group), "added", ["Auditor"]),
        (lambda: operator.groups.add(group), "", []),
        (lambda: operator.groups.remove(group), "removed", ["Auditor"]),
        (lambda: group.user_set.add(operator), "added", ["Auditor"]),
        (lambda: operator.groups.clear(), "removed", ["Auditor", "Operator"]),
        (
            lambda: operator.user_permissions.set([permission]),
            "added",
            ["batchops.archive_auditentry"],
        ),
        (lambda: permission.user_set.clear(), "removed", ["batchops.archive_auditentry"]),
    ]
    for doing, move, names in doings:
        entries = after(doing)
        assert len(entries) == (1 if names else 0)
        for entry in entries:
            assert entry.action == Action.ACCOUNT_PERMISSIONS
            assert entry.detail["account"] == "olivia"
            assert entry.detail[move] == names


def test_what_a_group_may_do_is_recorded() -> None:
    permission = Permission.objects.get(codename="archive_auditentry")
    made = after(lambda: Group.objects.create(name="Archivist"))
    group = Group.objects.get(name="Archivist")
    given = after(lambda: group.permissions.add(permission))
    group.name = "Keeper"
    renamed = after(group.save)
    gone = after(group.delete)
    actions = [entry.action for entry in (*made, *given, *renamed, *gone)]
    assert actions == [
        Action.GROUP_CREATED,
        Action.GROUP_CHANGED,
        Action.GROUP_CHANGED,
        Action.GROUP_DELETED,
    ]
    assert given[0].detail["added"] == ["batchops.archive_auditentry"]


def test_in_the_admin_the_entry_names_who_did_it(administrator: User, operator: User) -> None:
    client = Client()
    client.force_login(administrator)
    form = {
        "username": "olivia",
        "email": operator.email,
        "is_staff": "on",
        "date_joined_0": "2026-03-24",
        "date_joined_1": "06:00:00",
        "groups": [str(group.pk) for group in operator.groups.all()],
    }
    url = reverse("admin:auth_user_change", args=[operator.pk])
    entries = after(lambda: client.post(url, form, REMOTE_ADDR="192.0.2.9"))
    changed = [entry for entry in entries if entry.action == Action.ACCOUNT_CHANGED]
    assert len(changed) == 1
    assert (changed[0].actor_name, changed[0].actor_ip) == ("ada", "192.0.2.9")
    assert changed[0].after == {"is_active": False}


def test_outside_a_request_the_entry_names_the_account_of_the_machine() -> None:
    entries = after(lambda: User.objects.create_user("olga"))
    assert entries[0].who == f"command line, by {audit.machine_account()}"


def test_a_person_with_changes_and_entries_can_be_deleted_in_the_admin(
    administrator: User, operator: User
) -> None:
    change = a_change_of(operator)
    before = AuditEntry.objects.filter(actor_name="olivia").count()
    assert before
    client = Client()
    client.force_login(administrator)
    url = reverse("admin:auth_user_delete", args=[operator.pk])
    page = client.get(url)
    assert page.status_code == 200
    assert "cannot delete" not in page.content.decode().lower()
    entries = after(lambda: client.post(url, {"post": "yes"}))
    assert Action.ACCOUNT_DELETED in [entry.action for entry in entries]
    assert not User.objects.filter(pk=operator.pk).exists()
    change.refresh_from_db()
    assert (change.requested_by, change.requested_by_name) == (None, "olivia")
    assert AuditEntry.objects.filter(actor_name="olivia").count() == before
    assert verify().is_good
    for name in ("auditentry", "change", "batch", "campaign", "syncrun"):
        assert client.get(reverse(f"admin:batchops_{name}_changelist")).status_code == 200
    assert client.get(reverse("admin:index")).status_code == 200
    entry = AuditEntry.objects.filter(actor_name="olivia").latest("sequence")
    for subject in (entry, change):
        model = subject._meta.model_name
        address = reverse(f"admin:batchops_{model}_change", args=[subject.pk])
        assert client.get(address).status_code == 200


def test_a_renamed_campaign_leaves_the_trail_as_it_was() -> None:
    campaign = Campaign.objects.create(
        id=1, campaign_name="Spring", synced_at=trail.MOMENT, observed_at=trail.MOMENT
    )
    batch = Batch(batch_id="20260324.9", campaign=campaign)
    audit.record_now(audit.Fact.about_batch(Action.BATCH_APPLIED, trail.OLIVIA, batch))
    campaign.campaign_name = "Summer"
    campaign.save()
    assert AuditEntry.objects.latest("sequence").campaign_name == "Spring"
    assert verify().is_good


def a_change_of(user: User) -> Change:
    campaign = Campaign.objects.create(id=1, synced_at=trail.MOMENT, observed_at=trail.MOMENT)
    Batch.objects.create(
        batch_id="20260324.9",
        campaign=campaign,
        status="ACTIVE",
        paused=False,
        synced_at=trail.MOMENT,
        observed_at=trail.MOMENT,
    )
    return confirmed(user)
