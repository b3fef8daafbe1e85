"""What nobody needs any more is deleted, so that no table grows without end."""

from __future__ import annotations

import datetime as dt
import logging
import time
from typing import Any, Final

from django.conf import settings
from django.db.models import Max, QuerySet
from django.utils import timezone

from batchops.models import Change, ChangeState, PastedIds, Quota, SyncRun

logger = logging.getLogger(__name__)

SLICE: Final = 500
"""Rows deleted in one transaction, so that no lock on SQLite is held for long."""
BREATH_SECONDS: Final = 0.02
"""Others come to write between two slices."""


def clean_up() -> dict[str, int]:
    """Delete what is older than the settings keep it; returns how many of each.

    The audit trail is never touched, nor a change that anybody confirmed.
    """
    now = timezone.now()
    deleted = {
        "syncs": delete(_old_sync_runs(days_ago(now, settings.KEEP_SYNC_RUNS_DAYS))),
        "discarded drafts": delete(
            Change.objects.filter(
                state=ChangeState.DISCARDED,
                finished_at__lt=days_ago(now, settings.KEEP_DRAFTS_DAYS),
                followed_by=None,
            )
        ),
        "pasted lists": delete(
            PastedIds.objects.filter(created_at__lt=days_ago(now, settings.KEEP_PASTED_IDS_DAYS))
        ),
        "used quotas": delete(Quota.objects.filter(until__lt=days_ago(now, 1))),
    }
    words = ", ".join(f"{count:,} {name}" for name, count in deleted.items())
    logger.info("Cleaned up what is out of date: %s.", words)
    return deleted


def days_ago(now: dt.datetime, days: int) -> dt.datetime:
    """So many days ago."""
    return now - dt.timedelta(days=days)


def _old_sync_runs(before: dt.datetime) -> QuerySet[SyncRun]:
    """Syncs that are over, save the last of each kind and outcome: how fresh the mirror is, and
    where the next sync goes on, is read from them.
    """
    ended = SyncRun.objects.exclude(state=SyncRun.State.RUNNING).order_by()
    last = ended.values("kind", "state").annotate(last=Max("pk")).values("last")
    return ended.filter(started_at__lt=before).exclude(pk__in=last)


def delete(old: QuerySet[Any]) -> int:
    """Delete rows slice by slice; returns how many."""
    deleted = 0
    while keys := list(old.values_list("pk", flat=True)[:SLICE]):
        old.model._default_manager.filter(pk__in=keys).delete()
        deleted += len(keys)
        time.sleep(BREATH_SECONDS)
    return deleted
