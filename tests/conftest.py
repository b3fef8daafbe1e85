"""Fixtures that all areas share: the sandbox as the vendor, and people by their role."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.db.models.functions import Now
from django.test import TransactionTestCase
from pytest_django import Settings

from batchops import audit
from batchops.models import Heartbeat, audit_triggers
from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.services.heartbeats import Heart
from batchops.services.proof import last_seen


@pytest.fixture(autouse=True, scope="session")
def emptying_tables_may_alter_the_trail() -> None:
    """Between tests that commit, Django empties all tables; only then the triggers are off."""
    testcase: Any = TransactionTestCase
    empty_tables = testcase._fixture_teardown

    def without_triggers(self: TransactionTestCase) -> None:
        audit_triggers.remove(connection)
        empty_tables(self)
        audit_triggers.install(connection)

    testcase._fixture_teardown = without_triggers


@pytest.fixture(autouse=True)
def nothing_seen_of_other_trails(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a test remembers of its trail is not held against the next."""
    path = tmp_path_factory.getbasetemp() / last_seen.FILE_NAME
    path.unlink(missing_ok=True)
    monkeypatch.setattr(last_seen, "_path", lambda: path)


@pytest.fixture
def sandbox(settings: Settings) -> Iterator[EmbeddedSandbox]:
    """An empty world of the vendor, which batchops is pointed at."""
    with EmbeddedSandbox() as running:
        settings.SYLLABLE_BASE_URL = running.url
        settings.SYLLABLE_API_KEY = running.key
        yield running


@pytest.fixture
def make_person(db: None) -> Callable[..., User]:
    """A factory of people who may sign in, by the names of their groups."""

    def make(name: str, *groups: str, **more: Any) -> User:
        person = User.objects.create_user(
            name, f"{name}@example.com", "password", is_staff=True, **more
        )
        person.groups.set(Group.objects.filter(name__in=groups))
        return person

    return make


@pytest.fixture
def operator(make_person: Callable[..., User]) -> User:
    return make_person("olivia", "Operator")


@pytest.fixture
def approver(make_person: Callable[..., User]) -> User:
    return make_person("amir", "Approver")


@pytest.fixture
def auditor(make_person: Callable[..., User]) -> User:
    return make_person("audrey", "Auditor")


@pytest.fixture
def viewer(make_person: Callable[..., User]) -> User:
    return make_person("victor", "Viewer")


@pytest.fixture
def administrator(make_person: Callable[..., User]) -> User:
    return make_person("ada", is_superuser=True)


@pytest.fixture
def running_worker(db: None) -> None:
    """A worker that is alive until the test ends."""
    Heart().beat()
    Heartbeat.objects.update(seen_at=Now() + dt.timedelta(hours=1))


@pytest.fixture
def olivia(operator: User) -> audit.Actor:
    """The operator as the trail names her."""
    return audit.Actor.of_user(operator, "192.0.2.7")
