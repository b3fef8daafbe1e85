"""Fixtures of the trail's tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.contrib.auth.models import User
from pytest_django import Settings

from batchops.models import SyncRun
from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.services.mirror import sync
from tests.audit.world import BATCH, World


@pytest.fixture
def world(
    sandbox: EmbeddedSandbox,
    operator: User,
    approver: User,
    auditor: User,
    settings: Settings,
    tmp_path: Path,
) -> World:
    sandbox.add_batch(batch_id=BATCH, campaign_id=1, status="ACTIVE", paused=False)
    sync.run_sync(SyncRun.Kind.FULL)
    return World(sandbox, operator, approver, auditor, settings, tmp_path)
