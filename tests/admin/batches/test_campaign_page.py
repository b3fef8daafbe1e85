"""The page of a campaign tells when it calls, and what of it is not known."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from batchops.models import Campaign
from tests.services.changes import world

pytestmark = [pytest.mark.once, pytest.mark.django_db]

HOURS = {"daily_start_time": "09:00:00", "daily_end_time": "17:00:00", "active_days": ["mon"]}


def shown(client: Client, name: str = "campaign", key: str = "1") -> str:
    address = reverse(f"admin:batchops_{name}_change", args=[key])
    return " ".join(client.get(address).content.decode().split())


def test_it_tells_maximum_exceptions_and_an_unknown_zone(client: Client, operator: User) -> None:
    rules = {"days": {}, "dates": {"2026-12-24": {"max_daily_calls": 0}}}
    world.campaign(1, **HOURS, max_daily_calls=1500, outreach_override_rules=rules)
    world.batch()
    client.force_login(operator)
    text = shown(client)
    assert "09:00 to 17:00, mon, time zone unknown; at most 1,500 first attempts a day" in text
    assert "<li>Thu 24 Dec 2026: closed</li>" in text
    assert "Unknown: no forecast" in text and "<select" not in text
    assert "time zone unknown; at most 1,500" in shown(client, "batch", "b-1")


def test_what_is_unread_or_unreadable_is_said(client: Client, operator: User) -> None:
    world.campaign(1, **HOURS)
    client.force_login(operator)
    assert shown(client).count("Not read yet") == 2
    Campaign.objects.update(unreadable_fields=["max_daily_calls", "outreach_override_rules"])
    text = shown(client)
    assert "told the daily maximum and the exceptions of this campaign in a form" in text
    assert text.count("Cannot be read") == 2


def test_an_administrator_sets_the_zone(
    client: Client, administrator: User, operator: User
) -> None:
    world.campaign(1, **HOURS)
    address = reverse("admin:batchops_campaign_time_zone", args=["1"])
    client.force_login(administrator)
    assert "<option>Europe/Berlin</option>" in shown(client)
    client.post(address, {"time_zone": "Europe/Berlin"})
    assert "09:00 to 17:00, mon, Europe/Berlin" in shown(client)
    client.post(address, {"time_zone": "Nowhere"})
    assert "There is no such time zone." in shown(client)
    assert Campaign.objects.get().time_zone == "Europe/Berlin"
    client.force_login(operator)
    assert client.post(address, {"time_zone": ""}).status_code == 403
    assert Campaign.objects.get().time_zone == "Europe/Berlin"
