"""A mirror that is fresh, and the operator at work."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from batchops.models import SyncRun


@pytest.fixture
def fresh_mirror(db: None) -> None:
    now = timezone.now()
    SyncRun.objects.create(kind="full", state="done", started_at=now, alive_at=now, finished_at=now)


@pytest.fixture
def signed_in(client: Client, operator: User) -> Client:
    client.force_login(operator)
    return client
