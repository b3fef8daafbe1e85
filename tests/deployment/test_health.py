"""/healthz tells that the process lives, /readyz that all it needs is as it should be."""

from __future__ import annotations

import datetime as dt
from typing import Any
from unittest import mock

import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.utils import timezone
from huey import RedisHuey
from pytest_django import DjangoAssertNumQueries, Settings

from batchops.models import SyncRun
from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.services import sync
from batchops.syllable.errors import Unauthorized

pytestmark = pytest.mark.django_db


def pulled(**fields: Any) -> SyncRun:
    """A pull that is over; fields as of SyncRun, `age` as a timedelta."""
    started_at = timezone.now() - fields.pop("age", dt.timedelta())
    values = {"kind": SyncRun.Kind.FULL, "state": SyncRun.State.DONE, "alive_at": started_at}
    return SyncRun.objects.create(
        started_at=started_at, finished_at=started_at, **{**values, **fields}
    )


def parts(client: Client) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/readyz").json()["parts"]
    return found


def test_healthz_answers_without_asking_the_database(
    client: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(0):
        response = client.get("/healthz")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_all_is_ready_after_a_pull(client: Client) -> None:
    pulled(age=dt.timedelta(seconds=5))
    response = client.get("/readyz")
    assert response.status_code == 200
    assert response.json()["status"] == "ready"
    assert all(part["ok"] for part in parts(client).values())
    assert 5 <= parts(client)["mirror"]["age_seconds"] < 60


def test_it_is_not_ready_before_the_first_pull(client: Client) -> None:
    response = client.get("/readyz")
    assert response.status_code == 503
    assert parts(client)["mirror"] == {"ok": False, "problem": "no pull has succeeded yet"}
    assert parts(client)["vendor_key"] == {"ok": True, "accepted": None}


def test_a_mirror_older_than_allowed_is_not_ready(client: Client, settings: Settings) -> None:
    pulled(age=dt.timedelta(seconds=settings.MIRROR_MAX_AGE + 5))
    assert client.get("/readyz").status_code == 503
    assert not parts(client)["mirror"]["ok"]


def test_a_pull_under_way_or_failed_does_not_make_the_mirror_younger(
    client: Client, settings: Settings
) -> None:
    pulled(age=dt.timedelta(seconds=settings.MIRROR_MAX_AGE + 5))
    pulled(state=SyncRun.State.FAILED, error="The vendor is down.")
    pulled(state=SyncRun.State.RUNNING)
    assert not parts(client)["mirror"]["ok"]


def test_a_rejected_key_is_told_until_a_pull_succeeds_again(
    client: Client, sandbox: EmbeddedSandbox, settings: Settings
) -> None:
    right_key, settings.SYLLABLE_API_KEY = settings.SYLLABLE_API_KEY, "wrong"
    with pytest.raises(Unauthorized):
        sync.pull(SyncRun.Kind.FULL)
    assert client.get("/readyz").status_code == 503
    assert parts(client)["vendor_key"] == {"ok": False, "accepted": False}
    settings.SYLLABLE_API_KEY = right_key
    sync.pull(SyncRun.Kind.FULL)
    assert client.get("/readyz").status_code == 200


def test_the_vendor_is_not_asked(client: Client, sandbox: EmbeddedSandbox) -> None:
    client.get("/readyz")
    assert sandbox.journal() == []


def test_a_database_that_is_down_is_told(client: Client) -> None:
    with mock.patch.object(connection, "cursor", side_effect=OperationalError("gone")):
        response = client.get("/readyz")
    assert response.status_code == 503
    found = response.json()["parts"]
    assert found["database"] == {"ok": False, "problem": "cannot be reached"}
    assert found["queue"]["ok"]


def test_a_queue_that_is_down_is_told(client: Client, settings: Settings) -> None:
    pulled()
    settings.HUEY = RedisHuey("nobody-listens", url="redis://127.0.0.1:1/0")
    response = client.get("/readyz")
    assert response.status_code == 503
    found = response.json()["parts"]
    assert found["queue"] == {"ok": False, "problem": "cannot be reached"}
    assert found["database"]["ok"]


def test_no_proxy_keeps_an_answer(client: Client) -> None:
    for path in ("/healthz", "/readyz"):
        assert "no-store" in client.get(path)["Cache-Control"]


def test_only_reading_is_allowed(client: Client) -> None:
    for path in ("/healthz", "/readyz"):
        assert client.post(path).status_code == 405


def test_both_answer_over_plain_http_where_the_rest_is_sent_to_https(
    client: Client, settings: Settings
) -> None:
    settings.SECURE_SSL_REDIRECT = True
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 503
    assert client.get("/").status_code == 301


def test_a_strange_host_name_is_refused(client: Client) -> None:
    assert client.get("/readyz", headers={"host": "elsewhere.example.com"}).status_code == 400
