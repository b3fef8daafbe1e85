"""Worlds for tests about lists: batches that were changed one minute after the other."""

from __future__ import annotations

import datetime as dt
from typing import Any
from urllib.parse import parse_qs

from django.utils import timezone

from batchops.sandbox.embedded import EmbeddedSandbox


def fill(sandbox: EmbeddedSandbox, number: int) -> list[str]:
    """So many batches; the first was changed a minute ago, each other a minute before that."""
    ids = [f"b{index:04}" for index in range(number)]
    for age, batch_id in enumerate(ids, start=1):
        changed = timezone.now() - dt.timedelta(minutes=age)
        sandbox.add_batch(
            batch_id=batch_id, campaign_id=1, status="ACTIVE", last_updated_at=changed
        )
    return ids


def list_requests(sandbox: EmbeddedSandbox, kind: str = "batches") -> list[dict[str, Any]]:
    """The requests for pages of a list, with their parameters."""
    return [
        {"status": entry["status"], **{k: v[0] for k, v in parse_qs(entry["query"]).items()}}
        for entry in sandbox.journal(method="GET")
        if entry["path"].endswith(f"/{kind}")
    ]


def single_reads(sandbox: EmbeddedSandbox) -> int:
    """How many batches were asked for by their ids."""
    return sum(entry["batch_id"] is not None for entry in sandbox.journal(method="GET"))
