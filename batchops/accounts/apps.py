"""The app that holds the table of sessions."""

from __future__ import annotations

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Who is signed in, where."""

    name = "batchops.accounts"
    label = "batchops_accounts"
