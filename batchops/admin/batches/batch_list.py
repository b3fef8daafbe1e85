"""Batches: the list with its filters and actions, and pasted lists of ids."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from batchops.admin.batches.actions import BatchActions
from batchops.admin.batches.batch_page import BatchPage
from batchops.admin.batches.filters import SELECTS, PastedFilter, ShowFilter
from batchops.admin.batches.forms import PasteForm
from batchops.admin.ui import columns, pills
from batchops.admin.ui.addresses import batch_id_in_form, batch_key
from batchops.admin.ui.base import NulSafeChangeList, ReadOnlyAdmin, add_service_error, current_user
from batchops.admin.ui.pills import Look
from batchops.models import Batch, PastedIds
from batchops.services.changes import pasted_ids
from batchops.services.errors import InvalidInput

SHARED = Look("warning", "bad")


class BatchList(NulSafeChangeList):
    """A list whose links lead to every batch, also to one named by dots."""

    def url_for_result(self, result: Model) -> str:
        return reverse("admin:batchops_batch_change", args=[batch_key(result.pk)])


@admin.register(Batch)
class BatchAdmin(BatchActions, BatchPage, ReadOnlyAdmin[Batch]):
    """The mirror of the vendor's batches."""

    change_list_template = "batchops/batches/list.html"
    list_display = (
        "identity",
        "campaign_and_mode",
        "status_and_flags",
        "pause_and_why",
        "expiry",
        "rate",
        "updated",
    )
    list_display_links = ("identity",)
    list_filter = (ShowFilter, *SELECTS, PastedFilter)
    list_select_related = ("campaign", "paused_by")
    search_fields = ("batch_id", "campaign__campaign_name")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("paste/", view(self.paste), name="batchops_batch_paste"),
            path("<path:object_id>/counts/", view(self.counts), name="batchops_batch_counts"),
            *super().get_urls(),
        ]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return BatchList

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        pasted = request.GET.get(PastedFilter.parameter_name, "")
        extra = {
            "pasted": pasted_ids.kept(pasted, current_user(request)) if pasted else None,
            "pasted_is_gone": bool(pasted),
            "kept_lists": pasted_ids.KEPT_LISTS,
            "kept_days": settings.KEEP_PASTED_IDS_DAYS,
            **(extra_context or {}),
        }
        return super().changelist_view(request, extra)

    def paste(self, request: HttpRequest) -> HttpResponse:
        """Take a pasted list of ids, and show what of it there is."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        form = PasteForm(request.POST if request.method == "POST" else None)
        if form.is_valid():
            try:
                pasted = _pasted(request, form)
            except InvalidInput as error:
                add_service_error(form, error)
            else:
                address = reverse("admin:batchops_batch_changelist")
                return HttpResponseRedirect(f"{address}?{PastedFilter.parameter_name}={pasted.pk}")
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "Paste batch ids",
            "form": form,
            "limit": pasted_ids.LIMIT,
            "kept_lists": pasted_ids.KEPT_LISTS,
            "kept_days": settings.KEEP_PASTED_IDS_DAYS,
        }
        return TemplateResponse(request, "batchops/batches/paste.html", context)

    @admin.display(description="batch", ordering="batch_id")
    def identity(self, batch: Batch) -> SafeString:
        return format_html('<bdi class="batch-id">{}</bdi>', batch.batch_id)

    @admin.display(description="campaign", ordering="campaign__campaign_name")
    def campaign_and_mode(self, batch: Batch) -> SafeString:
        return format_html(
            '<bdi>{}</bdi><span class="column-note"><bdi>{}</bdi></span>',
            str(batch.campaign),
            batch.campaign.mode,
        )

    @admin.display(description="status", ordering="status")
    def status_and_flags(self, batch: Batch) -> SafeString:
        alarm = pills.pill("Id in several campaigns", SHARED) if batch.shares_its_id else ""
        changed = ""
        if batch.changed_externally_at:
            changed = pills.pill("Changed outside", Look("outside", "info"))
        return format_html("{} {} {}", pills.batch_status(batch), alarm, changed)

    @admin.display(description="paused", ordering="paused")
    def pause_and_why(self, batch: Batch) -> SafeString:
        return columns.pause(batch)

    @admin.display(description="expires", ordering="expires_on")
    def expiry(self, batch: Batch) -> SafeString:
        return columns.expiry(batch)

    @admin.display(description="rate", ordering="call_rate")
    def rate(self, batch: Batch) -> SafeString:
        return columns.rate(batch)

    @admin.display(description="updated", ordering="last_updated_at")
    def updated(self, batch: Batch) -> SafeString:
        return columns.updated(batch)


def _pasted(request: HttpRequest, form: PasteForm) -> PastedIds:
    """The list that was pasted, or one with the look-alikes that were chosen for it.

    Raises InvalidInput.
    """
    user = current_user(request)
    before = pasted_ids.kept(form.cleaned_data["answers"], user)
    if before is None:
        return pasted_ids.keep(form.cleaned_data["batch_ids"], user)
    also = [batch_id_in_form(value) for value in request.POST.getlist("also")]
    return pasted_ids.keep_with(before, also, user)
