"""Campaigns: the list, and the page of one with its batches by status."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet, Sum
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from batchops import audit, permissions, wall_times
from batchops.admin.batches.filters import NOT_STATED
from batchops.admin.ui import bars, pills, times
from batchops.admin.ui.base import ReadOnlyAdmin, current_user
from batchops.admin.ui.parameters import require_choice
from batchops.models import (
    ENDED_STATUSES,
    OPEN_STATES,
    AuditEntry,
    BatchCount,
    Campaign,
    Change,
)
from batchops.services.errors import ChangeError, NotAllowed
from batchops.services.mirror.campaign_calendar import exceptions_in_words
from batchops.services.mirror.time_zones import set_time_zone
from batchops.services.stats import overview

PRESENT = Q(counts__is_deleted=False, counts__is_missing=False)
LIVE = PRESENT & ~Q(counts__status__in=ENDED_STATUSES)
ENTRIES_SHOWN: Final = 20


class CampaignModeFilter(admin.SimpleListFilter):
    """How a campaign reaches people; the vendor may leave it open."""

    title = "mode"
    parameter_name = "mode"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        modes = Campaign.objects.order_by("mode").values_list("mode", flat=True).distinct()
        return [(mode or NOT_STATED, mode or "Not stated") for mode in modes]

    def has_output(self) -> bool:
        # Django passes over what is asked of a filter that offers nothing.
        return True

    def queryset(self, request: HttpRequest, queryset: QuerySet[Campaign]) -> QuerySet[Campaign]:
        mode = self.value()
        require_choice(self.parameter_name, mode, dict(self.lookup_choices))
        if not mode:
            return queryset
        return queryset.filter(mode="" if mode == NOT_STATED else mode)


@admin.display(description="pause")
def pause_all(campaign: Any) -> SafeString:
    """The button that leads to a pause of all that is live in a campaign, with their number."""
    if not campaign.on_batches:
        return format_html("{}", times.NOTHING)
    return format_html(
        '<button type="submit" class="plain-button row-button" formaction="{}" '
        'name="campaign" value="{}">{}Pause {}…'
        '<span class="visually-hidden"> live in {}</span></button>',
        reverse("admin:batchops_change_emergency"),
        campaign.pk,
        pills.icon("pause"),
        f"{campaign.on_batches:,}",
        str(campaign),
    )


@admin.register(Campaign)
class CampaignAdmin(ReadOnlyAdmin[Campaign]):
    """The mirror of the vendor's campaigns."""

    change_list_template = "batchops/batches/campaign_list.html"
    list_display = ("named", "id", "mode", "labelled", "rate", "present", "on", "paused")
    list_display_links = ("named",)
    list_filter = (CampaignModeFilter,)
    search_fields = ("campaign_name", "id")
    ordering = ("campaign_name", "id")

    def get_list_display(self, request: HttpRequest) -> Sequence[Any]:  # type: ignore[override]
        """The columns; with a pause in each row for those who may."""
        may_pause = request.user.has_perm(permissions.REQUEST_CHANGE)
        return (*self.list_display, pause_all) if may_pause else self.list_display

    def get_queryset(self, request: HttpRequest) -> QuerySet[Campaign]:
        return (
            super()
            .get_queryset(request)
            .annotate(
                present_batches=_number(PRESENT),
                on_batches=_number(LIVE & (Q(counts__paused=False) | Q(counts__paused=None))),
                paused_batches=_number(LIVE & Q(counts__paused=True)),
            )
        )

    def get_urls(self) -> list[URLPattern]:
        zone = self.admin_site.admin_view(require_POST(self.set_time_zone))
        name = "batchops_campaign_time_zone"
        return [path("<path:object_id>/time-zone/", zone, name=name), *super().get_urls()]

    def set_time_zone(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Set the zone in which a campaign's times are meant."""
        campaign = self._campaign(request, object_id)
        zone = request.POST.get("time_zone", "")
        actor = audit.Actor.of_request(request)
        try:
            set_time_zone(campaign.pk, zone, user=current_user(request), actor=actor)
        except NotAllowed as error:
            raise PermissionDenied(error.message) from error
        except ChangeError as error:
            messages.error(request, error.message)
        else:
            messages.success(request, f"The time zone is {zone or 'unknown'}.")
        return redirect("admin:batchops_campaign_change", campaign.pk)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        campaign = self._campaign(request, object_id)
        numbers = overview.by_status(campaign)
        total = sum(numbers.values())
        counts = BatchCount.objects.filter(campaign=campaign)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": str(campaign),
            "campaign": campaign,
            "numbers": numbers,
            "parts": bars.parts(numbers, total, bars.BATCH_STYLES),
            "total": total,
            "on": counts.live_and_not_paused().total(),
            "paused": counts.paused().total(),
            "open_changes": _open_changes(campaign),
            **_calendar(request, campaign),
            "entries": _entries(request, campaign),
            **(extra_context or {}),
        }
        return TemplateResponse(request, "batchops/batches/campaign.html", context)

    def _campaign(self, request: HttpRequest, object_id: str) -> Campaign:
        """Raises PermissionDenied or Http404."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        key = unquote(object_id)
        if not re.fullmatch("-?[0-9]{1,19}", key):
            raise Http404("There is no such campaign.")
        try:
            return Campaign.objects.get(pk=int(key))
        except Campaign.DoesNotExist:
            raise Http404("There is no such campaign.") from None

    @admin.display(description="campaign", ordering="campaign_name")
    def named(self, campaign: Campaign) -> SafeString:
        return format_html("<bdi>{}</bdi>", str(campaign))

    @admin.display(description="labels")
    def labelled(self, campaign: Campaign) -> str:
        return ", ".join(str(label) for label in campaign.labels) or times.NOTHING

    @admin.display(description="an hour", ordering="hourly_rate")
    def rate(self, campaign: Campaign) -> str:
        return f"{campaign.hourly_rate:,}" if campaign.hourly_rate is not None else times.NOTHING

    @admin.display(description="batches", ordering="present_batches")
    def present(self, campaign: Any) -> str:
        return f"{campaign.present_batches:,}"

    @admin.display(description="live", ordering="on_batches")
    def on(self, campaign: Any) -> str:
        return f"{campaign.on_batches:,}"

    @admin.display(description="paused", ordering="paused_batches")
    def paused(self, campaign: Any) -> str:
        return f"{campaign.paused_batches:,}"


def _number(condition: Q) -> Sum:
    return Sum("counts__number", filter=condition, default=0)


def _calendar(request: HttpRequest, campaign: Campaign) -> dict[str, Any]:
    """When it calls, beside its hours; what is not known is said to be so."""
    told = {"max_daily_calls": "the daily maximum", "outreach_override_rules": "the exceptions"}
    unreadable = [told.get(str(name), str(name)) for name in campaign.unreadable_fields]
    unread, cannot = "Not read yet", "Cannot be read"
    not_read = campaign.outreach_override_rules is None
    no_exceptions = unread if not_read else "None"
    maximum = unread if not_read and not unreadable else "None"
    if campaign.max_daily_calls is not None:
        maximum = f"{campaign.max_daily_calls:,} first attempts"
    may_set = request.user.has_perm(permissions.SET_TIME_ZONE)
    return {
        "zones": sorted(wall_times.zone_names()) if may_set else (),
        "unreadable": unreadable,
        "daily_maximum": cannot if told["max_daily_calls"] in unreadable else maximum,
        "exceptions": exceptions_in_words(campaign),
        "no_exceptions": cannot if told["outreach_override_rules"] in unreadable else no_exceptions,
    }


def _entries(request: HttpRequest, campaign: Campaign) -> list[AuditEntry] | None:
    """What was done to its batches last, for those who may see that of each of them."""
    rights = (permissions.VIEW_HISTORY, permissions.VIEW_TRAIL)
    if not any(map(request.user.has_perm, rights)):
        return None
    found = AuditEntry.objects.filter(campaign_id=campaign.pk).exclude(batch_id="")
    return list(found.order_by("-sequence")[:ENTRIES_SHOWN])


def _open_changes(campaign: Campaign) -> list[Change]:
    concerned = Change.objects.filter(state__in=OPEN_STATES)
    return list(concerned.filter(items__batch__campaign=campaign).distinct()[:10])
