"""What people ask of the list of changes."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from batchops.admin.ui.fixed_filter import FixedFilter
from batchops.models import DRAFT_STATES, TROUBLE_STATES, Change, ChangeState


class QuestionFilter(FixedFilter):
    """The usual questions, in one click."""

    DRAFTS: Final = "drafts"

    title = "what"
    parameter_name = "what"
    options = {
        "mine": "Mine",
        "drafts": "My drafts, not confirmed",
        "open": "Open",
        "approval": "Waiting for approval",
        "scheduled": "Scheduled",
        "ending": "Pauses that end by themselves",
        "trouble": "With failures",
        "halted": "Halted",
    }

    def narrow(self, rows: QuerySet[Change], value: str) -> QuerySet[Change]:
        wanted = {
            "mine": Q(requested_by=self.request.user.pk),
            "drafts": Q(state=ChangeState.DRAFT, requested_by=self.request.user.pk),
            "open": Q(pk__in=Change.objects.open()),
            "approval": Q(state=ChangeState.AWAITING_APPROVAL),
            "scheduled": Q(state=ChangeState.SCHEDULED),
            "ending": Q(resume_at__isnull=False),
            "trouble": with_trouble(),
            "halted": Q(pk__in=Change.objects.open()) & ~Q(halted_reason=""),
        }
        return rows.filter(wanted[value])


class ChangeStateFilter(FixedFilter):
    """Changes by their state."""

    title = "state"
    parameter_name = "state__exact"
    options = {
        value: label
        for value, label in ChangeState.choices
        if value not in (*DRAFT_STATES, ChangeState.DISCARDED)
    }


class SourceFilter(FixedFilter):
    """Changes by where they come from."""

    title = "source"
    parameter_name = "source__exact"
    options = dict(Change.Source.choices)


class SinceFilter(FixedFilter):
    """Changes of late; days are those of the reader's calendar."""

    title = "created"
    parameter_name = "created"
    options = {"today": "Today", "week": "In the past 7 days", "month": "This month"}

    def narrow(self, rows: QuerySet[Change], value: str) -> QuerySet[Change]:
        today = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
        first = {
            "today": today,
            "week": today - dt.timedelta(days=7),
            "month": today.replace(day=1),
        }
        return rows.filter(created_at__gte=first[value])


class PersonFilter(admin.SimpleListFilter):
    """Who asked for it."""

    title = "person"
    parameter_name = "person"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        names = Change.objects.order_by("requested_by_name").values_list(
            "requested_by_name", flat=True
        )
        found = [(name, name) for name in names.distinct()[:100]]
        chosen = self.value()
        if chosen and (chosen, chosen) not in found:
            found.append((chosen, chosen))
        return found

    def queryset(self, request: HttpRequest, queryset: QuerySet[Change]) -> QuerySet[Change]:
        name = self.value()
        return queryset.filter(requested_by_name=name) if name else queryset


def with_trouble() -> Q:
    """Changes with batches that did not get what was asked, as last counted."""
    found = Q()
    for state in TROUBLE_STATES:
        found |= Q(**{f"counts_json__{state.value}__gt": 0})
    return found
