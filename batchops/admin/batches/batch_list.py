"""Batches: the list with its filters and actions, and pasted lists of ids."""

from __future__ import annotations

from typing import Any, cast

from django.conf import settings
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.core.paginator import Page, Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from batchops.admin.batches.actions import BatchActions
from batchops.admin.batches.batch_page import BatchPage
from batchops.admin.batches.filters import SELECTS, BatchFilter, PastedFilter, ShowFilter
from batchops.admin.batches.forms import PasteForm
from batchops.admin.ui import columns, pills
from batchops.admin.ui.addresses import batch_id_in_form, batch_key
from batchops.admin.ui.base import NulSafeChangeList, ReadOnlyAdmin, add_service_error, current_user
from batchops.admin.ui.pills import Look
from batchops.models import Batch, BatchCount, PastedIds
from batchops.models.batch import counted
from batchops.services.changes import pasted_ids
from batchops.services.errors import InvalidInput
from batchops.services.stats import batch_pages
from batchops.services.stats.batch_pages import Matching

SHARED = Look("warning", "bad")


class BatchPaginator(Paginator[Batch]):
    """Pages of batches of which it is known how many match, and that are found by their ids."""

    def __init__(
        self, listed: QuerySet[Batch], per_page: int, matching: Matching, rows: QuerySet[Batch]
    ) -> None:
        super().__init__(listed, per_page)
        self.listed, self.matching, self.rows = listed, matching, rows

    @property
    def count(self) -> int:
        return self.matching.number

    def page(self, number: int | str) -> Page[Batch]:
        number = self.validate_number(number)
        start = (number - 1) * self.per_page
        keys = batch_pages.keys(self.listed, self.matching, start, start + self.per_page)
        found = self.rows.in_bulk(keys)
        return Page([found[key] for key in keys if key in found], number, self)


class BatchList(NulSafeChangeList):
    """A list whose links lead to every batch, also to one named by dots."""

    matching: Matching

    def get_results(self, request: HttpRequest) -> None:
        """The page that is asked for; beyond the last, as when batches have gone, the last."""
        counts = None if self.query else BatchCount.objects.all()
        for one in self.filter_specs:
            counts = cast(BatchFilter, one).count(counts) if counts is not None else None
        self.matching = batch_pages.count(self.queryset, counts)
        rows = self.apply_select_related(self.root_queryset)
        self.paginator = BatchPaginator(self.queryset, self.list_per_page, self.matching, rows)
        self.page_num = min(self.page_num, self.paginator.num_pages)
        self.result_list = self.paginator.page(self.page_num).object_list
        self.result_count = self.matching.number
        self.multi_page = self.result_count > self.list_per_page
        self.show_full_result_count = self.can_show_all = False
        self.show_admin_actions = True
        self.full_result_count = None

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Batch]) -> list[Any]:
        """The order that is asked for, whole, as an index has it where it is by one column."""
        asked = super().get_ordering(request, queryset)
        is_by_one = len(self.get_ordering_field_columns()) <= 1
        return [*batch_pages.order(str(asked[0]))] if is_by_one else asked

    @property
    def count_words(self) -> str:
        """How many batches match, in words."""
        words = counted(self.matching.number)
        return words if self.matching.is_exact else f"more than {words}"

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
