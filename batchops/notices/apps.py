"""The app that holds the tables of notices."""

from __future__ import annotations

from django.apps import AppConfig


class NoticesConfig(AppConfig):
    """Notices and who has read them."""

    name = "batchops.notices"
    label = "batchops_notices"
