"""The two apps: ours, and the admin with our own site."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.contrib.admin.apps import AdminConfig
from django.db.models.signals import post_migrate

from config.servers import queue


class BatchopsConfig(AppConfig):
    """Tables, services and commands of batchops."""

    name = "batchops"
    verbose_name = "Operations"

    def ready(self) -> None:
        from django.contrib.auth.models import User

        from batchops import checks, permissions, signals, tasks  # noqa: F401
        from batchops.services import account_names
        from batchops.services.stats import kept_counts

        # Forms and createsuperuser ask the field; all other ways are seen by a signal.
        User._meta.get_field("username").validators.append(account_names.check)
        post_migrate.connect(permissions.keep_groups, sender=self)
        post_migrate.connect(kept_counts.ensure, sender=self)
        post_migrate.connect(_prepare_queue, sender=self)


def _prepare_queue(**_: Any) -> None:
    queue.prepare(settings.HUEY)


class BatchopsAdminConfig(AdminConfig):
    """Django's admin with the site of batchops as its default."""

    default_site = "batchops.admin.site.BatchopsAdminSite"

    def ready(self) -> None:
        super().ready()
        from batchops.accounts.sign_in import SignInForm
        from batchops.admin import syncs  # noqa: F401
        from batchops.admin.accounts import accounts  # noqa: F401
        from batchops.admin.batches import batch_list, campaigns  # noqa: F401
        from batchops.admin.changes import change_list  # noqa: F401
        from batchops.admin.site import site
        from batchops.admin.trail import entries  # noqa: F401

        site.login_form = SignInForm
