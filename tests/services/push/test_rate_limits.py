"""A change under the vendor's rate limit: all of it gets there, with few refusals."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from batchops.models import Batch
from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.services import vendor
from batchops.services.changes import lifecycle
from batchops.services.push import driver
from tests.services.push.world import PAUSE, assert_all_agree, confirmed, fill

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("form", ["seconds", "date", "none"])
def test_the_rate_is_learnt_and_kept(sandbox: EmbeddedSandbox, operator: User, form: str) -> None:
    fill(sandbox, 200)
    change = confirmed(operator)
    sandbox.set_faults(rate_limit=60, rate_limit_burst=5, retry_after=form)
    driver.drive()
    assert lifecycle.counts(change) == {"applied": 200}
    assert_all_agree(sandbox, change)
    statuses = [entry["status"] for entry in sandbox.journal(method="PUT")]
    assert 429 in statuses
    # How near to the limit it keeps is tested with a clock of its own: this machine may be busy.
    assert statuses[100:].count(429) <= 20
    assert vendor.limiter().rate <= 120


def test_a_known_rate_is_never_exceeded(
    sandbox: EmbeddedSandbox, operator: User, settings: pytest.FixtureRequest
) -> None:
    settings.SYLLABLE_MAX_RATE = 50  # type: ignore[attr-defined]
    ids = fill(sandbox, 40)
    change = confirmed(operator, PAUSE, Batch.objects.filter(pk__in=ids))
    sandbox.set_faults(rate_limit=60, rate_limit_burst=5)
    driver.drive()
    assert lifecycle.counts(change) == {"applied": 40}
    assert all(entry["status"] == 200 for entry in sandbox.journal(method="PUT"))
