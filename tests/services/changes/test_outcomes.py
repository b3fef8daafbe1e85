"""What became of a batch, as people read it."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from batchops.services.preview import summary
from tests.services.changes.world import PAUSE, batch, confirm, draft

pytestmark = pytest.mark.django_db


def test_a_skipped_batch_shows_no_new_value(operator: User) -> None:
    batch("live")
    batch("failed", status="FAILED")
    change = confirm(draft(operator), operator)
    skipped = change.items.get(batch="failed")
    (hold,) = summary.results(skipped, PAUSE)
    assert (hold.before, hold.after) == ("not paused", "not paused")
