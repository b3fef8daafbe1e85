"""The inbox: what concerns a person, read and unread."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from batchops.admin.notices import channels, own_mail
from batchops.admin.ui.base import current_user
from batchops.admin.ui.parameters import RefusedParameter, require_choice, takes
from batchops.notices import inbox

if TYPE_CHECKING:
    from django.contrib.admin import AdminSite

PAGE_SIZE: Final = 50
SHOWN: Final = {"unread": "Unread", "all": "All"}
LARGEST_NUMBER: Final = 2**63 - 1


def urls(site: AdminSite) -> list[URLPattern]:
    """The addresses of notices, as parts of a site."""

    def view(route: str, name: str, serve: Callable[..., HttpResponse]) -> URLPattern:
        return path(f"notices/{route}", site.admin_view(serve), name=f"notices{name}")

    @takes("show", "p")
    @require_safe
    def notices(request: HttpRequest) -> HttpResponse:
        return _inbox_page(request, site)

    return [
        view("", "", notices),
        view("news/", "_news", news),
        view("read/", "_read", read),
        view("mail/", "_mail", own_mail.page_on(site)),
        *channels.urls(site, view),
    ]


def bell(request: HttpRequest) -> list[int]:
    """The numbers of what a person has not read, the latest first."""
    return inbox.unread_ids(current_user(request))


@takes("after")
@require_safe
@never_cache
def news(request: HttpRequest) -> HttpResponse:
    """How many notices are unread, and what should pop up, for the script of open pages."""
    after = _number(request.GET.get("after", "0"))
    user = current_user(request)
    unread = inbox.unread_ids(user)
    latest = max(unread, default=0)
    toasts = inbox.toasts(user, after) if latest > after else []
    return JsonResponse(
        {
            "unread": len(unread),
            "latest": latest,
            "toasts": [
                {"title": item.notice.title, "link": item.notice.link, "tone": item.notice.tone}
                for item in toasts
            ],
        }
    )


@require_POST
def read(request: HttpRequest) -> HttpResponse:
    """Mark one notice as read or unread, or all of them as read."""
    user = current_user(request)
    notice = request.POST.get("notice", "")
    if request.POST.get("unread"):
        inbox.mark_unread(user, _number(notice))
    elif notice == "all":
        inbox.mark_read(user)
    else:
        inbox.mark_read(user, [_number(notice)])
    back = reverse("admin:notices")
    return HttpResponseRedirect(f"{back}?show=all" if request.POST.get("show") == "all" else back)


def _inbox_page(request: HttpRequest, site: AdminSite) -> HttpResponse:
    show = request.GET.get("show", "unread")
    require_choice("show", show, SHOWN)
    user = current_user(request)
    items = inbox.of(user) if show == "all" else inbox.unread(user)
    page = Paginator(items, PAGE_SIZE).get_page(request.GET.get("p", "1"))
    context: dict[str, Any] = {
        **site.each_context(request),
        "title": "Notices",
        "page": page,
        "show": show,
        "tabs": SHOWN.items(),
    }
    return TemplateResponse(request, "batchops/notices/inbox.html", context)


def _number(text: str) -> int:
    """Raises RefusedParameter for what cannot be the number of a notice."""
    if text.isascii() and text.isdigit() and len(text) <= 19 and int(text) <= LARGEST_NUMBER:
        return int(text)
    raise RefusedParameter("after", "This is not the number of a notice.")
