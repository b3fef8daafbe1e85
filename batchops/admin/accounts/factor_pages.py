"""The pages of one's own second factors: add one, remove one, write new recovery codes."""

from __future__ import annotations

import io
from typing import Any, Final

import segno
from django.contrib import messages
from django.contrib.admin import site
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, path
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from batchops import audit
from batchops.accounts import reauth, sessions
from batchops.accounts.factors import codes, factors, sealing
from batchops.accounts.models import SecondFactor
from batchops.admin.accounts import second_step
from batchops.admin.ui.base import current_user

NEW_SECRET: Final = "new_app_secret"  # noqa: S105 - the name of a place in the session


def urls() -> list[URLPattern]:
    """The addresses of these pages, within the site."""
    pages: dict[str, tuple[str, Any]] = {
        "second_factors": ("account/second-factors/", second_factors),
        "add_app": ("account/second-factors/app/", add_app),
        "app_picture": ("account/second-factors/app/picture.svg", app_picture),
        "remove_factor": ("account/second-factors/<int:pk>/remove/", remove_factor),
        "recovery_codes": ("account/second-factors/recovery-codes/", recovery_codes),
    }
    return [
        path("login/second-step/", second_step.second_step, name="second_step"),
        *(
            path(address, site.admin_view(view), name=name)
            for name, (address, view) in pages.items()
        ),
    ]


@require_GET
@never_cache
def second_factors(request: HttpRequest) -> HttpResponse:
    """What the person has besides the password."""
    user = current_user(request)
    recovery = SecondFactor.objects.filter(user=user, kind=SecondFactor.Kind.RECOVERY)
    context = {"factors": factors.of_user(user), "recovery_left": recovery.count()}
    return _show(request, "factors", "Second factors", **context)


@never_cache
def add_app(request: HttpRequest) -> HttpResponse:
    """Show the key for an authenticator app; with the code that the app shows, add it."""
    user, error = current_user(request), ""
    secret = _new_secret(request)
    if request.method == "POST":
        reauth.require(request)
        try:
            written = factors.add_app(
                user,
                secret,
                request.POST.get("code", ""),
                request.POST.get("name", ""),
                actor=audit.Actor.of_request(request),
                spared=request.session.session_key,
            )
        except factors.Refused as refused:
            error = str(refused)
        else:
            return added(request, SecondFactor.Kind.APP, written)
    in_groups = " ".join(secret[n : n + 4] for n in range(0, len(secret), 4))
    return _show(request, "add_app", "Add an authenticator app", secret=in_groups, error=error)


def added(request: HttpRequest, kind: SecondFactor.Kind, written: list[str]) -> HttpResponse:
    """Say that it was added, with the recovery codes that came with the first one."""
    request.session.pop(NEW_SECRET, None)
    sessions.note_factor(request, kind.value)
    messages.success(request, f"{kind.label} added. From now on the sign-in asks for it.")
    return _show_codes(request, written) if written else redirect("admin:second_factors")


@require_GET
@never_cache
def app_picture(request: HttpRequest) -> HttpResponse:
    """The key as a picture that an app reads; only while it is being added."""
    if NEW_SECRET not in request.session:
        raise Http404
    text = codes.address(_new_secret(request), current_user(request), request.get_host())
    picture = io.BytesIO()
    segno.make(text, error="m").save(picture, kind="svg", scale=5, border=4, light="#fff")
    return HttpResponse(picture.getvalue(), content_type="image/svg+xml")


@require_POST
def remove_factor(request: HttpRequest, pk: int) -> HttpResponse:
    """Remove one of one's second factors."""
    reauth.require(request)
    try:
        factors.remove(current_user(request), pk, actor=audit.Actor.of_request(request))
    except factors.Refused as refused:
        messages.error(request, str(refused))
    else:
        messages.success(request, "Removed.")
    return redirect("admin:second_factors")


@require_POST
@never_cache
def recovery_codes(request: HttpRequest) -> HttpResponse:
    """Replace one's recovery codes by new ones, which are shown once."""
    reauth.require(request)
    actor = audit.Actor.of_request(request)
    try:
        written = factors.renew_recovery_codes(current_user(request), actor=actor)
    except factors.Refused as refused:
        messages.error(request, str(refused))
        return redirect("admin:second_factors")
    return _show_codes(request, written)


def _new_secret(request: HttpRequest) -> str:
    """The key that is being added, kept sealed in the session until it is."""
    kept = sealing.unseal(request.session.get(NEW_SECRET, ""))
    if not kept:
        kept = codes.new_secret()
        request.session[NEW_SECRET] = sealing.seal(kept)
    return kept


def _show_codes(request: HttpRequest, written: list[str]) -> HttpResponse:
    return _show(request, "recovery_codes", "Recovery codes", codes=written)


def _show(request: HttpRequest, template: str, title: str, **context: Any) -> HttpResponse:
    context |= {**site.each_context(request), "title": title}
    return render(request, f"batchops/accounts/{template}.html", context)
