"""The page that asks for the password again, and then goes on with what was asked for."""

from __future__ import annotations

from typing import Any, Final

from django.contrib.admin import site
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from batchops.accounts import reauth
from batchops.admin.ui.base import current_user

FIELD: Final = "password_as_proof"
OURS: Final = (FIELD, "csrfmiddlewaretoken")


def take(request: HttpRequest) -> HttpResponse | None:
    """Take the password that a form brings as proof; the page again where it is none."""
    if request.method != "POST" or FIELD not in request.POST:
        return None
    given = request.POST.copy()
    password = str(given.pop(FIELD)[-1])
    # What the form is for sees nothing of the password.
    request.POST = given  # type: ignore[assignment]
    try:
        reauth.prove(request, current_user(request), password)
    except reauth.NotProved as error:
        return ask(request, str(error))
    return None


def ask(request: HttpRequest, error: str = "") -> HttpResponse:
    """The page, which carries on all that the form has sent."""
    sent = [
        (name, value)
        for name, values in request.POST.lists()
        for value in values
        if name not in OURS
    ]
    context: dict[str, Any] = {"title": "Is it you?", "sent": sent, "error": error, "field": FIELD}
    context["back"] = request.headers.get("Referer", "")
    context |= site.each_context(request)
    return render(request, "batchops/accounts/proof.html", context)
