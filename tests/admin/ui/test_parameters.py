"""What stands in an address is followed as it says, or refused by its name; never passed over."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from batchops.models import AuditEntry, Batch, Change, SyncRun
from batchops.saved_views import list_settings
from tests.services.changes import world

pytestmark = pytest.mark.django_db

LIST: Final = reverse("admin:batchops_batch_changelist")
NOW: Final = dt.datetime(2026, 11, 24, tzinfo=dt.UTC)
LISTS: Final = {
    "batchops_batch": "status=ACTIVE",
    "batchops_campaign": "q=1",
    "batchops_change": "what=open",
    "batchops_syncrun": "kind__exact=full",
    "auth_user": "is_staff__exact=1",
    "auth_group": "q=o",
}
"""Every list of the site that Django makes, with a question that it takes."""
LOOKUPS: Final = (
    "nonsense",
    "id__regex",
    "batch_id__regex",
    "campaign__campaign_name__iregex",
    "error_message__contains",
    "pk__in",
    "items__state",
    "password__startswith",
    "user__id__exact",
    "error",
    "e",
    "_popup",
)


@pytest.fixture
def client(client: Client, administrator: User) -> Client:
    client.force_login(administrator)
    return client


def refused(response: Any, words: str) -> str:
    """A page in the frame of the site that says these words, and that nothing was done."""
    page: str = response.content.decode()
    assert response.status_code == 400
    assert "This address is not valid" in page
    assert words in page
    assert "Nothing was shown or done." in page
    return page


@pytest.mark.once  # Refused before any query.
@pytest.mark.parametrize("model", LISTS)
def test_a_list_runs_no_lookup_that_it_does_not_offer(client: Client, model: str) -> None:
    asked = f"{reverse(f'admin:{model}_changelist')}?{LISTS[model]}"
    for name in LOOKUPS:
        page = refused(client.get(f"{asked}&{name}=(a%2B)%2B$"), f"does not take “{name}”")
        assert f'href="{asked}"' in page.replace("&amp;", "&")


@pytest.mark.parametrize("query", ["q=%ff", "%ff=1", "q=b%ed%a0%80"])
def test_what_is_no_text_is_not_taken_for_an_id_that_holds_a_replacement_character(
    client: Client, query: str
) -> None:
    world.batch("b\ufffd")
    refused(client.get(f"{LIST}?{query}"), "Something in this address is not UTF-8 text.")
    assert client.get(f"{LIST}?q=b%EF%BF%BD").status_code == 200


@pytest.mark.parametrize("method", ["get", "post"])
def test_an_action_over_such_an_address_freezes_nothing(client: Client, method: str) -> None:
    world.batches(3)
    data = {"action": "pause", "index": "0", "select_across": "1", "_selected_action": ["b-0"]}
    for query in ("batch_id__in=b-0", "show=nonsense", "show=on&show=paused", "o=99", "p=0"):
        assert getattr(client, method)(f"{LIST}?{query}", data if method == "post" else {})
        refused(client.post(f"{LIST}?{query}", data), "address")
    assert not Change.objects.exists()
    assert not AuditEntry.objects.filter(action="change.requested").exists()


@pytest.mark.once  # Refused before any query.
@pytest.mark.parametrize(
    ("model", "query", "words"),
    [
        ("batchops_batch", "show=nonsense", "“show” cannot be “nonsense”. It can be: present, on"),
        ("batchops_batch", "show=on&show=paused", "“show” appears in this address 2 times"),
        ("batchops_batch", "p=", "“” is not the number of a page"),
        ("batchops_batch", "p=-1", "“-1” is not the number of a page"),
        ("batchops_batch", "p=1e3", "“1e3” is not the number of a page"),
        ("batchops_batch", "p=%D9%A3", "is not the number of a page"),
        ("batchops_batch", "p=" + "9" * 5_000, "is not the number of a page"),
        ("batchops_batch", "o=99", "cannot be sorted by “99”"),
        ("batchops_batch", "o=1.-1", "cannot be sorted by “1.-1”"),
        ("batchops_batch", "o=" + "1." * 2_000, "cannot be sorted by"),
        ("batchops_batch", "q=%00", "cannot contain the character U+0000"),
        ("batchops_batch", "all=", "does not take “all”"),
        ("batchops_campaign", "mode=nonsense", "“mode” cannot be “nonsense”"),
        ("batchops_change", "what=nonsense", "“what” cannot be “nonsense”. It can be: mine"),
        ("batchops_change", "state__exact=x", "“state__exact” cannot be “x”"),
        ("batchops_change", "created=yesterday", "“created” cannot be “yesterday”"),
        ("batchops_syncrun", "kind__exact=x", "“kind__exact” cannot be “x”. It can be: "),
        ("auth_user", "is_staff__exact=x", "cannot be searched for"),
        ("auth_user", "groups__id__exact=x", "cannot be searched for"),
        ("auth_user", "o=77", "cannot be sorted by “77”"),
    ],
)
def test_a_value_that_means_nothing_is_refused(
    client: Client, model: str, query: str, words: str
) -> None:
    refused(client.get(f"{reverse(f'admin:{model}_changelist')}?{query}"), words)


@pytest.mark.parametrize("model", LISTS)
def test_a_search_is_bounded_in_words_and_characters(client: Client, model: str) -> None:
    if model == "batchops_syncrun":
        return
    address = reverse(f"admin:{model}_changelist")
    assert client.get(address, {"q": "x " * 20}).status_code == 200
    refused(client.get(address, {"q": "x " * 21}), "at most 20 words; this one has 21")
    refused(client.get(address, {"q": "x" * 256}), "at most 255 characters; this one has 256")
    refused(client.get(address, {"q": "a " * 999}), "at most 255 characters; this one has 1,998")


def test_ids_in_the_search_are_offered_as_a_list(client: Client) -> None:
    ids = [f"20261124.{number}" for number in range(340)]
    page = refused(client.get(LIST, {"q": " ".join(ids)}), "at most 255 characters")
    assert f'action="{reverse("admin:batchops_batch_paste")}"' in page
    assert "20261124.0\n20261124.1\n" in page
    assert "20261124.339" in page


@pytest.fixture
def several_pages(monkeypatch: pytest.MonkeyPatch) -> int:
    """Thirteen rows of each kind, on pages of so many."""
    for model_admin in admin.site._registry.values():
        monkeypatch.setattr(model_admin, "list_per_page", 5)
    monkeypatch.setattr(list_settings, "of", lambda user: list_settings.Look(page_size=5))
    for number in range(13):
        SyncRun.objects.create(kind="full", state="done", started_at=NOW, alive_at=NOW)
        world.batch(f"b-{number}", number + 1, paused=number % 2 == 0)
        User.objects.create_user(f"user-{number}", is_staff=True)
    return 5


@pytest.mark.once
def test_the_page_beyond_the_last_is_the_last_of_the_same_question(
    client: Client, several_pages: int
) -> None:
    for model, query in {
        "batchops_batch": "show=paused",
        "batchops_campaign": "q=Campaign",
        "batchops_syncrun": "kind__exact=full",
        "auth_user": "is_staff__exact=1",
    }.items():
        address = reverse(f"admin:{model}_changelist")
        whole = client.get(f"{address}?{query}").context["cl"].result_count
        shown = client.get(f"{address}?{query}&p=999").context["cl"]
        assert shown.result_count == whole > several_pages, model
        assert len(shown.result_list) == whole % several_pages, model
        assert shown.page_num == -(-whole // several_pages), model


def test_the_page_beyond_the_only_one_is_that_one(client: Client) -> None:
    world.batches(3)
    world.batch("held", paused=True)
    shown = client.get(f"{LIST}?show=on&p=9").context["cl"]
    assert {batch.pk for batch in shown.result_list} == {"b-0", "b-1", "b-2"}


PAGES: Final = (
    "/",
    "/password_change/",
    "/batchops/",
    "/batchops/batch/paste/",
    "/batchops/batch/b-0/change/",
    "/batchops/batch/b-0/",
    "/batchops/batch/b-0/counts/",
    "/batchops/batch/b-0/history/",
    "/batchops/campaign/1/change/",
    "/batchops/change/upcoming/",
    "/batchops/auditentry/1/change/",
    "/batchops/auditentry/person/",
    "/batchops/auditentry/report/",
    "/batchops/auditentry/desk/",
    "/batchops/auditentry/sample/1/",
    "/auth/user/add/",
)


@pytest.mark.once  # Refused before any query.
@pytest.mark.parametrize("method", ["get", "post"])
def test_every_page_refuses_what_it_does_not_take(client: Client, method: str) -> None:
    world.batch("b-0")
    for path in PAGES:
        response = getattr(client, method)(f"{path}?username=ada&nonsense=1")
        refused(response, "does not take “username”")


def test_the_trail_names_a_filter_it_does_not_have_beside_its_filters(client: Client) -> None:
    address = reverse("admin:batchops_auditentry_changelist")
    page = client.get(f"{address}?hash__regex=(a%2B)%2B$").content.decode()
    assert "There is no filter named “hash__regex”." in page
    page = client.get(f"{address}?person=ada&person=olivia").content.decode()
    assert "“person” is given 2 times." in page


def test_what_a_person_may_not_see_is_denied_and_recorded_whatever_the_address(
    client: Client, viewer: User
) -> None:
    client.force_login(viewer)
    assert client.get("/auth/user/?password__startswith=pbkdf2").status_code == 403
    assert AuditEntry.objects.filter(action="access.denied").count() == 1


@pytest.mark.once
@pytest.mark.usefixtures("several_pages")
def test_every_link_of_a_list_is_one_that_it_takes(client: Client) -> None:
    for model, query in LISTS.items():
        address = reverse(f"admin:{model}_changelist")
        page = client.get(f"{address}?{query}").content.decode()
        links = {part.split('"')[0] for part in page.split('href="?')[1:]}
        for link in links:
            response = client.get(f"{address}?{link.replace('&amp;', '&')}")
            assert response.status_code == 200, (model, link)
    assert Batch.objects.count() == 13
