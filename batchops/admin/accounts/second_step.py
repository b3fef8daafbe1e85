"""The second step of the sign-in, and the gate for whoever needs a second factor and has none."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from django.contrib import messages
from django.contrib.admin import site
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from batchops.accounts import devices, sessions, sign_in
from batchops.accounts.factors import factors
from batchops.accounts.models import SecondFactor
from batchops.admin.ui.base import current_user

OPEN: Final = frozenset(
    (
        *("account", "end_sessions", "session", "stay", "second_factors", "add_app", "app_picture"),
        *("remove_factor", "recovery_codes", "logout", "password_change", "password_change_done"),
    )
)
"""Names of the pages that are open without a second factor, so that one can be added."""


def gate(request: HttpRequest) -> HttpResponse | None:
    """To the page that adds a second factor, for whoever needs one and has not shown it."""
    match = request.resolver_match
    if match is None or match.url_name in OPEN or sessions.has_factor(request):
        return None
    if not factors.is_required(current_user(request)):
        return None
    messages.warning(request, "Your role needs a second factor. Add one, then go on.")
    return redirect("admin:second_factors")


@sensitive_post_parameters("code")
@never_cache
def second_step(request: HttpRequest) -> HttpResponse:
    """Ask whoever gave the right password for a code."""
    user = sign_in.half_way(request)
    after = safe_next(request)
    if user is None:
        messages.warning(request, "That took too long. Start again with your password.")
        return redirect(f"{reverse('admin:login')}?{urlencode({'next': after})}")
    context: dict[str, Any] = {"title": "Second step", "next": after}
    if request.method == "POST":
        try:
            kind = sign_in.finish_with_code(request, user, request.POST.get("code", ""))
        except sign_in.NotSignedIn as error:
            context["error"] = str(error)
        else:
            return entered(request, kind, after)
    context |= site.each_context(request)
    status = HTTPStatus.OK
    return render(request, "batchops/accounts/second_step.html", context, status=status)


def entered(request: HttpRequest, kind: SecondFactor.Kind, after: str) -> HttpResponse:
    """On to where the person wanted, from a browser that is known from now on."""
    response = redirect(after)
    user = current_user(request)
    devices.remember(request, response, user.get_username())
    if kind == SecondFactor.Kind.RECOVERY:
        left = SecondFactor.objects.filter(user=user, kind=kind).count()
        words = f"You have used a recovery code; {left} are left. Look after your second factor."
        messages.warning(request, words)
    return response


def safe_next(request: HttpRequest) -> str:
    """Where the person wanted to go, as far as it is a page of ours."""
    after = request.POST.get("next") or request.GET.get("next") or ""
    ours = url_has_allowed_host_and_scheme(
        after, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return after if ours else reverse("admin:index")
