"""What of one's notices comes by mail, too."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from batchops import audit
from batchops.admin.ui import times
from batchops.admin.ui.base import add_service_error, current_user
from batchops.notices.channels import own_mail
from batchops.notices.models import Severity
from batchops.services.errors import ChangeError

if TYPE_CHECKING:
    from django.contrib.admin import AdminSite


def _level(text: str) -> int | None:
    return int(text) if text else None


class OwnMailForm(forms.Form):
    """From how much it matters, and when not."""

    least_severity = forms.TypedChoiceField(
        label="Mail me",
        choices=[
            ("", "nothing"),
            (Severity.URGENT, "only what is urgent"),
            (Severity.WARNING, "warnings and what is urgent"),
            (Severity.INFO, "everything that concerns me"),
        ],
        coerce=_level,
        empty_value=None,
        required=False,
    )
    quiet_from = forms.TimeField(
        label="Quiet from",
        required=False,
        widget=forms.TimeInput(attrs={"type": "time"}, format="%H:%M"),
    )
    quiet_until = forms.TimeField(
        label="Quiet until",
        required=False,
        widget=forms.TimeInput(attrs={"type": "time"}, format="%H:%M"),
    )


def page_on(site: AdminSite) -> Callable[[HttpRequest], HttpResponse]:
    """The page, as a part of a site."""

    def page(request: HttpRequest) -> HttpResponse:
        user, zone = current_user(request), times.reader_zone().key
        kept = own_mail.of(user)
        form = OwnMailForm(request.POST or None, initial=_initial(kept))
        if request.method == "POST" and form.is_valid():
            wanted = own_mail.Wanted(**form.cleaned_data, zone=zone)
            try:
                own_mail.save(user, wanted, actor=audit.Actor.of_request(request))
            except ChangeError as error:
                add_service_error(form, error)
            else:
                messages.success(request, "Saved.")
                return redirect("admin:notices_mail")
        context = {"title": "Mail to me", "form": form, "channel": kept, "zone": zone}
        context |= {"address": user.email, **site.each_context(request)}
        return TemplateResponse(request, "batchops/notices/own_mail.html", context)

    return page


def _initial(kept: Any) -> dict[str, Any]:
    if kept is None:
        return {}
    return {
        "least_severity": kept.least_severity if kept.is_active else "",
        "quiet_from": kept.quiet_from,
        "quiet_until": kept.quiet_until,
    }
