"""The way to the provider of single sign-on and back."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from django.conf import settings
from django.contrib.admin import site
from django.contrib.auth import login
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, path, reverse
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from batchops import audit
from batchops.accounts import devices, sessions, sign_in
from batchops.accounts.factors import factors
from batchops.accounts.sso import people, provider
from batchops.admin.accounts.second_step import safe_next
from batchops.audit import denials
from batchops.models import Action
from batchops.services import quotas

AFTER: Final = "after_single_sign_on"
BACKEND: Final = "django.contrib.auth.backends.ModelBackend"
BEGUN_MOST: Final = 60
"""Sign-ins that one address may begin within a minute; many people share one."""


def urls() -> list[URLPattern]:
    """The addresses of single sign-on, within the site."""
    return [
        path("login/sso/", begin, name="sso"),
        path("login/sso/back/", back, name="sso_back"),
    ]


@require_GET
@never_cache
def begin(request: HttpRequest) -> HttpResponse:
    """Send the person to the provider."""
    if not provider.is_set_up():
        raise Http404
    whose = devices.digest(audit.client_ip(request))
    if not quotas.take(f"sso:{whose}", BEGUN_MOST, quotas.MINUTE):
        return _failed(request, "Too many tries. Wait a minute.", HTTPStatus.TOO_MANY_REQUESTS)
    request.session[AFTER] = safe_next(request)
    back_to = request.build_absolute_uri(reverse("admin:sso_back"))
    try:
        return provider.begin(request, back_to, anew="anew" in request.GET)
    except provider.ProviderFailed as error:
        return _failed(request, str(error), HTTPStatus.BAD_GATEWAY)


@require_GET
@never_cache
def back(request: HttpRequest) -> HttpResponse:
    """Sign in whom the provider vouches for, as far as their groups give a role."""
    if not provider.is_set_up():
        raise Http404
    after = request.session.get(AFTER)
    if not after:
        # Nobody makes batchops ask the provider who has not begun here.
        return _failed(
            request, "This sign-in did not begin here. Start again.", HTTPStatus.BAD_REQUEST
        )
    try:
        claims = provider.finish(request)
    except provider.ProviderFailed as error:
        return _failed(request, str(error), HTTPStatus.BAD_REQUEST)
    try:
        user = people.account_of(claims)
    except people.NotWelcome as error:
        name = error.account.get_username() if error.account else claims.name or claims.subject
        return _failed(request, str(error), HTTPStatus.FORBIDDEN, name)
    request.session.pop(AFTER, None)
    user.backend = BACKEND
    if not claims.had_second_factor and factors.has_any(user):
        sign_in.stop_half_way(request, user, "single sign-on")
        return redirect(f"{reverse('admin:second_step')}?{urlencode({'next': after})}")
    factor = "provider" if claims.had_second_factor else ""
    proved_at = claims.proved_at.isoformat() if claims.proved_at else ""
    sessions.begin_by(request, sessions.How("single sign-on", factor, proved_at))
    login(request, user)
    return redirect(after)


def _failed(request: HttpRequest, why: str, status: HTTPStatus, name: str = "") -> HttpResponse:
    """A page that says why nobody was signed in, and an entry that says it, too."""
    actor = audit.Actor.nobody(name, audit.client_ip(request))
    detail = {"why": why, "method": "single sign-on", "browser": sessions.browser_of(request)}
    denials.record(
        audit.Fact(Action.ACCOUNT_SIGN_IN_FAILED, actor, outcome="denied", detail=detail)
    )
    context = {"title": "You are not signed in", "why": why, "label": settings.OIDC_LABEL}
    context |= site.each_context(request)
    return render(request, "batchops/accounts/sso_failed.html", context, status=status)
