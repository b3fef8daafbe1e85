"""Saved views of the batch list: whose they are, what they find, and how the list opens."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from batchops.models import Action, AuditEntry
from batchops.saved_views.models import SavedView
from tests.services.changes import world

pytestmark = pytest.mark.django_db(transaction=True)

LIST = reverse("admin:batchops_batch_changelist")
SAVE = reverse("admin:batchops_batch_save_view")
COUNTS = reverse("admin:batchops_batch_view_counts")
DEFAULT = reverse("admin:batchops_batch_default_view")


def of(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


def names(client: Client) -> list[str]:
    """The views that the list offers a person."""
    return [view.name for view in client.get(f"{LIST}?show=on").context["views"]]


def saved(client: Client, name: str, query: str, **more: str) -> SavedView | None:
    client.post(SAVE, {"name": name, "query": query, **more})
    return SavedView.objects.filter(name=name).first()


def entries() -> list[str]:
    found = AuditEntry.objects.filter(action__in=(Action.VIEW_SHARED, Action.VIEW_REMOVED))
    return [entry.action for entry in found.order_by("sequence")]


def test_a_view_is_ones_own_until_it_is_shared(operator: User, approver: User) -> None:
    olivia, amir = of(operator), of(approver)
    saved(olivia, "late  ones", "show=failed&o=-6&p=3&q=")
    view = SavedView.objects.get()
    assert (view.name, view.query, view.owner_name) == ("late ones", "show=failed&o=-6", "olivia")
    assert (names(olivia), names(amir), entries()) == (["late ones"], [], [])
    saved(olivia, "late ones", "show=failed", shared="on")
    assert SavedView.objects.get().query == "show=failed"
    assert (names(olivia), names(amir)) == (["late ones"], ["late ones"])
    saved(olivia, "late ones", "show=failed")
    assert (names(amir), entries()) == ([], ["view.shared", "view.removed"])


def test_each_view_says_how_many_batches_it_finds_now(operator: User) -> None:
    for count in range(5):
        world.batch(f"b-{count}", status="FAILED" if count < 3 else "ACTIVE", call_rate=count)
    client = of(operator)
    views = {
        saved(client, "failed", "show=failed"): "3",
        saved(client, "not failed", "status=FAILED&status_not=1"): "2",
        saved(client, "mine", "show=mine"): "0",
        saved(client, "found", "q=b-1&created_from=2020-01-01"): "0",
    }
    # The list has learnt other words since.
    views[
        SavedView.objects.create(
            owner=operator, name="odd", query="show=odd", created_at=timezone.now()
        )
    ] = "?"
    answer = client.get(COUNTS).json()["counts"]
    assert answer == {str(view.pk): number for view, number in views.items() if view}
    for view, number in views.items():
        if view and number != "?":
            shown = client.get(f"{LIST}?{view.query}").context["cl"]
            assert shown.matching.number == int(number)


def test_the_list_opens_with_the_default_of_each_person(operator: User, approver: User) -> None:
    olivia, amir = of(operator), of(approver)
    view = saved(olivia, "failed", "show=failed", shared="on", default="on")
    assert view
    assert olivia.get(LIST)["Location"] == f"{LIST}?show=failed"
    assert olivia.get(f"{LIST}?show=present").status_code == 200
    assert amir.get(LIST).status_code == 200
    assert amir.post(DEFAULT, {"view": str(view.pk)})["Location"] == f"{LIST}?show=failed"
    assert amir.get(LIST)["Location"] == f"{LIST}?show=failed"
    # No longer shared, it is no longer the default of others.
    saved(olivia, "failed", "show=failed")
    assert amir.get(LIST).status_code == 200
    olivia.post(DEFAULT, {"view": ""})
    assert olivia.get(LIST).status_code == 200


def test_what_cannot_be_kept_is_refused_with_words(
    operator: User, viewer: User, approver: User
) -> None:
    olivia, victor, amir = of(operator), of(viewer), of(approver)
    assert not saved(olivia, " ", "show=on")
    assert not saved(olivia, "x" * 61, "show=on")
    assert not saved(olivia, "strange", "paused__isnull=1")
    assert not saved(olivia, "pasted", "pasted=7")
    assert not saved(olivia, "long", "q=" + "x" * 2_000)
    assert not saved(victor, "for all", "show=on", shared="on")
    assert saved(victor, "own", "show=on")
    shared = saved(olivia, "shared", "show=on", shared="on")
    assert shared
    drop = reverse("admin:batchops_batch_drop_view", args=[shared.pk])
    amir.post(drop)
    assert SavedView.objects.filter(name="shared").exists()
    own = SavedView.objects.get(name="own")
    assert amir.post(DEFAULT, {"view": str(own.pk)}).status_code == 404
    assert amir.post(reverse("admin:batchops_batch_drop_view", args=[own.pk])).status_code == 404
    olivia.post(drop)
    assert not SavedView.objects.filter(name="shared").exists()
    stranger = of(User.objects.create_user("nina", is_staff=True))
    assert {stranger.post(SAVE).status_code, stranger.get(COUNTS).status_code} == {403}
