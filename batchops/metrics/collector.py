"""Reads the database at a scrape, and puts what it found into Prometheus' terms.

Names and units follow https://prometheus.io/docs/practices/naming/: base units, `_total` for what
only grows, and the instant itself, not its age, for when something happened last.
"""

from __future__ import annotations

import datetime as dt
import itertools
import math
from collections.abc import Iterable, Iterator
from typing import Final

from django.conf import settings
from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from batchops import __version__
from batchops.metrics import counts
from batchops.metrics.models import VendorRequests
from batchops.models import (
    ENDED_STATES,
    RUNNABLE_STATES,
    Action,
    AuditEntry,
    AuditHead,
    Change,
    ChangeItem,
    ChangeState,
    ItemState,
    SyncRun,
    VendorRate,
)
from batchops.services import heartbeats
from batchops.services.anchors import outlets
from batchops.services.mirror import freshness
from batchops.services.proof import watch
from batchops.syllable.rate.estimate import Estimate
from batchops.syllable.tally import BUCKETS, Durations

OUTCOMES: Final = (
    *(Action.BATCH_APPLIED, Action.BATCH_UNCHANGED, Action.BATCH_NOT_APPLIED),
    *(Action.BATCH_REFUSED, Action.BATCH_FAILED, Action.BATCH_CONFLICT, Action.BATCH_SKIPPED),
    *(Action.BATCH_STOPPED, Action.BATCH_NOT_CONFIRMED),
)
"""What an item can come to, as the trail names it."""
SHOWN_STATES: Final = [
    state for state in ChangeState if state not in (ChangeState.DRAFTING, ChangeState.DISCARDED)
]


class BatchopsCollector(Collector):
    """Everything that `/metrics` shows; each collection costs some twenty short queries."""

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily("batchops", "The version.", {"version": __version__})
        yield from _vendor()
        yield from _changes()
        yield from _items()
        yield from _mirror()
        yield from _trail()
        yield _gauge("workers", "Worker processes that send.", heartbeats.number_alive())


def _gauge(name: str, words: str, value: float | None) -> Metric:
    """A number as it is now; without a sample where it is not known."""
    family = GaugeMetricFamily(f"batchops_{name}", words)
    if value is not None:
        family.add_metric([], value)
    return family


def _gauges(name: str, words: str, label: str, values: Iterable[tuple[str, float]]) -> Metric:
    family = GaugeMetricFamily(f"batchops_{name}", words, labels=[label])
    for value, number in values:
        family.add_metric([value], number)
    return family


def _counters(name: str, words: str, label: str, values: Iterable[tuple[str, float]]) -> Metric:
    family = CounterMetricFamily(f"batchops_{name}", words, labels=[label])
    for value, number in values:
        family.add_metric([value], number)
    return family


def _instant(at: dt.datetime | None) -> float | None:
    return at.timestamp() if at else None


def _vendor() -> Iterator[Metric]:
    requests = CounterMetricFamily(
        "batchops_vendor_requests",
        "Requests to the vendor, by what for and by HTTP status (or: lost, unreachable).",
        labels=["operation", "status"],
    )
    by_operation: dict[str, Durations] = {}
    for row in VendorRequests.objects.all():
        requests.add_metric([row.operation, row.status], sum(row.buckets))
        durations = by_operation.setdefault(row.operation, Durations())
        durations.add(Durations(row.buckets, row.seconds))
    yield requests
    histogram = HistogramMetricFamily(
        "batchops_vendor_request_duration_seconds",
        "How long requests to the vendor took, until the reply began.",
        labels=["operation"],
    )
    bounds = [*map(str, BUCKETS), "+Inf"]
    for operation, durations in by_operation.items():
        numbers = itertools.accumulate(durations.buckets)
        buckets = list(zip(bounds, map(float, numbers), strict=True))
        histogram.add_metric([operation], buckets, durations.seconds)
    yield histogram
    yield _gauge(
        "vendor_rate_limit_requests_per_second",
        "What the vendor allows, as far as workers learnt it or SYLLABLE_MAX_RATE says.",
        _rate_limit(),
    )


def _rate_limit() -> float | None:
    """Requests a second; None when no limit is known."""
    known = VendorRate.objects.filter(pk=settings.SYLLABLE_BASE_URL).first()
    estimate = Estimate(**known.estimate) if known else Estimate()
    limit = min(estimate.ceiling, settings.SYLLABLE_MAX_RATE or math.inf)
    return limit if math.isfinite(limit) else None


def _changes() -> Iterator[Metric]:
    found = dict(Change.objects.order_by().values_list("state").annotate(Count("pk")))
    yield _gauges(
        "changes",
        "Changes by state.",
        "state",
        [(state.value, found.get(state.value, 0)) for state in SHOWN_STATES],
    )
    special = Change.objects.filter(state__in=RUNNABLE_STATES).aggregate(
        halted=Count("pk", filter=~Q(halted_reason="")),
        waiting=Count("pk", filter=~Q(waiting_reason="")),
    )
    yield _gauge(
        "changes_halted", "Changes that go on only when a person says so.", special["halted"]
    )
    yield _gauge(
        "changes_waiting", "Changes that wait, as for the vendor, and go on.", special["waiting"]
    )


def _items() -> Iterator[Metric]:
    """Items of changes that are under way; how many came to which end is counted by the trail."""
    runnable = Change.objects.filter(state__in=RUNNABLE_STATES)
    items = ChangeItem.objects.filter(change__in=runnable)
    yield _gauge(
        "items_waiting",
        "Batches of queued and running changes that still have to be sent.",
        items.filter(state=ItemState.PENDING).count(),
    )
    yield _gauge(
        "items_in_flight",
        "Batches that are being sent to the vendor.",
        ChangeItem.objects.filter(state=ItemState.SENDING).count(),
    )
    yield _gauge(
        "items_oldest_waiting_timestamp_seconds",
        "Since when the batch that waits longest could be sent; not of halted changes.",
        _oldest_waiting(runnable),
    )
    unread = Change.objects.filter(
        state__in=ENDED_STATES, read_back_at=None, started_at__isnull=False
    )
    yield _gauge(
        "items_unconfirmed",
        "Batches that the vendor accepted an update for and that are still to be read back.",
        ChangeItem.objects.filter(
            change__in=unread,
            state=ItemState.APPLIED,
            confirmation=ChangeItem.Confirmation.NONE,
        ).count(),
    )


def _oldest_waiting(runnable: QuerySet[Change]) -> float | None:
    pending = ChangeItem.objects.filter(change=OuterRef("pk"), state=ItemState.PENDING)
    waiting = runnable.filter(Exists(pending), halted_reason="")
    instants = [
        max(filter(None, found))
        for found in waiting.values_list("created_at", "confirmed_at", "decided_at", "starts_at")
    ]
    return _instant(min(instants, default=None))


def _mirror() -> Iterator[Metric]:
    now = freshness.freshness()
    yield _gauge(
        "mirror_synced_timestamp_seconds",
        "When the last good sync began, which saw at least what had changed.",
        _instant(now.synced_at),
    )
    yield _gauge(
        "mirror_fully_synced_timestamp_seconds",
        "When the last good sync began that saw every batch.",
        _instant(now.fully_synced_at),
    )
    yield _gauge(
        "vendor_key_rejected", "Whether the vendor rejects the key (1) or not.", now.key_rejected
    )
    durations = []
    for kind in SyncRun.Kind:
        run = SyncRun.objects.filter(kind=kind, state=SyncRun.State.DONE).first()
        if run is not None and run.duration is not None:
            durations.append((kind.value, run.duration.total_seconds()))
    yield _gauges("sync_duration_seconds", "How long the last good sync took.", "kind", durations)


def _trail() -> Iterator[Metric]:
    by_action = counts.entries_by_action()
    yield _counters(
        "audit_entries",
        "Entries of the audit trail that were written, by action.",
        "action",
        sorted(by_action.items()),
    )
    yield _counters(
        "item_outcomes",
        "What batches of changes came to; also when an outcome was corrected afterwards.",
        "outcome",
        [(action.partition(".")[2], by_action.get(action, 0)) for action in OUTCOMES],
    )
    failed = CounterMetricFamily("batchops_sign_ins_failed", "Sign-ins that failed.")
    failed.add_metric([], by_action.get(Action.ACCOUNT_SIGN_IN_FAILED, 0))
    yield failed
    yield _gauge(
        "audit_trail_sequence",
        "Number of the last entry of the audit trail.",
        AuditHead.objects.values_list("sequence", flat=True).first() or 0,
    )
    verdicts = AuditEntry.objects.filter(action=Action.AUDIT_VERIFIED).exclude(outcome="broken")
    good = verdicts.order_by("-sequence").first()
    yield _gauge(
        "audit_trail_verified_timestamp_seconds",
        "When the audit trail was verified last with a good verdict.",
        _instant(good.at if good else None),
    )
    yield _gauge(
        "audit_trail_problems",
        "How many things speak against the audit trail now; /readyz names them.",
        len(watch.standing().problems),
    )
    yield _gauge(
        "anchor_outlets_failing",
        "Ways by which anchors of the audit trail leave that fail.",
        len(outlets.failing()),
    )
