"""The app that holds the tables of saved views."""

from __future__ import annotations

from django.apps import AppConfig


class SavedViewsConfig(AppConfig):
    """Tables of how people look at the batch list."""

    name = "batchops.saved_views"
    label = "batchops_saved_views"
    verbose_name = "saved views"
