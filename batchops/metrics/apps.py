"""The app that holds the counters' tables."""

from __future__ import annotations

from django.apps import AppConfig


class MetricsConfig(AppConfig):
    """Tables of what is counted for monitoring."""

    name = "batchops.metrics"
    label = "batchops_metrics"
