"""Who sees which view of the trail, and that nobody can write through any of them."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from batchops.models import Action, AuditEntry
from tests.admin.trail.trail import address, write

pytestmark = [pytest.mark.once, pytest.mark.django_db]

READING = ("changelist", "change", "person", "report")
REVIEWING = ("desk", "sample")
POSTING = {"review": "review", "draw": "review", "sign_off": "review", "export": "export"}


def page_address(view: str) -> str:
    if view == "change":
        return address("change", write().pk)
    if view == "sample":
        return address("sample", write(Action.AUDIT_SAMPLED, detail={"sequences": [1]}).pk)
    if view == "person":
        write()
        return address("person", name="olivia")
    return address(view)


def signed_in(client: Client, request: pytest.FixtureRequest, role: str) -> Client:
    client.force_login(request.getfixturevalue(role))
    return client


@pytest.mark.parametrize("view", READING + REVIEWING)
@pytest.mark.parametrize("role", ["auditor", "administrator"])
def test_those_who_examine_the_trail_see_every_page(
    client: Client, request: pytest.FixtureRequest, role: str, view: str
) -> None:
    response = signed_in(client, request, role).get(page_address(view))
    assert response.status_code == 200


@pytest.mark.parametrize("view", READING + REVIEWING)
@pytest.mark.parametrize("role", ["viewer", "operator", "approver"])
def test_others_see_none_and_their_try_is_recorded(
    client: Client, request: pytest.FixtureRequest, role: str, view: str
) -> None:
    # The person comes first: nobody gets the name under which the trail already shows an act.
    visitor = signed_in(client, request, role)
    where = page_address(view)
    response = visitor.get(where)
    assert response.status_code == 403
    denied = AuditEntry.objects.get(action=Action.ACCESS_DENIED)
    assert denied.detail["path"] == where.partition("?")[0]


@pytest.mark.parametrize("view", POSTING)
@pytest.mark.parametrize("role", ["viewer", "operator", "approver"])
def test_others_can_neither_review_nor_export(
    client: Client, request: pytest.FixtureRequest, role: str, view: str
) -> None:
    visitor = signed_in(client, request, role)
    write()
    data = {"comment": "seen", "scope": "filter", "kind": "csv", "size": 1}
    assert visitor.post(address(view), data).status_code == 403
    assert not AuditEntry.objects.filter(action__startswith="audit.").exists()


@pytest.mark.parametrize(("view", "permission"), POSTING.items())
def test_reading_alone_does_not_let_a_person_review_or_export(
    client: Client, auditor: User, view: str, permission: str
) -> None:
    auditor.groups.clear()
    auditor.user_permissions.set(
        _permission(name) for name in ("view", "review", "export") if name != permission
    )
    client.force_login(auditor)
    write()
    data = {"comment": "seen", "scope": "filter", "kind": "csv", "size": 1}
    assert client.get(address()).status_code == 200
    assert client.post(address(view), data).status_code == 403


@pytest.mark.parametrize("view", [*READING, *REVIEWING, *POSTING])
def test_strangers_are_sent_to_the_sign_in(client: Client, view: str) -> None:
    where = page_address(view) if view not in POSTING else address(view)
    response = client.get(where)
    assert response.status_code == 302
    assert response["Location"].startswith(reverse("admin:login"))


@pytest.mark.parametrize("role", ["auditor", "administrator"])
def test_nobody_can_add_change_or_delete_an_entry(
    client: Client, request: pytest.FixtureRequest, role: str
) -> None:
    entry = write()
    signed_in(client, request, role)
    attempts = (
        client.get(address("add")),
        client.post(address("add"), {"actor_name": "forged"}),
        client.post(address("change", entry.pk), {"actor_name": "forged"}),
        client.get(address("delete", entry.pk)),
        client.post(address("delete", entry.pk), {"post": "yes"}),
        client.post(address(), {"action": "delete_selected", "_selected_action": entry.pk}),
    )
    assert [response.status_code for response in attempts] == [403] * len(attempts)
    entry.refresh_from_db()
    assert entry.actor_name == "olivia"


@pytest.mark.parametrize("view", POSTING)
def test_what_records_something_is_never_done_by_following_a_link(
    client: Client, auditor: User, view: str
) -> None:
    client.force_login(auditor)
    assert client.get(address(view)).status_code == 405


def test_deleting_an_account_breaks_neither_the_admin_nor_the_trail(
    client: Client, administrator: User, operator: User
) -> None:
    write()
    client.force_login(administrator)
    response = client.post(
        reverse("admin:auth_user_delete", args=[operator.pk]), {"post": "yes"}, follow=True
    )
    assert response.status_code == 200
    assert not User.objects.filter(username="olivia").exists()
    page = client.get(address("person", name="olivia"))
    assert b"There is no account of this name" in page.content
    assert b"olivia paused 20260324.9" in page.content


def _permission(name: str) -> Permission:
    return Permission.objects.get(codename=f"{name}_auditentry")
