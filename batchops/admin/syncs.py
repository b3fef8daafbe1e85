"""Syncs: when the mirror was brought up to date, what went wrong, and "Sync now"."""

from __future__ import annotations

import logging

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from batchops import audit, permissions, tasks
from batchops.admin.ui import pills, times
from batchops.admin.ui.base import ReadOnlyAdmin, promise
from batchops.admin.ui.fixed_filter import FixedFilter
from batchops.admin.ui.pills import Look
from batchops.models import SyncRun
from batchops.services.mirror import sync

logger = logging.getLogger(__name__)

LOOKS = {
    SyncRun.State.RUNNING: Look("sync", "info"),
    SyncRun.State.DONE: Look("check", "good"),
    SyncRun.State.FAILED: Look("cross", "bad"),
}


class StateFilter(FixedFilter):
    """Syncs by how they stand."""

    title = "state"
    parameter_name = "state__exact"
    options = dict(SyncRun.State.choices)


class KindFilter(FixedFilter):
    """Syncs of what changed, or of everything."""

    title = "kind"
    parameter_name = "kind__exact"
    options = dict(SyncRun.Kind.choices)


@admin.register(SyncRun)
class SyncRunAdmin(ReadOnlyAdmin[SyncRun]):
    """Syncs, the latest first."""

    change_list_template = "batchops/syncs/list.html"
    list_display = (
        "began",
        "kind",
        "look",
        "requested_by_whom",
        "lasted",
        "seen",
        "wrote",
        "error",
    )
    list_display_links = ("began",)
    list_filter = (StateFilter, KindFilter)
    sortable_by = ()
    fields = (
        "began",
        "kind",
        "look",
        "requested_by_whom",
        "lasted",
        "seen",
        "wrote",
        "missing",
        "unreadable",
        "campaigns_seen",
        "whole",
        "error",
        "noted",
    )
    readonly_fields = (
        "began",
        "look",
        "requested_by_whom",
        "lasted",
        "seen",
        "wrote",
        "whole",
        "noted",
    )

    def get_urls(self) -> list[URLPattern]:
        now = self.admin_site.admin_view(self.sync_now)
        return [path("now/", now, name="batchops_syncrun_now"), *super().get_urls()]

    @method_decorator(require_POST)
    def sync_now(self, request: HttpRequest) -> HttpResponse:
        """Ask the worker for a sync, and go back to where the person was."""
        full = request.POST.get("kind") == SyncRun.Kind.FULL
        request_sync(request, SyncRun.Kind.FULL if full else SyncRun.Kind.INCREMENTAL)
        return HttpResponseRedirect(_back(request))

    @admin.display(description="began")
    def began(self, run: SyncRun) -> str | SafeString:
        return times.instant(run.started_at)

    @admin.display(description="state")
    def look(self, run: SyncRun) -> SafeString:
        state = SyncRun.State(run.state)
        return pills.pill(str(state.label), LOOKS[state])

    @admin.display(description="requested by")
    def requested_by_whom(self, run: SyncRun) -> str:
        return run.requested_by or "the schedule"

    @admin.display(description="took")
    def lasted(self, run: SyncRun) -> str:
        return times.span(run.duration)

    @admin.display(description="batches seen")
    def seen(self, run: SyncRun) -> str:
        return f"{run.batches_seen:,}"

    @admin.display(description="new or changed")
    def wrote(self, run: SyncRun) -> str:
        return f"{run.created:,} new, {run.changed:,} changed"

    @admin.display(description="last full sync")
    def whole(self, run: SyncRun) -> str | SafeString:
        return times.instant(run.fully_synced_at) if run.fully_synced_at else times.NOTHING

    @admin.display(description="notes")
    def noted(self, run: SyncRun) -> str:
        return "\n".join(str(note) for note in run.notes) or times.NOTHING


def request_sync(request: HttpRequest, kind: SyncRun.Kind) -> None:
    """Enqueue a sync for a person and tell them. Raises PermissionDenied."""
    if not request.user.has_perm(permissions.RUN_SYNC):
        raise PermissionDenied
    actor = audit.Actor.of_request(request)
    sync.record_request(actor, kind.value)
    try:
        tasks.sync_now(kind.value, actor.name)
    # The queue's library lets the errors of whichever driver it uses through.
    except Exception:
        logger.exception("A sync could not be enqueued.")
        messages.error(request, "The queue cannot be reached, so no sync was started.")
        return
    promise(request, f"{kind.label} sync requested. It shows here once it is done.")


def _back(request: HttpRequest) -> str:
    target = request.POST.get("next", "")
    ours = url_has_allowed_host_and_scheme(
        target, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return target if ours else reverse("admin:batchops_syncrun_changelist")
