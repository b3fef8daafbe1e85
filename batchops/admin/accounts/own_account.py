"""The page of one's own account: who one is here, and where one is signed in."""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings
from django.contrib import messages
from django.contrib.admin import site
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.middleware.csrf import get_token
from django.shortcuts import redirect, render
from django.urls import URLPattern, path
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from batchops import audit
from batchops.accounts import sessions
from batchops.accounts.factors import factors
from batchops.admin.ui.base import current_user

THE_OTHERS: Final = "others"
ALL: Final = "all"


def urls() -> list[URLPattern]:
    """The addresses of these pages, within the site."""
    pages: dict[str, tuple[str, Any]] = {
        "account": ("account/", own_account),
        "end_sessions": ("account/sessions/end/", end_sessions),
        "session": ("account/session/", session_state),
        "stay": ("account/session/stay/", stay),
    }
    return [
        path(address, site.admin_view(view), name=name) for name, (address, view) in pages.items()
    ]


@never_cache
def own_account(request: HttpRequest) -> HttpResponse:
    """Name, roles, and each browser in which the person is signed in."""
    user = current_user(request)
    context = {"title": "Your account", "account": user, **listed(request, user)}
    context["factors"] = factors.of_user(user)
    return render(request, "batchops/accounts/own.html", {**site.each_context(request), **context})


@require_POST
def end_sessions(request: HttpRequest) -> HttpResponse:
    """End one of one's sessions, the others, or all of them."""
    user = current_user(request)
    ended = end_chosen(request, user, "by its owner")
    if request.POST.get("which") == ALL:
        # What is left of this one says so at the sign-in.
        messages.success(request, "You are signed out everywhere.")
        return redirect("admin:login")
    messages.success(request, told(ended))
    return redirect("admin:account")


@require_GET
@never_cache
def session_state(request: HttpRequest) -> HttpResponse:
    """Whose session it is and how many seconds it has left, which asking does not lengthen."""
    return JsonResponse(
        {
            "left": sessions.seconds_left(request),
            "who": current_user(request).get_username(),
            "token": get_token(request),
        }
    )


@require_POST
def stay(request: HttpRequest) -> HttpResponse:
    """Count as use of the session."""
    return JsonResponse({"left": sessions.seconds_left(request)})


def listed(request: HttpRequest, account: User) -> dict[str, Any]:
    """What the table of sessions takes."""
    return {
        "sessions": sessions.of_user(account),
        "this": request.session.session_key,
        "idle_minutes": settings.SESSION_IDLE_MINUTES,
        "longest_hours": settings.SESSION_COOKIE_AGE // 3600,
    }


def end_chosen(request: HttpRequest, account: User, why: str) -> int:
    """End those sessions of an account that a form names; returns how many."""
    actor, which = audit.Actor.of_request(request), request.POST.get("which", "")
    if which == ALL:
        return sessions.end_all(account, actor=actor, why=why)
    if which == THE_OTHERS:
        own = request.session.session_key
        return sessions.end_all(account, actor=actor, why=why, spared=own)
    return int(sessions.end(account, which, actor=actor, why=why))


def told(ended: int) -> str:
    """What became of the sessions that were to be ended."""
    if not ended:
        return "No such session is there any more."
    return "The session is ended." if ended == 1 else f"{ended:,} sessions are ended."
