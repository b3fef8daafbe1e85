"""The pages of the trail: entries, one entry, a person, the report."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Collection
from typing import Any, Final

from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.utils import timezone

from batchops import audit, permissions
from batchops.admin.site import site
from batchops.admin.trail import report_chart
from batchops.admin.trail.forms import ExportForm, ReportForm, ReviewForm, TrailFilterForm
from batchops.admin.ui.parameters import takes
from batchops.admin.ui.times import reader_zone
from batchops.models import Action, AuditEntry, AuditHead
from batchops.services.proof import watch
from batchops.services.trail import reports, search, sentences, sign_offs
from batchops.services.trail.search import EntryPage

REPORT_DAYS: Final = 30
"""Days of a report when none are chosen."""


NAME_LIMIT: Final = 255
"""Characters of a name in the trail."""


def require(request: HttpRequest, *names: str) -> None:
    """Raise PermissionDenied, which is recorded, unless the person has all these permissions."""
    if not request.user.has_perms((permissions.VIEW_TRAIL, *names)):
        raise PermissionDenied


def show(
    request: HttpRequest, template: str, section: str, title: str, **context: Any
) -> HttpResponse:
    """Render a page of the trail in the frame of the site."""
    return render(
        request,
        f"batchops/trail/{template}.html",
        {
            **site.each_context(request),
            "section": section,
            "title": title,
            "zone": reader_zone().key,
            **context,
        },
    )


def trail(request: HttpRequest) -> HttpResponse:
    """The entries that match the filter in the address, newest first."""
    require(request)
    return trail_page(request)


def trail_page(
    request: HttpRequest,
    review: ReviewForm | None = None,
    export: ExportForm | None = None,
    chosen: Collection[int] = (),
) -> HttpResponse:
    """The list, with a review or an export that could not be done as it was asked for."""
    form = TrailFilterForm(request.GET)
    page = page_of(form) if form.is_valid() else None
    return show(
        request,
        "list",
        "trail",
        "Audit trail",
        standing=watch.standing(),
        filter=form,
        query=form.query,
        page=page,
        reviewed=reviewed_on(page),
        people=search.people(),
        review=review or ReviewForm(),
        export=export or ExportForm(),
        chosen=chosen,
    )


def reviewed_on(page: EntryPage | None) -> set[int]:
    """Those entries of a page that are reviewed."""
    return sign_offs.reviewed_among(entry.pk for entry in page.entries) if page else set()


def page_of(form: TrailFilterForm) -> EntryPage:
    """The page that a valid filter form asks for."""
    return search.page(
        form.trail_filter,
        before=form.cleaned_data["before"],
        after=form.cleaned_data["after"],
    )


def entry(request: HttpRequest, sequence: str) -> HttpResponse:
    """One entry: all that it holds, and its place in the chain."""
    require(request)
    found = find(sequence)
    return show(
        request,
        "entry",
        "entry",
        f"Entry {found.sequence}",
        entry=found,
        label=Action.label_of(found.action),
        utc=f"{found.at.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S.%f}",
        stored=_stored(found),
        **_place(found),
    )


@takes("name", "before", "after")
def person(request: HttpRequest) -> HttpResponse:
    """What one person did, by the name the trail keeps: also when the account is gone."""
    require(request)
    name = request.GET.get("name", "")
    if not name or len(name) > NAME_LIMIT or "\0" in name:
        raise Http404("A person is named by ?name=…")
    form = TrailFilterForm(_paging(request.GET))
    page = page_of(form) if form.is_valid() else None
    first, latest = search.first_and_latest(name)
    address = QueryDict(mutable=True)
    address["name"] = name
    account = get_user_model().objects.filter(username=name).first()
    return show(
        request,
        "person",
        "person",
        sentences.shown(name),
        name=name,
        account=account,
        groups=account.groups.order_by("name") if account else [],
        first=first,
        latest=latest,
        page=page,
        query=address.urlencode(),
    )


@takes("since", "until", "zone")
def report(request: HttpRequest) -> HttpResponse:
    """What was done in some days, by person, campaign and day; made to be printed."""
    require(request)
    days = request.GET or _latest_days()
    form = ReportForm(days)
    context: dict[str, Any] = {"span": form}
    if form.is_valid():
        assert form.start and form.end  # noqa: S101 - both are required
        zone = form.cleaned_data["zone"]
        timezone.activate(zone)
        made = reports.report(form.start, form.end, zone)
        context |= {
            "report": made,
            "chart": report_chart.chart(made.days),
            "busy_days": [day for day in made.days if day.tally.entries],
            "query": days.urlencode(),
            "zone": zone.key,
            "now": timezone.now(),
        }
    return show(request, "report", "report", "Report on the trail", **context)


def find(sequence: str) -> AuditEntry:
    """The entry of a sequence as it stands in an address. Raises Http404."""
    is_number = sequence.isascii() and sequence.isdigit() and len(sequence) < len(str(2**63))
    found = AuditEntry.objects.filter(sequence=int(sequence)).first() if is_number else None
    if found is None:
        raise Http404("The trail has no such entry. It may have been archived.")
    return found


def _paging(query: QueryDict) -> QueryDict:
    """The filter and the page of a person's page: the name, and where to go on."""
    kept = QueryDict(mutable=True)
    kept["person"] = query.get("name", "")
    for name in ("before", "after"):
        if name in query:
            kept[name] = query.get(name, "")
    return kept


def _latest_days() -> QueryDict:
    today = timezone.localdate()
    days = QueryDict(mutable=True)
    days["since"] = (today - dt.timedelta(days=REPORT_DAYS - 1)).isoformat()
    days["until"] = today.isoformat()
    days["zone"] = reader_zone().key
    return days


def _stored(found: AuditEntry) -> list[tuple[str, str]]:
    """The structured values of an entry, and the bytes its hash is made of."""
    values = [
        (name, json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True))
        for name, value in (
            ("Before", found.before),
            ("After", found.after),
            ("Detail", found.detail),
        )
        if value
    ]
    return [*values, ("Canonical form, which is hashed", audit.canonical(found).decode())]


def _place(found: AuditEntry) -> dict[str, Any]:
    """An entry's neighbours, its checks, and who has examined or signed the trail since."""
    others = AuditEntry.objects.order_by("sequence")
    before = others.filter(sequence__lt=found.sequence).last()
    after = others.filter(sequence__gt=found.sequence).first()
    return {
        "previous": before.sequence if before else None,
        "next": after.sequence if after else None,
        "checks": _checks(found, before, after),
        "head": AuditHead.objects.filter(pk=1).first(),
        "verified": others.filter(action=Action.AUDIT_VERIFIED).last(),
        "anchored": others.filter(
            action=Action.AUDIT_ANCHORED, sequence__gt=found.sequence
        ).first(),
        "review": sign_offs.review_of(found.sequence),
    }


def _checks(
    found: AuditEntry, before: AuditEntry | None, after: AuditEntry | None
) -> list[tuple[bool, str]]:
    """What a look at one entry and its neighbours can say; the whole chain is verify_audit's."""
    own = audit.chain_hash(found.previous_hash, audit.canonical(found)) == found.hash
    altered = "Its hash does not match its content: it was altered."
    checks = [(own, "Its hash matches its content." if own else altered)]
    if before is not None:
        follows = before.hash == found.previous_hash
        checks.append(
            (follows, f"It {'follows' if follows else 'is not led to by'} the entry before.")
        )
    if after is not None:
        leads = after.previous_hash == found.hash
        checks.append((leads, f"The entry after {'builds' if leads else 'does not build'} on it."))
    return checks
