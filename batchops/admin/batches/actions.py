"""What can be done to the batches that are selected, or to all that match."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from batchops import audit, permissions
from batchops.admin.batches.filters import BatchFilter
from batchops.admin.batches.forms import PatchForm, SetExpiryForm, SetRateForm
from batchops.admin.syncs import request_sync
from batchops.admin.ui.addresses import batch_id_in_form, form_value, to_preview
from batchops.admin.ui.base import add_service_error, current_user
from batchops.models import Batch, Change, SyncRun
from batchops.models.batch import counted
from batchops.services.changes import drafts, pasted_ids
from batchops.services.errors import ChangeError
from batchops.services.mirror import refresh, sync
from batchops.syllable.patch import CLEAR, BatchPatch

if TYPE_CHECKING:
    _Base = admin.ModelAdmin[Batch]
else:
    _Base = object

REFRESH_LIMIT: Final = 100
"""Most batches that are read one by one while a person waits."""


class BatchActions(_Base):
    """Each action freezes the selection into a draft and leads to its review."""

    actions = (
        "pause",
        "resume",
        "set_expiry",
        "expire_now",
        "clear_expiry",
        "set_call_rate",
        "clear_call_rate",
        "auto_call_rate_on",
        "auto_call_rate_off",
        "refresh",
    )

    def has_request_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(permissions.REQUEST_CHANGE)

    def has_expand_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(permissions.EXPAND_OUTREACH)

    def has_sync_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(permissions.RUN_SYNC)

    def action_checkbox(self, obj: Batch) -> SafeString:
        """The box by which a batch is chosen; it sends the id exactly."""
        # Not by a widget of a form: each would be a template of its own, 50 times a page.
        return format_html(
            '<input type="checkbox" name="{}" value="{}" class="action-select" '
            'aria-label="Select {}">',
            ACTION_CHECKBOX_NAME,
            form_value(obj.pk),
            obj.batch_id,
        )

    def response_action(
        self, request: HttpRequest, queryset: QuerySet[Batch], *more: Any
    ) -> HttpResponse | None:
        """Act on exactly the batches that were ticked, or on all that match.

        A batch that was ticked is chosen although it meanwhile matches the filter no more.
        """
        if request.POST.get("select_across", "") not in ("", "0", "1"):
            messages.error(request, "The selection cannot be read, so nothing was done.")
            return None
        ticked = [batch_id_in_form(one) for one in request.POST.getlist(ACTION_CHECKBOX_NAME)]
        if not _is_across(request):
            unknown = sorted(set(ticked) - pasted_ids.known_among(ticked))
            if unknown:
                messages.error(request, _unknown_words(unknown))
                return None
            queryset = self.get_queryset(request)
        posted = request.POST.copy()
        posted.setlist(ACTION_CHECKBOX_NAME, ticked)
        request.POST = posted  # type: ignore[assignment]
        return super().response_action(request, queryset, *more)

    @admin.action(description="Pause", permissions=["request"])
    def pause(self, request: HttpRequest, batches: QuerySet[Batch]) -> HttpResponse | None:
        return self._draft(request, batches, BatchPatch(paused=True))

    @admin.action(description="Resume", permissions=["expand"])
    def resume(self, request: HttpRequest, batches: QuerySet[Batch]) -> HttpResponse | None:
        return self._draft(request, batches, BatchPatch(paused=False))

    @admin.action(description="Set expiry…", permissions=["request"])
    def set_expiry(self, request: HttpRequest, batches: QuerySet[Batch]) -> HttpResponse:
        return self._ask(request, batches, "set_expiry", SetExpiryForm)

    @admin.action(description="Expire now", permissions=["request"])
    def expire_now(self, request: HttpRequest, batches: QuerySet[Batch]) -> HttpResponse | None:
        patch = BatchPatch(expires_on=timezone.now().replace(microsecond=0))
        return self._draft(request, batches, patch, expire_now=True)

    @admin.action(description="Clear expiry", permissions=["expand"])
    def clear_expiry(self, request: HttpRequest, batches: QuerySet[Batch]) -> HttpResponse | None:
        return self._draft(request, batches, BatchPatch(expires_on=CLEAR))

    @admin.action(description="Set call rate…", permissions=["request"])
    def set_call_rate(self, request: HttpRequest, batches: QuerySet[Batch]) -> HttpResponse:
        return self._ask(request, batches, "set_call_rate", SetRateForm)

    @admin.action(description="Clear call rate", permissions=["expand"])
    def clear_call_rate(
        self, request: HttpRequest, batches: QuerySet[Batch]
    ) -> HttpResponse | None:
        return self._draft(request, batches, BatchPatch(call_rate=CLEAR))

    @admin.action(description="Automatic call rate on", permissions=["expand"])
    def auto_call_rate_on(
        self, request: HttpRequest, batches: QuerySet[Batch]
    ) -> HttpResponse | None:
        return self._draft(request, batches, BatchPatch(auto_call_rate=True))

    @admin.action(description="Automatic call rate off", permissions=["expand"])
    def auto_call_rate_off(
        self, request: HttpRequest, batches: QuerySet[Batch]
    ) -> HttpResponse | None:
        return self._draft(request, batches, BatchPatch(auto_call_rate=False))

    @admin.action(description="Refresh from the vendor", permissions=["sync"])
    def refresh(self, request: HttpRequest, batches: QuerySet[Batch]) -> None:
        """Read a few batches at once; for more, ask for a full sync."""
        names = list(batches.values_list("pk", flat=True)[: REFRESH_LIMIT + 1])
        if len(names) > REFRESH_LIMIT:
            request_sync(request, SyncRun.Kind.FULL)
            return
        sync.record_request(audit.Actor.of_request(request), "refresh", batches=len(names))
        done = refresh.refresh(names)
        if done.read == done.requested:
            messages.success(request, f"{counted(done.read)} refreshed from the vendor.")
        elif done.read:
            messages.warning(request, f"{_refreshed_words(done)} {_rest_words(done)}")
        else:
            messages.error(request, f"Not refreshed: {_rest_words(done)}")

    def _ask(
        self,
        request: HttpRequest,
        batches: QuerySet[Batch],
        action: str,
        form_type: type[PatchForm],
    ) -> HttpResponse:
        """Ask for the value; the page sends the same selection again, together with it."""
        given = "apply" in request.POST
        form = form_type(request.POST if given else None)
        patch = form.patch() if given else None
        if patch is not None:
            try:
                change = self.freeze(request, batches, patch, expire_now=form.expire_now)
            except ChangeError as error:
                add_service_error(form, error)
            else:
                return to_preview(change, form.zone)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"{form_type.title}: {counted(batches.count())}",
            "form": form,
            "action": action,
            "selected": [form_value(one) for one in request.POST.getlist(ACTION_CHECKBOX_NAME)],
            "across": request.POST.get("select_across", "0"),
            "selection": self.selection_words(request),
        }
        return TemplateResponse(request, "batchops/batches/action_value.html", context)

    def _draft(
        self,
        request: HttpRequest,
        batches: QuerySet[Batch],
        patch: BatchPatch,
        *,
        expire_now: bool = False,
    ) -> HttpResponse | None:
        try:
            return to_preview(self.freeze(request, batches, patch, expire_now=expire_now))
        except ChangeError as error:
            messages.error(request, error.message)
            return None

    def freeze(
        self, request: HttpRequest, batches: QuerySet[Batch], patch: BatchPatch, **more: Any
    ) -> Change:
        """A draft over a selection. Raises ChangeError."""
        return drafts.draft(
            batches,
            patch,
            user=current_user(request),
            actor=audit.Actor.of_request(request),
            source=Change.Source.ACTION,
            selection=self.selection_words(request),
            **more,
        )

    def selection_words(self, request: HttpRequest) -> str:
        """How the batches were chosen, in words."""
        if not _is_across(request):
            return "Selected one by one in the batch list"
        return f"All that match ({self.filter_words(request)})"

    def filter_words(self, request: HttpRequest) -> str:
        """What the address of the list narrows it to, in words."""
        changelist = self.get_changelist_instance(request)
        parts = [
            f"{spec.title}: {spec.chosen}"
            for spec in changelist.filter_specs
            if isinstance(spec, BatchFilter) and spec.chosen
        ]
        if changelist.query:
            parts.append(f"search: {changelist.query}")
        return "; ".join(parts)


def _is_across(request: HttpRequest) -> bool:
    """Whether all that match are meant, and not only those that were ticked."""
    return request.POST.get("select_across") == "1"


def _refreshed_words(done: refresh.Refreshed) -> str:
    return f"{done.read:,} of {counted(done.requested)} refreshed; the others are shown as before."


def _rest_words(done: refresh.Refreshed) -> str:
    """Why not all were read."""
    words = done.errors[-1].message if done.errors else ""
    if done.is_late:
        late = f"The vendor did not answer for all within {refresh.DEADLINE_SECONDS:g} seconds."
        words = f"{late} {words} Try again for the rest.".replace("  ", " ")
    return words


def _unknown_words(unknown: list[str]) -> str:
    named = ", ".join(repr(name[:60]) for name in unknown[:5])
    return f"The mirror has no batch {named}, so nothing was done. Reload the page and try again."
