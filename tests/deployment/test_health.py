"""/healthz tells that the process lives, /readyz that all it needs is as it should be."""

from __future__ import annotations

import datetime as dt
import socket
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connection
from django.test import Client
from django.utils import timezone
from huey import RedisHuey
from pytest_django import DjangoAssertNumQueries, Settings

from batchops.models import Heartbeat, SyncRun
from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.services.mirror import sync
from batchops.syllable.errors import Unauthorized
from batchops.web import health
from tests.deployment.loading import without_static_files

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("running_worker")]


def synced(**fields: Any) -> SyncRun:
    """A sync that is over; fields as of SyncRun, `age` as a timedelta."""
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


def test_all_is_ready_after_a_sync(client: Client) -> None:
    synced(age=dt.timedelta(seconds=5))
    response = client.get("/readyz")
    assert response.status_code == 200
    assert response.json()["status"] == "ready"
    assert all(part["ok"] for part in parts(client).values())
    assert 5 <= parts(client)["mirror"]["age_seconds"] < 600


def test_it_is_not_ready_before_the_first_sync(client: Client) -> None:
    response = client.get("/readyz")
    assert response.status_code == 503
    assert parts(client)["mirror"] == {"ok": False, "problem": "no sync has succeeded yet"}
    assert parts(client)["vendor_key"] == {"ok": True, "accepted": None}


def test_a_mirror_older_than_allowed_is_not_ready(client: Client, settings: Settings) -> None:
    synced(age=dt.timedelta(seconds=settings.MIRROR_MAX_AGE + 5))
    assert client.get("/readyz").status_code == 503
    assert not parts(client)["mirror"]["ok"]


def test_a_sync_under_way_or_failed_does_not_make_the_mirror_younger(
    client: Client, settings: Settings
) -> None:
    synced(age=dt.timedelta(seconds=settings.MIRROR_MAX_AGE + 5))
    synced(state=SyncRun.State.FAILED, error="The vendor is down.")
    synced(state=SyncRun.State.RUNNING)
    assert not parts(client)["mirror"]["ok"]


def test_a_rejected_key_is_told_until_a_sync_succeeds_again(
    client: Client, sandbox: EmbeddedSandbox, settings: Settings
) -> None:
    right_key, settings.SYLLABLE_API_KEY = settings.SYLLABLE_API_KEY, "wrong"
    with pytest.raises(Unauthorized):
        sync.run_sync(SyncRun.Kind.FULL)
    assert client.get("/readyz").status_code == 503
    assert parts(client)["vendor_key"] == {"ok": False, "accepted": False}
    settings.SYLLABLE_API_KEY = right_key
    sync.run_sync(SyncRun.Kind.FULL)
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
    synced()
    settings.HUEY = RedisHuey("nobody-listens", url="redis://127.0.0.1:1/0")
    response = client.get("/readyz")
    assert response.status_code == 503
    found = response.json()["parts"]
    assert found["queue"] == {"ok": False, "problem": "cannot be reached"}
    assert found["database"]["ok"]


def test_a_queue_that_accepts_and_stays_silent_is_told(
    client: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "QUEUE_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings.HUEY = RedisHuey("silent", url=f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        found = parts(client)
    assert found["queue"] == {"ok": False, "problem": "cannot be reached"}


def test_without_a_worker_it_is_not_ready_and_says_since_when(client: Client) -> None:
    synced()
    last = timezone.now() - dt.timedelta(minutes=3)
    Heartbeat.objects.update(seen_at=last)
    assert client.get("/readyz").status_code == 503
    said = f"Nothing is being sent: no worker has been running since {last:%d %b %H:%M:%S} UTC."
    assert parts(client)["workers"] == {"ok": False, "problem": said}
    Heartbeat.objects.all().delete()
    said = "Nothing is being sent: no worker is running."
    assert parts(client)["workers"] == {"ok": False, "problem": said}


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


def test_both_answer_by_any_name_or_address_since_probes_know_no_other(client: Client) -> None:
    for host in ("elsewhere.example.com", "10.1.2.3:8000", "[::1]:8000", "with_underscore", ""):
        assert client.get("/healthz", headers={"host": host}).status_code == 200
        assert client.get("/readyz", headers={"host": host}).status_code == 503
    assert client.get("/login/", headers={"host": "elsewhere.example.com"}).status_code == 400


class TestWhoIsToldWhy:
    STRANGER = "198.51.100.7"

    def test_a_stranger_learns_only_whether_it_is_ready(self, client: Client) -> None:
        response = client.get("/readyz", REMOTE_ADDR=self.STRANGER)
        assert (response.status_code, response.json()) == (503, {"status": "not ready"})
        synced()
        response = client.get("/readyz", REMOTE_ADDR=self.STRANGER)
        assert (response.status_code, response.json()) == (200, {"status": "ready"})

    def test_monitoring_in_a_network_that_is_named_learns_all(
        self, client: Client, settings: Settings
    ) -> None:
        settings.HEALTH_DETAILS_FROM = [ip_network("198.51.100.0/24")]
        assert "parts" in client.get("/readyz", REMOTE_ADDR=self.STRANGER).json()
        assert "parts" not in client.get("/readyz", REMOTE_ADDR="192.0.2.1").json()

    def test_a_person_of_the_staff_learns_all(self, client: Client, viewer: User) -> None:
        client.force_login(viewer)
        assert "parts" in client.get("/readyz", REMOTE_ADDR=self.STRANGER).json()
        User.objects.update(is_staff=False)
        assert "parts" not in client.get("/readyz", REMOTE_ADDR=self.STRANGER).json()

    @pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "Via", "X-Real-IP"])
    def test_a_proxy_on_this_machine_does_not_make_its_clients_local(
        self, header: str, client: Client
    ) -> None:
        assert "parts" not in client.get("/readyz", headers={header: "127.0.0.1"}).json()

    def test_a_trusted_proxy_tells_who_asks(self, client: Client, settings: Settings) -> None:
        settings.TRUSTED_PROXIES = [ip_network("192.0.2.1")]
        for asker, told in ((self.STRANGER, False), ("127.0.0.1", True)):
            response = client.get(
                "/readyz", REMOTE_ADDR="192.0.2.1", headers={"X-Forwarded-For": asker}
            )
            assert ("parts" in response.json()) is told

    def test_a_session_that_cannot_be_read_is_a_strangers(self, client: Client) -> None:
        client.cookies["sessionid"] = "x" * 32
        with mock.patch.object(connection, "cursor", side_effect=OperationalError("gone")):
            response = client.get("/readyz", REMOTE_ADDR=self.STRANGER)
        assert (response.status_code, response.json()) == (503, {"status": "not ready"})


def test_static_files_that_were_not_collected_are_told(
    client: Client, settings: Settings, tmp_path: Path
) -> None:
    synced()
    settings.STATIC_ROOT = str(tmp_path)
    settings.STORAGES = without_static_files(settings.STORAGES)
    response = client.get("/readyz")
    assert response.status_code == 503
    assert "collectstatic" in response.json()["parts"]["static_files"]["problem"]
