"""A campaign's maximum and exceptions come with the sync; its zone is set by people, and stays."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from batchops import audit
from batchops.models import Action, AuditEntry, Campaign, SyncRun
from batchops.sandbox import records
from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.services.errors import InvalidInput, NotAllowed
from batchops.services.mirror import sync
from batchops.services.mirror.time_zones import set_time_zone
from tests.services.changes.world import campaign

pytestmark = pytest.mark.django_db(transaction=True)

RULES = {
    "days": {"friday": {"daily_end_time": "14:00"}},
    "dates": {"2026-12-24": {"max_daily_calls": 0}},
}


def by(person: User) -> dict[str, Any]:
    return {"user": person, "actor": audit.Actor.of_user(person)}


def test_a_sync_brings_them_and_keeps_the_zone(
    sandbox: EmbeddedSandbox, administrator: User
) -> None:
    campaign(1)
    set_time_zone(1, "America/Chicago", **by(administrator))
    sandbox.add_campaign(id=1, max_daily_calls=500, outreach_override_rules=RULES)
    sandbox.add_campaign(id=2, max_daily_calls=-1, outreach_override_rules={"days": "none"})
    sandbox.add_campaign(id=3)
    sync.run_sync(SyncRun.Kind.FULL)
    first, second, third = Campaign.objects.order_by("pk")
    assert first.time_zone == "America/Chicago"
    assert (first.max_daily_calls, first.unreadable_fields) == (500, [])
    assert first.outreach_override_rules == RULES | {"days": {"fri": {"daily_end_time": "14:00"}}}
    assert second.unreadable_fields == ["max_daily_calls", "outreach_override_rules"]
    assert (second.max_daily_calls, second.outreach_override_rules) == (None, None)
    assert third.outreach_override_rules == {"days": {}, "dates": {}}
    written = Campaign.objects.values_list("pk", "synced_at").order_by("pk")
    before = list(written)
    sync.run_sync(SyncRun.Kind.FULL)
    assert list(written) == before, "what is the same is not written again"


def test_unknown_fields_of_campaigns_are_noted(
    sandbox: EmbeddedSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.add_campaign(id=1)
    assert sync.run_sync(SyncRun.Kind.FULL).notes == []
    of_vendor = records.campaign_on_the_wire
    monkeypatch.setattr(
        "batchops.sandbox.vendor.campaign_on_the_wire",
        lambda *given: of_vendor(*given) | {"pacing": "slow"},
    )
    run = sync.run_sync(SyncRun.Kind.FULL)
    assert run.notes == ["Unknown field pacing of campaigns"]


def test_setting_a_zone_is_recorded_once(administrator: User) -> None:
    campaign(1)
    assert set_time_zone(1, "Europe/Berlin", **by(administrator))
    assert not set_time_zone(1, "Europe/Berlin", **by(administrator))
    entry = AuditEntry.objects.get(action=Action.CAMPAIGN_ZONE_SET)
    assert (entry.before, entry.after) == ({"time_zone": ""}, {"time_zone": "Europe/Berlin"})
    assert entry.campaign_id == 1


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../etc/passwd", "UTC\0", "+02:00"])
def test_a_zone_that_does_not_exist_is_refused(administrator: User, zone: str) -> None:
    campaign(1)
    with pytest.raises(InvalidInput):
        set_time_zone(1, zone, **by(administrator))
    assert not Campaign.objects.exclude(time_zone="").exists()


def test_operators_may_not_set_it(operator: User) -> None:
    campaign(1)
    with pytest.raises(NotAllowed):
        set_time_zone(1, "UTC", **by(operator))
    assert AuditEntry.objects.filter(action=Action.ACCESS_DENIED).exists()
