"""Fixtures of the trail's tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import connection
from pytest_django import Settings

from batchops import audit
from batchops.models import AuditEntry, AuditHead, AuditReviewedRange, SyncRun
from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.services.mirror import sync
from tests.audit.trail import triggers_dropped
from tests.audit.world import BATCH, World


@pytest.fixture
def empty_trail(db: None) -> None:
    """No entry yet, not even those of the groups that a migration makes."""
    with triggers_dropped():
        AuditReviewedRange.objects.all().delete()
        with connection.cursor() as cursor:
            cursor.execute(f"DELETE FROM {AuditEntry._meta.db_table}")
        AuditHead.objects.update(sequence=0, hash=audit.GENESIS, removable_through=0)


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
