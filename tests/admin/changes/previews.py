"""The preview of a draft, as a person opens it."""

from __future__ import annotations

from django.test import Client
from django.urls import reverse

from batchops.models import Change


def page(change: Change) -> str:
    return reverse("admin:batchops_change_preview", args=[change.pk])


def to_page(change: Change) -> str:
    return reverse("admin:batchops_change_change", args=[change.pk])


def text(signed_in: Client, change: Change, query: str = "") -> str:
    response = signed_in.get(page(change) + query)
    assert response.status_code == 200
    return " ".join(response.content.decode().split())
