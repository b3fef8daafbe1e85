"""Entries to look at, and the addresses of the trail's pages."""

from __future__ import annotations

import datetime as dt
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse
from django.utils import timezone

from batchops.models import Action, AuditEntry
from batchops.services import audit

PAUSE = {"paused": False, "expires_on": None, "call_rate": None, "auto_call_rate": None}


def write(action: Action | str = Action.BATCH_APPLIED, **more: Any) -> AuditEntry:
    """One entry: olivia paused a batch, unless said otherwise."""
    name = more.pop("name", "olivia")
    fields: dict[str, Any] = {
        "outcome": "applied",
        "batch_id": "20260324.9",
        "campaign_id": 7,
        "campaign_name": "Spring reminders",
        "reason": "wrong list",
        "reference": "OPS-17",
        "before": {**PAUSE, "status": "ACTIVE"},
        "after": {**PAUSE, "paused": True, "status": "PAUSED"},
        "http_status": 200,
        "detail": {"asked": {"paused": True}, "message": ""},
    } | more
    return audit.record_now(audit.Fact(action, audit.Actor(name, ip="192.0.2.7"), **fields))[0]


def days_ago(number: int) -> dt.datetime:
    return timezone.now() - dt.timedelta(days=number)


def address(page: str = "changelist", *arguments: object, **query: object) -> str:
    """The address of a page of the trail."""
    found = reverse(f"admin:batchops_auditentry_{page}", args=arguments)
    return f"{found}?{urlencode(query)}" if query else found
