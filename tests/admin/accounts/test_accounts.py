"""Accounts and groups: nobody grants what they do not hold, or touches a mightier account."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from django.urls import reverse

from batchops.models import AuditEntry

pytestmark = pytest.mark.django_db

KEEPS_ACCOUNTS = ("view_user", "add_user", "change_user", "delete_user")
KEEPS_GROUPS = ("view_group", "add_group", "change_group", "delete_group")


@pytest.fixture
def keeper(make_person: Callable[..., User]) -> User:
    """Keeps accounts and groups, and is a viewer besides."""
    person = make_person("kim", "Viewer")
    person.user_permissions.set(
        Permission.objects.filter(codename__in=(*KEEPS_ACCOUNTS, *KEEPS_GROUPS))
    )
    return person


@pytest.fixture
def client(keeper: User) -> Client:
    client = Client()
    client.force_login(keeper)
    return client


def change(client: Client, user: User, **fields: Any) -> int:
    """Send the form of an account with other values; the status of the answer."""
    form: dict[str, Any] = {
        "username": user.username,
        "email": user.email,
        "is_active": "on",
        "is_staff": "on",
        "date_joined_0": "2026-01-01",
        "date_joined_1": "00:00",
        **fields,
    }
    return client.post(reverse("admin:auth_user_change", args=[user.pk]), form).status_code


def denied() -> list[str]:
    return list(
        AuditEntry.objects.filter(action="access.denied", actor_name="kim").values_list(
            "detail__why", flat=True
        )
    )


def group(name: str) -> Group:
    return Group.objects.get(name=name)


def test_a_keeper_gives_what_they_hold(client: Client, make_person: Callable[..., User]) -> None:
    otto = make_person("otto")
    assert change(client, otto, groups=[group("Viewer").pk]) == 302
    assert list(otto.groups.all()) == [group("Viewer")]


def test_and_nothing_else(client: Client, make_person: Callable[..., User]) -> None:
    otto = make_person("otto")
    release = Permission.objects.get(codename="expand_outreach")
    for more in (
        {"groups": [group("Operator").pk]},
        {"user_permissions": [release.pk]},
        {"is_superuser": "on"},
    ):
        assert change(client, otto, **more) == 403
    otto.refresh_from_db()
    assert not otto.is_superuser
    assert not otto.has_perm("batchops.expand_outreach")
    assert len(denied()) == 3
    page = client.get(reverse("admin:auth_user_change", args=[otto.pk])).content.decode()
    assert "Viewer" in page
    assert "Operator" not in page


@pytest.mark.parametrize("mightier", ["administrator", "operator", "approver"])
def test_nobody_touches_a_mightier_account(
    client: Client, request: pytest.FixtureRequest, mightier: str
) -> None:
    other: User = request.getfixturevalue(mightier)
    before = other.password
    assert change(client, other, is_active="") == 403
    password = reverse("admin:auth_user_password_change", args=[other.pk])
    form = {"password1": "a-long-pass-9", "password2": "a-long-pass-9"}
    assert client.post(password, form | {"set-password": "x"}).status_code == 403
    gone = client.post(reverse("admin:auth_user_delete", args=[other.pk]), {"post": "yes"})
    assert gone.status_code == 403
    several = {"action": "delete_selected", "_selected_action": [other.pk], "post": "yes"}
    assert client.post(reverse("admin:auth_user_changelist"), several).status_code == 403
    other.refresh_from_db()
    assert (other.is_active, other.password) == (True, before)
    assert len(denied()) == 4


def test_a_mightier_account_stays_mightier_while_it_is_not_active(
    client: Client, operator: User
) -> None:
    User.objects.filter(pk=operator.pk).update(is_active=False)
    assert change(client, operator) == 403


def test_nobody_edits_their_own_rights(client: Client, keeper: User) -> None:
    assert change(client, keeper, groups=[]) == 403, "also not those they could give to others"
    page = reverse("admin:auth_user_change", args=[keeper.pk])
    form = {"username": "kim", "first_name": "Kim", "date_joined_0": "2026-01-01"}
    assert client.post(page, form | {"date_joined_1": "00:00"}).status_code == 302
    keeper.refresh_from_db()
    assert keeper.first_name == "Kim"
    assert list(keeper.groups.all()) == [group("Viewer")]
    delete = reverse("admin:auth_user_delete", args=[keeper.pk])
    assert client.post(delete, {"post": "yes"}).status_code == 403


@pytest.mark.parametrize("written", ["{}", "0{}", "+{}", " {}", "{} "])
def test_nor_their_own_password_without_the_old_one_however_their_number_is_written(
    client: Client, keeper: User, written: str
) -> None:
    own, before = [written.format(keeper.pk)], keeper.password
    new = {"password1": "Xyzzy-12345-q", "password2": "Xyzzy-12345-q", "usable_password": "true"}
    answer = client.post(reverse("admin:auth_user_password_change", args=own), new)
    assert answer["Location"] == reverse("admin:password_change"), "the old one is asked for"
    keeper.refresh_from_db()
    assert keeper.password == before
    page = reverse("admin:auth_user_change", args=own)
    assert client.post(page, {"username": "kim", "is_staff": "on"}).status_code == 403


def test_nor_the_groups_they_are_in_or_that_give_more(client: Client) -> None:
    release = Permission.objects.get(codename="expand_outreach")
    view = Permission.objects.get(codename="view_batch")
    for name in ("Viewer", "Operator"):
        address = reverse("admin:auth_group_change", args=[group(name).pk])
        assert client.post(address, {"name": name, "permissions": [view.pk]}).status_code == 403
        gone = reverse("admin:auth_group_delete", args=[group(name).pk])
        assert client.post(gone, {"post": "yes"}).status_code == 403
    add = reverse("admin:auth_group_add")
    assert client.post(add, {"name": "New", "permissions": [release.pk]}).status_code == 403
    assert client.post(add, {"name": "New", "permissions": [view.pk]}).status_code == 302


def test_an_administrator_is_not_restricted(administrator: User, operator: User) -> None:
    client = Client()
    client.force_login(administrator)
    assert change(client, operator, is_superuser="on", groups=[group("Approver").pk]) == 302
    operator.refresh_from_db()
    assert operator.is_superuser


def test_an_action_that_is_not_offered_is_denied_and_recorded(viewer: User) -> None:
    client = Client()
    client.force_login(viewer)
    for page, action in (
        ("admin:batchops_batch_changelist", "pause"),
        ("admin:batchops_batch_changelist", "no_such"),
    ):
        form = {"action": action, "_selected_action": ["b-1"], "index": "0"}
        assert client.post(reverse(page), form).status_code == 403
    told = AuditEntry.objects.filter(action="access.denied", actor_name="victor")
    assert [entry.detail["why"] for entry in told.order_by("sequence")] == [
        "the action pause",
        "the action no_such",
    ]
