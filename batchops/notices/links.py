"""Where notices lead: paths of the site."""

from __future__ import annotations

import uuid

from django.urls import reverse
from django.utils.http import urlencode

from batchops.admin.ui.addresses import batch_key


def change(key: uuid.UUID | None) -> str:
    return reverse("admin:batchops_change_change", args=[key])


def batch(batch_id: str) -> str:
    return reverse("admin:batchops_batch_change", args=[batch_key(batch_id)])


def entry(sequence: int) -> str:
    return reverse("admin:batchops_auditentry_change", args=[sequence])


def of_list(model: str, **parameters: str | int) -> str:
    """A list of the site, filtered."""
    path = reverse(f"admin:batchops_{model}_changelist")
    return f"{path}?{urlencode(parameters)}" if parameters else path


def channel(key: int) -> str:
    return reverse("admin:notices_channel", args=[key])
