"""What one person, or all together, may ask for at a time: said in words, and free again after."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import connection
from django.http import StreamingHttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from batchops.models import Action, AuditEntry, Quota
from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.services import quotas
from tests.admin.trail.trail import address, write
from tests.services.changes import world

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


def counts(client: Client, name: str) -> Any:
    return client.get(reverse("admin:batchops_batch_counts", args=[name]))


@pytest.mark.django_db(transaction=True)
def test_counts_are_asked_for_so_often_a_minute_and_then_it_is_said(
    client: Client,
    operator: User,
    viewer: User,
    sandbox: EmbeddedSandbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(quotas, "COUNTS_PER_MINUTE", 3)
    for number in range(5):
        sandbox.add_batch(batch_id=f"b-{number}", campaign_id=1)
        world.batch(f"b-{number}")
    client.force_login(operator)
    for number in (0, 1, 2, 2, 2):
        assert counts(client, f"b-{number}").status_code == 200
    refused = counts(client, "b-3")
    assert refused.status_code == 429
    assert "counts of 3 batches within a minute, which is the most" in refused.json()["html"]
    page = client.get(reverse("admin:batchops_batch_change", args=["b-3"]), {"counts": "1"})
    assert "counts of 3 batches within a minute" in page.content.decode()
    assert len(sandbox.journal(method="GET")) == 3
    client.force_login(viewer)
    assert counts(client, "b-3").status_code == 200
    with time_machine.travel(timezone.now() + quotas.MINUTE, tick=True):
        client.force_login(operator)
        assert counts(client, "b-4").status_code == 200


def export(client: Client) -> Any:
    return client.post(address("export"), {"kind": "jsonl"})


def test_exports_under_way_are_bounded_for_a_person_and_for_all(
    client: Client, make_person: Callable[..., User]
) -> None:
    write()
    people = [make_person(f"auditor-{number}", "Auditor") for number in range(3)]
    under_way = []
    for person, most in zip(people[:2], (2, 2), strict=True):
        client.force_login(person)
        for _ in range(most):
            response = export(client)
            assert response.streaming
            under_way.append(response)
        refused = export(client).content.decode()
        assert "2 exports of yours are under way, which is the most." in refused
    recorded = AuditEntry.objects.filter(action=Action.AUDIT_EXPORTED).count()
    client.force_login(people[2])
    assert "4 exports are under way, which is the most for all" in export(client).content.decode()
    assert AuditEntry.objects.filter(action=Action.AUDIT_EXPORTED).count() == recorded == 4
    assert b"".join(under_way[0].streaming_content)
    client.force_login(people[2])
    assert b"".join(export(client).streaming_content)
    assert b"".join(export(client).streaming_content)
    client.force_login(people[1])
    assert not export(client).streaming
    with time_machine.travel(timezone.now() + quotas.EXPORT_LEASE, tick=True):
        client.force_login(people[1])
        assert export(client).streaming


def test_an_export_that_finds_nothing_takes_no_place(client: Client, auditor: User) -> None:
    client.force_login(auditor)
    for _ in range(4):
        page = client.post(address("export", person="nobody at all"), {"kind": "csv"})
        assert "No entry matches" in page.content.decode()
    assert not Quota.objects.filter(until__gt=timezone.now()).exists()


def test_an_export_that_nobody_listens_to_gives_its_places_back(operator: User) -> None:
    for _ in range(10):
        response = StreamingHttpResponse(
            quotas.Stream(iter([b"never read"]), quotas.begin_export(operator))
        )
        for close in response._resource_closers:  # type: ignore[attr-defined]
            close()


def test_a_place_whose_lease_lapsed_is_not_given_back_for_another(operator: User) -> None:
    late = quotas.begin_export(operator)
    with time_machine.travel(timezone.now() + quotas.EXPORT_LEASE + dt.timedelta(seconds=1)):
        quotas.begin_export(operator)
        late.give_back()
        quotas.begin_export(operator)
        with pytest.raises(quotas.QuotaReached):
            quotas.begin_export(operator)


@pytest.mark.django_db(transaction=True)
def test_many_at_once_take_no_more_than_there_is() -> None:
    taken: list[bool] = []
    ready = threading.Barrier(6)

    def take() -> None:
        ready.wait(20)
        taken.append(quotas.take("together", 3, quotas.MINUTE))
        connection.close()

    threads = [threading.Thread(target=take) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(taken) == [False] * 3 + [True] * 3
