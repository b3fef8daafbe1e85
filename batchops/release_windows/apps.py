"""The app that holds the table of freezes."""

from __future__ import annotations

from django.apps import AppConfig


class ReleaseWindowsConfig(AppConfig):
    """Spans in which nothing is released."""

    name = "batchops.release_windows"
    label = "batchops_release_windows"
