"""Pages for what went wrong: what it is, and what a person can do about it."""

from __future__ import annotations

import logging
from typing import Any, Final

from django.conf import settings
from django.contrib import messages
from django.contrib.admin import site
from django.contrib.auth.models import User
from django.contrib.auth.views import redirect_to_login
from django.contrib.sessions.exceptions import SessionInterrupted
from django.core.exceptions import RequestDataTooBig, TooManyFieldsSent
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

from batchops.admin.ui.parameters import RefusedParameter, SearchTooLong
from batchops.audit import denials
from batchops.logs import request_id

logger = logging.getLogger(__name__)

TEMPLATE: Final = "batchops/ui/problem.html"
BARE_TEMPLATE: Final = "batchops/ui/bare.html"


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001
    """What cannot be read; 413 where it is too large."""
    if isinstance(exception, RequestDataTooBig):
        limit = f"{settings.DATA_UPLOAD_MAX_MEMORY_SIZE // 2**20} MB"
        words = f"Nothing was done with it. Send less than {limit} at a time."
        return _bare(413, "That is too much at once", words)
    if isinstance(exception, TooManyFieldsSent):
        most = settings.DATA_UPLOAD_MAX_NUMBER_FIELDS
        words = f"Nothing was done with it. A page takes at most {most:,} values at a time."
        return _bare(400, "That is too much at once", words)
    if isinstance(exception, SessionInterrupted):
        words = "You were signed out while this was under way. Sign in and look what became of it."
        return _bare(400, "Your session was ended", words)
    words = "It cannot be read, so nothing was done. Go back, reload the page, and try again."
    return _bare(400, "This request cannot be understood", words)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001
    """What a person may not do; that they tried is in the trail."""
    words = (
        f"It is not open to {_role(request)}, and nothing was done. The attempt is recorded in the "
        "audit trail. If you need it for your work, ask an administrator for the right role."
    )
    return _framed(request, 403, "You may not do this", words)


def _role(request: HttpRequest) -> str:
    try:
        user = request.user
        groups = list(user.groups.values_list("name", flat=True)) if isinstance(user, User) else []
    # Whatever is broken, the page must come.
    except Exception:
        logger.exception("The role of a person cannot be read.")
        return "your role"
    return f"your role ({', '.join(groups)})" if groups else "an account without a role"


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001
    """An address that leads nowhere."""
    words = (
        "The address may be mistyped, or what it led to no longer exists. Look for it in the lists."
    )
    if request.path.startswith(settings.STATIC_URL):
        return _bare(404, "There is no such file", words)
    return _framed(request, 404, "There is no such page", words)


def server_error(request: HttpRequest) -> HttpResponse:  # noqa: ARG001
    """A fault of ours or of the database; drawn without asking the database anything."""
    words = (
        "This is a fault in batchops or its database, not something that you did. Confirmed "
        "changes are still carried out. Try again in a minute; if it happens again, tell whoever "
        f"runs batchops, and quote this request id: {request_id.get()}."
    )
    return _bare(500, "Something went wrong here", words)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """A form that was created before the person last signed in, or for another site; recorded."""
    denials.record_request(request, f"The form does not come from a page of ours: {reason}")
    words = (
        "The page was opened before you last signed in, or your browser keeps no "
        "cookies for this site. Nothing was done. Go back, reload the page, and send it again."
    )
    return _framed(request, 403, "This form is out of date", words)


def refused_parameter(request: HttpRequest, refused: RefusedParameter) -> HttpResponse:
    """An address with something that the page does not take, and the same address without it."""
    query = request.GET.copy()
    query.pop(refused.name, None)
    if not refused.name:
        query.clear()
    words = f"{refused.words} Nothing was shown or done."
    context: dict[str, Any] = {
        "way_on": f"{request.path}?{query.urlencode()}" if query else request.path
    }
    is_batch_list = request.path == reverse("admin:batchops_batch_changelist")
    if isinstance(refused, SearchTooLong) and is_batch_list:
        context["ids"] = "\n".join(request.GET.get(refused.name, "").split())
    return _framed(request, 400, "This address is not valid", words, **context)


def wrong_method(request: HttpRequest, refused: HttpResponseNotAllowed) -> HttpResponse:
    """An address that only takes what a form sends, opened like a page, or the other way round."""
    words = (
        "It belongs to a button and cannot be opened or reloaded on its own. Nothing was done. "
        "Go back to the page with the button."
    )
    response = _framed(request, 405, "This address is not a page", words)
    response["Allow"] = refused["Allow"]
    return response


def signed_out(request: HttpRequest) -> HttpResponse:
    """To the sign-in, and from there back to the page whose form was sent too late."""
    messages.warning(request, "You were signed out, so nothing was done. Sign in and try again.")
    page = request.headers.get("Referer", "")
    ours = url_has_allowed_host_and_scheme(
        page, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return redirect_to_login(page if ours else reverse("admin:index"), reverse("admin:login"))


def _framed(request: HttpRequest, status: int, title: str, words: str, **more: Any) -> HttpResponse:
    """In the frame of the site, as far as the person may see it; without it where that fails."""
    try:
        context = {**site.each_context(request), "title": title, "words": words, **more}
        return HttpResponse(render_to_string(TEMPLATE, context, request), status=status)
    # The database, the session or the static files may be what is broken.
    except Exception:
        logger.exception("A page cannot be drawn in the frame of the site.")
        return _bare(status, title, words)


def _bare(status: int, title: str, words: str) -> HttpResponse:
    """Without the frame, which needs a sound request, the database and the static files."""
    context: dict[str, Any] = {"title": title, "words": words}
    context |= {"site_header": site.site_header, "site_title": site.site_title}
    return HttpResponse(render_to_string(BARE_TEMPLATE, context), status=status)
