"""Entries to look at, and the addresses of the trail's pages."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final
from urllib.parse import urlencode

import time_machine
from django.urls import reverse

from batchops import audit
from batchops.models import Action, AuditEntry

VALUES: Final = {"paused": False, "expires_on": None, "call_rate": None, "auto_call_rate": None}


def write(
    action: Action | str = Action.BATCH_APPLIED,
    *,
    name: str = "olivia",
    at: dt.datetime | None = None,
    **more: Any,
) -> AuditEntry:
    """One entry: olivia paused a batch just now, unless said otherwise."""
    fields: dict[str, Any] = {
        "outcome": "applied",
        "batch_id": "20260324.9",
        "campaign_id": 7,
        "campaign_name": "Spring reminders",
        "reason": "wrong list",
        "reference": "OPS-17",
        "before": {**VALUES, "status": "ACTIVE"},
        "after": {**VALUES, "paused": True, "status": "PAUSED"},
        "http_status": 200,
        "detail": {"requested": {"paused": True}, "message": ""},
    } | more
    fact = audit.Fact(action, audit.Actor(name, ip="192.0.2.7"), **fields)
    if at is None:
        return audit.record_now(fact)[0]
    with time_machine.travel(at, tick=False):
        return audit.record_now(fact)[0]


def address(page: str = "changelist", /, *arguments: object, **query: object) -> str:
    """The address of a page of the trail."""
    found = reverse(f"admin:batchops_auditentry_{page}", args=arguments)
    return f"{found}?{urlencode(query)}" if query else found
