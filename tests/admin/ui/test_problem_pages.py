"""What goes wrong is said in the look of the site, with what a person can do about it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import DatabaseError, OperationalError, connection
from django.test import Client, override_settings
from django.urls import reverse
from pytest import MonkeyPatch
from pytest_django import Settings

from batchops.admin.changes import change_page
from batchops.models import AuditEntry, ChangeState
from tests.deployment.loading import without_static_files
from tests.services.changes import world

pytestmark = [pytest.mark.once, pytest.mark.django_db]

PASTE = reverse("admin:batchops_batch_paste")


def said(response: Any, status: int) -> str:
    """The words of a page that came with this status, in the look of the site."""
    page: str = response.content.decode()
    assert response.status_code == status
    assert 'id="site-name"' in page
    assert reverse("admin:index") in page
    return page


def test_an_address_that_leads_nowhere_says_so(client: Client, viewer: User) -> None:
    client.force_login(viewer)
    assert "There is no such page" in said(client.get("/batchops/nothing/here/"), 404)


def test_what_a_person_may_not_do_names_their_role(client: Client, viewer: User) -> None:
    client.force_login(viewer)
    page = said(client.get(reverse("admin:batchops_auditentry_changelist")), 403)
    assert "You may not do this" in page
    assert "your role (Viewer)" in page
    assert AuditEntry.objects.filter(action="access.denied").count() == 1


def test_too_much_at_once_is_refused_with_the_limit(client: Client, viewer: User) -> None:
    client.force_login(viewer)
    response = client.post(PASTE, {"batch_ids": "x" * (settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)})
    assert "less than 8 MB" in said(response, 413)


def test_too_many_fields_are_refused_with_the_limit(client: Client, viewer: User) -> None:
    client.force_login(viewer)
    response = client.post(PASTE, {f"field-{number}": "" for number in range(2_000)})
    assert "at most 1,000 values at a time" in said(response, 400)


@override_settings(ALLOWED_HOSTS=["batchops.example"])
def test_another_host_name_makes_no_sense(client: Client) -> None:
    assert "cannot be understood" in said(
        client.get("/login/", headers={"Host": "evil.example"}), 400
    )


def test_files_are_not_taken(client: Client, viewer: User) -> None:
    client.force_login(viewer)
    boundary = "limit"
    body = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="batch_ids"; filename="ids"\r\n'
        f"Content-Type: text/plain\r\n\r\nb-1\r\n--{boundary}--\r\n"
    )
    kind = f"multipart/form-data; boundary={boundary}"
    assert "cannot be understood" in said(client.post(PASTE, body, content_type=kind), 400)


def test_a_fault_gives_a_mark_to_be_found_in_the_logs_and_needs_no_database(
    client: Client, operator: User, monkeypatch: MonkeyPatch
) -> None:
    client.force_login(operator)
    client.raise_request_exception = False

    def broken(*_: object) -> None:
        raise DatabaseError("it is gone")

    monkeypatch.setattr(change_page, "change_view", broken)
    address = reverse("admin:batchops_change_change", args=["0" * 32])
    response = client.get(address, headers={"X-Request-ID": "mark-of-the-request"})
    page = said(response, 500)
    assert "mark-of-the-request" in page
    assert "olivia" not in page


class TestWithoutStaticFiles:
    """A page for what went wrong needs nothing that may be what went wrong."""

    @pytest.fixture(autouse=True)
    def none_are_collected(self, settings: Settings, tmp_path: Path) -> None:
        settings.STATIC_ROOT = str(tmp_path)
        settings.STORAGES = without_static_files(settings.STORAGES)

    @pytest.mark.parametrize(
        ("path", "status", "words"),
        [
            ("/login/", 500, "fault in batchops"),
            ("/batchops/nothing/here/", 404, "There is no such page"),
            ("/static/batchops/gone.css", 404, "There is no such file"),
            ("/auth/user/", 403, "your role (Viewer)"),
            ("/batchops/syncrun/now/", 405, "belongs to a button"),
        ],
    )
    def test_each_of_them_comes_all_the_same(
        self, path: str, status: int, words: str, client: Client, viewer: User
    ) -> None:
        if path != "/login/":
            client.force_login(viewer)
        client.raise_request_exception = False
        response = client.get(path)
        assert words in said(response, status)
        assert "default-src 'none'" in response["Content-Security-Policy"]

    def test_a_late_form_too(self, viewer: User) -> None:
        client = Client(enforce_csrf_checks=True)
        client.force_login(viewer)
        assert "reload the page" in said(client.post(PASTE, {"batch_ids": "b-1"}), 403)

    def test_a_strange_host_name_too(self, client: Client) -> None:
        page = said(client.get("/login/", headers={"Host": "evil.example"}), 400)
        assert "cannot be understood" in page

    @pytest.mark.parametrize("path", ["/", "/batchops/nothing/here/", "/login/"])
    def test_nor_is_a_database_needed(self, path: str, client: Client, viewer: User) -> None:
        client.force_login(viewer)
        client.raise_request_exception = False
        with mock.patch.object(connection, "cursor", side_effect=OperationalError("gone")):
            response = client.get(path)
        said(response, 500)

    def test_nothing_in_them_is_inline(self, client: Client) -> None:
        client.raise_request_exception = False
        page = said(client.get("/login/"), 500)
        assert not re.search(r"<script|<style|style=|javascript:| on\w+=", page)


def test_an_old_form_says_to_reload(operator: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(operator)
    page = said(client.post(PASTE, {"batch_ids": "b-1"}), 403)
    assert "reload the page" in page


def test_a_button_that_is_opened_as_a_page_explains_itself(client: Client, operator: User) -> None:
    world.batches(2)
    change = world.draft(operator)
    client.force_login(operator)
    for address in (
        reverse("admin:logout"),
        reverse("admin:batchops_syncrun_now"),
        reverse("admin:batchops_change_discard", args=[change.pk]),
    ):
        response = client.get(address)
        assert "belongs to a button" in said(response, 405)
        assert response["Allow"] == "POST" or "POST" in response["Allow"]


def test_a_session_that_ends_during_a_review_leads_back_to_it(
    client: Client, operator: User
) -> None:
    world.batches(2)
    change = world.draft(operator)
    review = reverse("admin:batchops_change_preview", args=[change.pk])
    sent = client.post(
        review, {"reason": "wrong list"}, headers={"Referer": f"http://testserver{review}"}
    )
    change.refresh_from_db()
    assert change.state == ChangeState.DRAFT
    page = client.get(sent["Location"])
    assert "nothing was done" in page.content.decode()
    given = {"username": "olivia", "password": "password"}
    back = client.post(sent["Location"], given, follow=True)
    assert back.redirect_chain[-1][0].endswith(review)
    assert back.status_code == 200


def test_a_late_button_leads_back_to_the_page_it_stood_on(client: Client, operator: User) -> None:
    world.batches(2)
    change = world.draft(operator)
    page = reverse("admin:batchops_batch_changelist") + "?show=paused"
    late = reverse("admin:batchops_change_discard", args=[change.pk])
    sent = client.post(late, headers={"Referer": f"http://testserver{page}"})
    back = client.post(
        sent["Location"], {"username": "olivia", "password": "password"}, follow=True
    )
    assert back.redirect_chain[-1][0].endswith(page)


@pytest.mark.parametrize("referer", ["http://evil.example/", "javascript:alert(1)", ""])
def test_a_late_form_leads_to_no_other_site(client: Client, referer: str) -> None:
    sent = client.post(PASTE, headers={"Referer": referer})
    assert sent["Location"] == "/login/?next=/"


def test_signing_out_twice_is_no_problem(client: Client, operator: User) -> None:
    client.force_login(operator)
    assert client.post(reverse("admin:logout")).status_code == 200
    again = client.post(reverse("admin:logout"))
    assert again["Location"] == reverse("admin:index")
