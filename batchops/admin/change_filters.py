"""What people ask of the list of changes."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from batchops.models import Change
from batchops.models.change import TROUBLE_STATES


class ShowFilter(admin.SimpleListFilter):
    """The usual questions, in one click."""

    title = "what"
    parameter_name = "what"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("mine", "Mine"),
            ("open", "Open"),
            ("approval", "Waiting for approval"),
            ("scheduled", "Scheduled"),
            ("ending", "Pauses that end by themselves"),
            ("trouble", "With failures"),
            ("halted", "Halted"),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Change]) -> QuerySet[Change]:
        wanted = {
            "mine": Q(requested_by=request.user.pk),
            "open": Q(pk__in=Change.objects.open()),
            "approval": Q(state=Change.State.AWAITING_APPROVAL),
            "scheduled": Q(state=Change.State.SCHEDULED),
            "ending": Q(resume_at__isnull=False),
            "trouble": with_trouble(),
            "halted": Q(pk__in=Change.objects.open()) & ~Q(halted_reason=""),
        }
        asked = wanted.get(self.value() or "")
        return queryset if asked is None else queryset.filter(asked)


class PersonFilter(admin.SimpleListFilter):
    """Who asked for it."""

    title = "person"
    parameter_name = "person"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        names = Change.objects.order_by("requested_by_name").values_list(
            "requested_by_name", flat=True
        )
        return [(name, name) for name in names.distinct()[:100]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Change]) -> QuerySet[Change]:
        name = self.value()
        return queryset.filter(requested_by_name=name) if name else queryset


def with_trouble() -> Q:
    """Changes with batches that did not get what was asked, as last counted."""
    found = Q()
    for state in TROUBLE_STATES:
        found |= Q(**{f"counts_json__{state.value}__gt": 0})
    return found
