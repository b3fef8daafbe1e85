"""Changes: what was asked, how far it has come, what became of each batch."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.http import Http404, HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST, require_safe

from batchops import permissions
from batchops.admin.batches import emergency
from batchops.admin.changes import actions, change_page, preview
from batchops.admin.changes.filters import (
    ChangeStateFilter,
    PersonFilter,
    QuestionFilter,
    SinceFilter,
    SourceFilter,
)
from batchops.admin.ui import bars, columns, pills, times
from batchops.admin.ui.base import ReadOnlyAdmin
from batchops.admin.ui.parameters import takes
from batchops.models import (
    DRAFT_STATES,
    SUCCESS_STATES,
    TROUBLE_STATES,
    Change,
    ChangeState,
    ItemState,
)
from batchops.services.stats import upcoming


@admin.register(Change)
class ChangeAdmin(ReadOnlyAdmin[Change]):
    """Changes of all people, and one's own drafts."""

    list_display = ("what", "state_pill", "numbers", "reason_given", "who", "when")
    list_display_links = ("what",)
    list_filter = (QuestionFilter, ChangeStateFilter, SourceFilter, PersonFilter, SinceFilter)
    search_fields = ("reason", "reference", "requested_by_name", "selection")
    change_list_template = "batchops/changes/list.html"

    @admin.display(description="What", ordering="created_at")
    def what(self, change: Change) -> str:
        return columns.asked_on_all(change)

    @admin.display(description="State", ordering="state")
    def state_pill(self, change: Any) -> SafeString:
        put_back = sum((change.undo_counts or {}).get(state, 0) for state in SUCCESS_STATES)
        applied = change.counts_json.get(ItemState.APPLIED, 0)
        change.is_undone = bool(put_back) and put_back >= applied
        return pills.change_state(change)

    @admin.display(description="Batches")
    def numbers(self, change: Change) -> str:
        counts = change.counts_json
        if change.state == ChangeState.RUNNING:
            bar = bars.progress_of(counts, change.item_count)
            return render_to_string("batchops/ui/progress.html", bar)
        if not counts:
            return f"{change.item_count:,} selected"
        applied = int(counts.get("applied", 0)) + int(counts.get("unchanged", 0))
        trouble = sum(int(counts.get(state, 0)) for state in TROUBLE_STATES)
        words = f"{applied:,} of {change.item_count:,}"
        return f"{words}, {trouble:,} not as requested" if trouble else words

    @admin.display(description="Reason", ordering="reason")
    def reason_given(self, change: Change) -> str:
        words = change.reason if len(change.reason) <= 80 else f"{change.reason[:79]}…"
        return f"{words} ({change.reference})" if change.reference else words

    @admin.display(description="Who", ordering="requested_by_name")
    def who(self, change: Change) -> SafeString:
        return format_html(
            '{} <span class="quiet-note">{}</span>',
            change.requested_by_name,
            change.get_source_display(),
        )

    @admin.display(description="When", ordering="created_at")
    def when(self, change: Change) -> str | SafeString:
        return times.instant(change.starts_at or change.confirmed_at or change.created_at)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Change]:
        """All but drafts, which are only their author's; one's own have a filter of their own."""
        undo = Change.objects.filter(
            follows=OuterRef("pk"), source=Change.Source.UNDO, state=ChangeState.FINISHED
        )
        own_draft = Q(state=ChangeState.DRAFT, requested_by=request.user.pk)
        hidden = (*DRAFT_STATES, ChangeState.DISCARDED)
        drafts = request.GET.get(QuestionFilter.parameter_name) == QuestionFilter.DRAFTS
        found = super().get_queryset(request)
        found = found.filter(own_draft if drafts else ~Q(state__in=hidden))
        return found.annotate(undo_counts=Subquery(undo.values("counts_json")[:1]))

    def get_urls(self) -> list[URLPattern]:
        def view(route: str, name: str, serve: Any) -> URLPattern:
            guarded = self.admin_site.admin_view(serve)
            pattern: URLPattern = path(route, guarded, name=f"batchops_change_{name}")
            return pattern

        return [
            view("emergency/", "emergency", require_POST(emergency.emergency_view)),
            view(
                "emergency/<int:campaign_id>/", "emergency", require_POST(emergency.emergency_view)
            ),
            view("upcoming/", "upcoming", require_safe(self.upcoming_view)),
            view("<uuid:pk>/preview/", "preview", self.preview_view),
            view("<uuid:pk>/discard/", "discard", require_POST(preview.discard_view)),
            view("<uuid:pk>/override/", "override", require_POST(preview.override_view)),
            view("overrides/<int:pk>/seen/", "seen", require_POST(preview.seen_view)),
            view("<uuid:pk>/state/", "state", require_safe(self.state_view)),
            view("<uuid:pk>/do/<slug:action>/", "do", require_POST(actions.act)),
            *super().get_urls(),
        ]

    @takes("outcome", "q", "p")
    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        self._require_view(request)
        try:
            key = uuid.UUID(object_id)
        except ValueError:
            raise Http404 from None
        return change_page.change_view(request, key, self.admin_site)

    @takes("show", "q", "p", "zone")
    def preview_view(self, request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
        self._require_view(request)
        return preview.preview_view(request, pk, self.admin_site)

    @takes("outcome", "q", "p")
    def state_view(self, request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
        self._require_view(request)
        return change_page.state_view(request, pk)

    def upcoming_view(self, request: HttpRequest) -> HttpResponse:
        """What will happen by itself: scheduled changes, and pauses that end."""
        self._require_view(request)
        freezes = upcoming.open_freezes()
        context = {
            **self.admin_site.each_context(request),
            "title": "Upcoming",
            "opts": Change._meta,
            "upcoming": upcoming.upcoming(freezes),
            "freezes": freezes,
            "may_control": request.user.has_perm(permissions.CONTROL_CHANGE),
            "may_request": request.user.has_perm(permissions.REQUEST_CHANGE),
        }
        return TemplateResponse(request, "batchops/changes/upcoming.html", context)

    def _require_view(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied
