"""What reviewers do: mark as reviewed, draw samples, sign off, export."""

from __future__ import annotations

from typing import Final

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from batchops import permissions
from batchops.accounts import reauth
from batchops.admin.trail.forms import (
    ExportForm,
    ReviewForm,
    SampleForm,
    SignOffForm,
    TrailFilterForm,
)
from batchops.admin.trail.pages import find, require, show, trail_page
from batchops.admin.ui.base import add_service_error, current_user
from batchops.admin.ui.parameters import judges_itself
from batchops.audit import Actor
from batchops.models import Action, AuditEntry
from batchops.services import quotas
from batchops.services.errors import ChangeError
from batchops.services.quotas import QuotaReached
from batchops.services.trail import reports, search, sign_offs
from batchops.services.trail.sign_offs import Review
from batchops.services.trail.trail_filter import TrailFilter
from batchops.services.trail_files import exports

REVIEWING: Final = (Action.AUDIT_REVIEWED, Action.AUDIT_SIGNED_OFF, Action.AUDIT_SAMPLED)
LATEST: Final = 10


@require_GET
def desk(request: HttpRequest) -> HttpResponseBase:
    """What is not yet reviewed, and what reviewers do about it."""
    require(request, permissions.REVIEW_TRAIL)
    return _desk(request)


@judges_itself
@require_POST
def review(request: HttpRequest) -> HttpResponseBase:
    """Mark the chosen entries, or all that match the filter in the address, as reviewed."""
    require(request, permissions.REVIEW_TRAIL)
    form = ReviewForm(request.POST)
    ticked = request.POST.getlist("entry")
    chosen = [int(text) for text in ticked if _is_number(text)]
    if len(chosen) < len(ticked):
        form.add_error(None, "The selection cannot be read, so nothing was marked.")
    if form.is_valid():
        try:
            done = _mark(request, chosen, form.cleaned_data["comment"])
        except ChangeError as error:
            add_service_error(form, error)
        else:
            _say(request, done)
            return redirect(_back(request))
    drawn = request.POST.get("sample", "")
    if drawn:
        return _sample(request, find(drawn), form, chosen)
    return trail_page(request, review=form, chosen=chosen)


@require_POST
def draw(request: HttpRequest) -> HttpResponseBase:
    """Let chance pick entries, and lead to them."""
    require(request, permissions.REVIEW_TRAIL)
    form = SampleForm(request.POST)
    if form.is_valid():
        try:
            drawn = sign_offs.draw_sample(
                form.trail_filter,
                form.cleaned_data["size"],
                user=current_user(request),
                actor=Actor.of_request(request),
            )
        except ChangeError as error:
            add_service_error(form, error)
        else:
            return redirect("admin:batchops_auditentry_sample", drawn.entry.pk)
    return _desk(request, sample=form)


@require_GET
def sample(request: HttpRequest, sequence: int) -> HttpResponseBase:
    """The entries of a sample that was drawn."""
    require(request, permissions.REVIEW_TRAIL)
    return _sample(request, find(str(sequence)), ReviewForm())


@require_POST
def sign_off(request: HttpRequest) -> HttpResponseBase:
    """Sign off a period."""
    require(request, permissions.REVIEW_TRAIL)
    form = SignOffForm(request.POST)
    if form.is_valid():
        assert form.start and form.end  # noqa: S101 - both are required
        try:
            done = sign_offs.sign_off(
                form.start,
                form.end,
                user=current_user(request),
                actor=Actor.of_request(request),
                comment=form.cleaned_data["comment"],
            )
        except ChangeError as error:
            add_service_error(form, error)
        else:
            _say(request, done)
            return redirect("admin:batchops_auditentry_desk")
    return _desk(request, sign_off=form)


@judges_itself
@require_POST
def export(request: HttpRequest) -> HttpResponseBase:
    """Hand out the entries that match the filter in the address as a file."""
    require(request, permissions.EXPORT_TRAIL)
    form, chosen = ExportForm(request.POST), TrailFilterForm(request.GET)
    if not form.is_valid() or not chosen.is_valid():
        return trail_page(request, export=form)
    reauth.require(request)
    trail_filter = chosen.trail_filter
    try:
        places = quotas.begin_export(current_user(request))
    except QuotaReached as reached:
        add_service_error(form, reached)
        return trail_page(request, export=form)
    try:
        made = exports.export(
            search.entries(trail_filter),
            exports.ExportFormat(form.cleaned_data["kind"]),
            user=current_user(request),
            actor=Actor.of_request(request),
            description=trail_filter.describe(),
            byte_order_mark=form.cleaned_data["byte_order_mark"],
        )
    except ChangeError as error:
        places.give_back()
        add_service_error(form, error)
        return trail_page(request, export=form)
    except BaseException:
        places.give_back()
        raise
    return StreamingHttpResponse(
        quotas.Stream(made.chunks, places),
        content_type=made.content_type,
        headers={"Content-Disposition": f'attachment; filename="{made.filename}"'},
    )


def _desk(
    request: HttpRequest, sample: SampleForm | None = None, sign_off: SignOffForm | None = None
) -> HttpResponseBase:
    oldest = search.page(TrailFilter(not_reviewed=True), after=0, size=1).entries
    return show(
        request,
        "desk",
        "desk",
        "Review desk",
        open_count=reports.not_reviewed_count(),
        oldest=oldest[0] if oldest else None,
        sample=sample or SampleForm(auto_id="sample-%s"),
        sign_off=sign_off or SignOffForm(auto_id="sign-off-%s"),
        latest=_latest_reviews(),
    )


def _sample(
    request: HttpRequest, drawn: AuditEntry, form: ReviewForm, chosen: list[int] | None = None
) -> HttpResponseBase:
    sequences = drawn.detail.get("sequences") if drawn.action == Action.AUDIT_SAMPLED else None
    if not isinstance(sequences, list):
        raise Http404("This entry is not a sample.")
    return show(
        request,
        "sample",
        "sample",
        f"Random sample {drawn.pk}",
        drawn=drawn,
        entries=AuditEntry.objects.filter(pk__in=sequences),
        reviewed=sign_offs.reviewed_among(sequences),
        review=form,
        chosen=chosen or [],
    )


def _latest_reviews() -> list[AuditEntry]:
    found = [
        entry
        for action in REVIEWING
        for entry in search.page(TrailFilter(action=action), size=LATEST).entries
    ]
    return sorted(found, key=lambda entry: -entry.sequence)[:LATEST]


def _mark(request: HttpRequest, chosen: list[int], comment: str) -> Review:
    """Raises ChangeError when there is nothing to mark."""
    user, actor = current_user(request), Actor.of_request(request)
    if request.POST.get("scope") != "filter":
        return sign_offs.mark_entries(chosen, user=user, actor=actor, comment=comment)
    form = TrailFilterForm(request.GET)
    if not form.is_valid():
        raise ChangeError("The filter cannot be used, so nothing was marked.")
    return sign_offs.mark_filtered(form.trail_filter, user=user, actor=actor, comment=comment)


def _say(request: HttpRequest, done: Review) -> None:
    own = done.entry.detail.get("own", 0)
    marked = "1 entry is" if done.entries == 1 else f"{done.entries:,} entries are"
    words = f"{marked} marked as reviewed, {done.newly:,} for the first time."
    if own:
        words += f" {own:,} of them record what you did yourself: let somebody else look too."
    messages.success(request, words)


def _back(request: HttpRequest) -> str:
    drawn = request.POST.get("sample", "")
    if _is_number(drawn):
        return reverse("admin:batchops_auditentry_sample", args=[int(drawn)])
    address, query = reverse("admin:batchops_auditentry_changelist"), request.GET.urlencode()
    return f"{address}?{query}" if query else address


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19
