"""Batches: the list with its filters and actions, and pasted lists of ids."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, cast

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.templatetags.admin_list import result_headers
from django.contrib.admin.views.main import PAGE_VAR, SEARCH_VAR, ChangeList
from django.core.exceptions import PermissionDenied
from django.core.paginator import Page, Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from batchops import permissions
from batchops.admin.batches.batch_page import BatchPage
from batchops.admin.batches.filters import SELECTS, BatchFilter, PastedFilter, ShowFilter
from batchops.admin.batches.forms import PasteForm
from batchops.admin.batches.periods import PERIODS
from batchops.admin.batches.saved_views import BatchViews
from batchops.admin.ui import columns, pills, times
from batchops.admin.ui.addresses import batch_id_in_form, batch_key
from batchops.admin.ui.base import NulSafeChangeList, ReadOnlyAdmin, add_service_error, current_user
from batchops.models import Batch, BatchCount, BatchQuerySet, PastedIds
from batchops.models.batch import counted
from batchops.saved_views import list_settings, views
from batchops.services.changes import pasted_ids
from batchops.services.errors import InvalidInput
from batchops.services.holds import standing
from batchops.services.stats import batch_pages, batch_search
from batchops.services.stats.batch_pages import Matching
from batchops.services.stats.batch_search import Search
from batchops.services.table_files.batch_list import BatchFileFormat

DEFAULT_COLUMNS: Final = frozenset(("identity", "campaign", "state", "expiry", "rate", "updated"))
"""Columns of whoever chose none."""
ID_ON_ONE_LINE: Final = 28
"""Characters of an id that is broken between its words alone."""
ALWAYS: Final = frozenset(("action_checkbox", "identity"))


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
    """A list whose links lead to every batch, also to one named by dots.

    All columns are there in one order, whoever looks, so that an address which sorts by the fifth
    means the same to everybody; those that a person did not choose are not drawn.
    """

    matching: Matching
    searched: Search

    def get_results(self, request: HttpRequest) -> None:
        """The page that is asked for; beyond the last, as when batches have gone, the last."""
        self.count_matching(request)
        look = list_settings.of(current_user(request))
        self.chosen_columns = DEFAULT_COLUMNS if look.columns is None else look.columns
        self.list_per_page = look.page_size
        self.may_act = bool(self.model_admin.get_actions(request))
        rows = self.apply_select_related(self.root_queryset)
        self.paginator = BatchPaginator(self.queryset, self.list_per_page, self.matching, rows)
        self.page_num = min(self.page_num, self.paginator.num_pages)
        self.result_list = self.paginator.page(self.page_num).object_list
        standing.prefetch(self.result_list)
        self.result_count = self.matching.number
        self.multi_page = self.result_count > self.list_per_page
        self.show_full_result_count = self.can_show_all = False
        self.show_admin_actions = True
        self.full_result_count = None

    def count_matching(self, request: HttpRequest) -> None:
        """Find out how many batches match."""
        self.searched = _search(request, self.query)
        counts = self.searched.count(BatchCount.objects.all())
        for one in self.filter_specs:
            counts = cast(BatchFilter, one).count(counts) if counts is not None else None
        self.matching = batch_pages.count(self.queryset, counts)

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Batch]) -> list[Any]:
        """The order that is asked for, whole, as an index has it where it is by one column."""
        asked = super().get_ordering(request, queryset)
        is_by_one = len(self.get_ordering_field_columns()) <= 1
        return [*batch_pages.order(str(asked[0]))] if is_by_one else asked

    @property
    def search_words(self) -> str:
        """What was not looked for everywhere, in words."""
        if not self.searched.has_short_words:
            return ""
        return "Words of one or two characters are looked for only where an id begins."

    @property
    def count_words(self) -> str:
        """How many batches match, in words."""
        words = counted(self.matching.number)
        return words if self.matching.is_exact else f"more than {words}"

    def url_for_result(self, result: Model) -> str:
        return reverse("admin:batchops_batch_change", args=[batch_key(result.pk)])

    @property
    def headings(self) -> list[dict[str, Any]]:
        """The headings of the columns that are drawn."""
        named = zip(self.list_display, result_headers(self), strict=True)
        return [{**heading, "name": name} for name, heading in named if self._is_drawn(str(name))]

    @property
    def rows(self) -> Iterator[tuple[Batch, str, list[tuple[str, SafeString]]]]:
        """Each batch with its address and its cells."""
        names = [str(name) for name in self.list_display if self._is_drawn(str(name))]
        for batch in self.result_list:
            cells = [(name, getattr(self.model_admin, name)(batch)) for name in names]
            yield batch, self.url_for_result(batch), cells

    @property
    def column_choices(self) -> list[tuple[str, str, bool]]:
        """The columns that a person may choose: name, heading, whether it is drawn."""
        return [
            (name, str(getattr(self.model_admin, name).short_description), self._is_drawn(name))
            for name in map(str, self.list_display)
            if name not in ALWAYS
        ]

    @property
    def filters_in_force(self) -> list[dict[str, str]]:
        """What narrows the list, in words, each with the address of the list without it."""
        found = [
            {
                "words": f"{spec.title}: {spec.chosen}",
                "without": self.get_query_string(remove=[*spec.parameters, PAGE_VAR]),
            }
            for spec in self.filter_specs
            if isinstance(spec, BatchFilter) and spec.is_in_force and not spec.is_shown_apart
        ]
        if self.query:
            without = self.get_query_string(remove=[SEARCH_VAR, PAGE_VAR])
            found.append({"words": f"search: {self.query}", "without": without})
        return found

    def _is_drawn(self, name: str) -> bool:
        if name == "action_checkbox":
            return self.may_act
        return name in ALWAYS or name in self.chosen_columns


class BatchNumber(BatchList):
    """A list of which nothing but the number of its batches is asked for."""

    def get_results(self, request: HttpRequest) -> None:
        self.count_matching(request)


@admin.register(Batch)
class BatchAdmin(BatchViews, BatchPage, ReadOnlyAdmin[Batch]):
    """The mirror of the vendor's batches."""

    change_list_template = "batchops/batches/list.html"
    list_display = (
        "identity",
        "campaign",
        "mode",
        "state",
        "status",
        "expiry",
        "rate",
        "updated",
        "updated_by",
        "created",
        "upload",
    )
    list_display_links = ("identity",)
    list_filter = (ShowFilter, *SELECTS, *PERIODS, PastedFilter)
    list_select_related = ("campaign",)
    search_fields = ("batch_id", "campaign__campaign_name")

    def get_list_display(self, request: HttpRequest) -> Sequence[Any]:  # type: ignore[override]
        """All columns; the boxes count as the first also where there is nothing to be done."""
        every: list[Any] = list(super().get_list_display(request))
        return every if self.get_actions(request) else ["action_checkbox", *every]

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            *self.urls_of_views(),
            path("paste/", view(self.paste), name="batchops_batch_paste"),
            path("export/", view(self.export), name="batchops_batch_export"),
            path("look/", view(require_POST(keep_look)), name="batchops_batch_look"),
            path("<path:object_id>/pause/", view(self.pause_now), name="batchops_batch_pause"),
            path("<path:object_id>/counts/", view(self.counts), name="batchops_batch_counts"),
            *super().get_urls(),
        ]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return BatchNumber if getattr(request, "counts_alone", False) else BatchList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Batch], search_term: str
    ) -> tuple[QuerySet[Batch], bool]:
        batches = cast(BatchQuerySet, queryset)
        return _search(request, search_term).narrow(batches), False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        user = current_user(request)
        opens_with = views.default_of(user) if self.has_view_permission(request) else None
        if (
            opens_with
            and opens_with.query
            and not request.META["QUERY_STRING"]
            and request.method == "GET"
        ):
            address = reverse("admin:batchops_batch_changelist")
            return HttpResponseRedirect(f"{address}?{opens_with.query}")
        pasted = request.GET.get(PastedFilter.parameter_name, "")
        extra = {
            "pasted": pasted_ids.kept(pasted, current_user(request)) if pasted else None,
            "pasted_is_gone": bool(pasted),
            "kept_lists": pasted_ids.KEPT_LISTS,
            "kept_days": settings.KEEP_PASTED_IDS_DAYS,
            "file_formats": BatchFileFormat.choices,
            "views": views.seen_by(user),
            "opens_with": opens_with,
            "page_sizes": list_settings.PAGE_SIZES,
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
        long = " is-long" if len(batch.batch_id) > ID_ON_ONE_LINE else ""
        return format_html('<bdi class="batch-id{}">{}</bdi>', long, batch.batch_id)

    @admin.display(description="campaign", ordering="campaign__campaign_name")
    def campaign(self, batch: Batch) -> SafeString:
        return format_html('<bdi title="{0}">{0}</bdi>', str(batch.campaign))

    @admin.display(description="mode")
    def mode(self, batch: Batch) -> SafeString:
        return format_html("<bdi>{}</bdi>", batch.campaign.mode or times.NOTHING)

    @admin.display(description="state", ordering="paused")
    def state(self, batch: Batch) -> SafeString:
        return columns.state(batch)

    @admin.display(description="status at the vendor", ordering="status")
    def status(self, batch: Batch) -> SafeString:
        return pills.batch_status(batch)

    @admin.display(description="expires", ordering="expires_on")
    def expiry(self, batch: Batch) -> SafeString:
        return columns.expiry_line(batch)

    @admin.display(description="an hour", ordering="call_rate")
    def rate(self, batch: Batch) -> SafeString:
        return columns.rate_line(batch)

    @admin.display(description="last changed", ordering="last_updated_at")
    def updated(self, batch: Batch) -> SafeString | str:
        return times.moment(batch.last_updated_at)

    @admin.display(description="last changed by")
    def updated_by(self, batch: Batch) -> SafeString:
        return format_html('<bdi title="{0}">{0}</bdi>', batch.last_updated_by or times.NOTHING)

    @admin.display(description="created", ordering="created_at")
    def created(self, batch: Batch) -> SafeString | str:
        return times.moment(batch.created_at)

    @admin.display(description="file")
    def upload(self, batch: Batch) -> SafeString:
        return format_html('<bdi title="{0}">{0}</bdi>', batch.upload_filename or times.NOTHING)


def keep_look(request: HttpRequest) -> HttpResponseRedirect:
    """Keep the columns and the rows a page that a person chose, and show the list with them."""
    user = current_user(request)
    if not request.user.has_perm(permissions.VIEW_BATCHES):
        raise PermissionDenied
    size = request.POST.get("page_size", "")
    if "reset" in request.POST:
        list_settings.forget(user)
    elif size in map(str, list_settings.PAGE_SIZES):
        known = set(BatchAdmin.list_display)
        list_settings.keep(user, known & set(request.POST.getlist("column")), int(size))
    else:
        messages.error(request, "Choose one of the numbers of rows, so that it can be kept.")
    address, query = reverse("admin:batchops_batch_changelist"), request.POST.get("query", "")
    return HttpResponseRedirect(f"{address}?{query}" if query else address)


def _search(request: HttpRequest, text: str) -> Search:
    """What is searched for, looked up once for a request."""
    kept: dict[str, Search] = request.__dict__.setdefault("_batch_searches", {})
    if text not in kept:
        kept[text] = batch_search.search(text)
    return kept[text]


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
