"""Fixtures of the trail's tests."""

from __future__ import annotations

import pytest
from django.db import connection

from batchops.models import AuditEntry, AuditHead, AuditReviewedRange
from batchops.services import audit
from tests.audit.trail import triggers_dropped


@pytest.fixture
def empty_trail(db: None) -> None:
    """No entry yet, not even those of the groups that a migration makes."""
    with triggers_dropped():
        AuditReviewedRange.objects.all().delete()
        with connection.cursor() as cursor:
            cursor.execute(f"DELETE FROM {AuditEntry._meta.db_table}")
        AuditHead.objects.update(sequence=0, hash=audit.GENESIS, removable_through=0)
