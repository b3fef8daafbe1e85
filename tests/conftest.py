"""Fixtures that all areas share: the sandbox as the vendor, and people by their role."""

from __future__ import annotations

import datetime as dt
import gc
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.db.models.functions import Now
from hypothesis import HealthCheck
from hypothesis import settings as property_settings
from pytest_django import DjangoDbBlocker, Settings

from batchops import audit
from batchops.models import AuditEntry, AuditHead, AuditReviewedRange, Heartbeat
from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.services import vendor
from batchops.services.heartbeats import Heart
from batchops.services.proof import last_seen
from tests import migrated
from tests.audit.trail import triggers_dropped

TOUCHING_THE_DATABASE: Final = {"db", "transactional_db", "django_db_setup", "live_server"}
"""Fixtures; the others that do so ask for one of these."""

property_settings.register_profile(
    "reproducible",
    # How fast a busy machine is says nothing of the code, and what failed must fail again.
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
property_settings.load_profile("reproducible")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What touches no database is run once: pytest-django holds it to that."""
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if not item.get_closest_marker("django_db") and not fixtures & TOUCHING_THE_DATABASE:
            item.add_marker(pytest.mark.once)


def pytest_collection_finish() -> None:
    """Modules and collected tests stay to the end: looking for garbage among them takes long."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> None:
    """Tests that commit put the database back to what it is now."""
    with django_db_blocker.unblock():
        migrated.keep()


@pytest.fixture(autouse=True)
def nothing_seen_of_other_trails(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a test remembers of its trail is not held against the next."""
    path = tmp_path_factory.getbasetemp() / last_seen.FILE_NAME
    path.unlink(missing_ok=True)
    monkeypatch.setattr(last_seen, "_path", lambda: path)


@pytest.fixture
def empty_trail(db: None) -> None:
    """No entry yet, not even those of the groups that a migration makes."""
    with triggers_dropped():
        AuditReviewedRange.objects.all().delete()
        with connection.cursor() as cursor:
            cursor.execute(f"DELETE FROM {AuditEntry._meta.db_table}")
        AuditHead.objects.update(sequence=0, hash=audit.GENESIS, removable_through=0)


@pytest.fixture
def sandbox(settings: Settings) -> Iterator[EmbeddedSandbox]:
    """An empty world of the vendor, which batchops is pointed at."""
    with EmbeddedSandbox() as running:
        settings.SYLLABLE_BASE_URL = running.url
        settings.SYLLABLE_API_KEY = running.key
        vendor.forget()
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
