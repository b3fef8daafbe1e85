"""Saved views of the batch list: kept, removed, opened by default, counted."""

from __future__ import annotations

import copy
from typing import Final

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseRedirect,
    JsonResponse,
    QueryDict,
)
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_POST, require_safe

from batchops import audit
from batchops.admin.batches.files import BatchFiles
from batchops.admin.batches.filters import campaigns
from batchops.admin.ui.base import current_user
from batchops.admin.ui.parameters import RefusedParameter, names_of_list
from batchops.saved_views import views
from batchops.saved_views.models import SavedView
from batchops.services.errors import ChangeError, InvalidInput

NOT_KEPT: Final = ("p", "pasted")
"""Parts of an address that no view has: the page, and a list that is one person's for a day."""

MOST_COUNTED: Final = 20
"""Views whose batches are counted at a time."""


class BatchViews(BatchFiles):
    """What can be done with the views of the list."""

    def urls_of_views(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("views/save/", view(self.save_view), name="batchops_batch_save_view"),
            path("views/counts/", view(self.view_counts), name="batchops_batch_view_counts"),
            path("views/<int:pk>/remove/", view(self.remove_view), name="batchops_batch_drop_view"),
            path("views/default/", view(self.open_with), name="batchops_batch_default_view"),
        ]

    @method_decorator(require_POST)
    def save_view(self, request: HttpRequest) -> HttpResponse:
        """Keep what the list shows under a name."""
        user, actor = self._reader(request), audit.Actor.of_request(request)
        query = QueryDict(request.POST.get("query", ""), mutable=True)
        try:
            if "pasted" in query:
                raise InvalidInput("A pasted list is kept for a day only, so no view can show it.")
            for name in (*NOT_KEPT, *(name for name in list(query) if not query[name])):
                query.pop(name, None)
            if unknown := set(query) - names_of_list(request, self):
                raise InvalidInput(f"The list knows no “{sorted(unknown)[0][:60]}”.")
            view = views.save(
                request.POST.get("name", ""),
                query.urlencode(),
                is_shared="shared" in request.POST,
                user=user,
                actor=actor,
            )
        except ChangeError as error:
            messages.error(request, error.message)
        else:
            if "default" in request.POST:
                views.open_by_default(view, user)
            messages.success(request, f"The view “{view.name}” is saved.")
        return _to_list(query)

    @method_decorator(require_POST)
    def remove_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Remove a view."""
        user = self._reader(request)
        view = self._view(pk, request)
        try:
            views.remove(view, user=user, actor=audit.Actor.of_request(request))
        except ChangeError as error:
            messages.error(request, error.message)
        else:
            messages.success(request, f"The view “{view.name}” is removed.")
        return _to_list(QueryDict("show=present"))

    @method_decorator(require_POST)
    def open_with(self, request: HttpRequest) -> HttpResponse:
        """Open the list with a view from now on, or as it comes."""
        user, chosen = self._reader(request), request.POST.get("view", "")
        view = self._view(int(chosen), request) if chosen.isdecimal() and chosen.isascii() else None
        views.open_by_default(view, user)
        return _to_list(QueryDict(view.query if view else "show=present"))

    @method_decorator(require_safe)
    def view_counts(self, request: HttpRequest) -> HttpResponse:
        """How many batches each view finds now, for the page's script."""
        user = self._reader(request)
        campaigns(request)  # Read once for all of them.
        counted = views.seen_by(user)[:MOST_COUNTED]
        found = {str(view.pk): self._count(request, view) for view in counted}
        response = JsonResponse({"counts": found})
        response["Cache-Control"] = "no-store"
        return response

    def _count(self, request: HttpRequest, view: SavedView) -> str:
        asked = copy.copy(request)
        asked.GET = QueryDict(view.query)
        asked.counts_alone = True  # type: ignore[attr-defined]
        try:
            matching = self.get_changelist_instance(asked).matching  # type: ignore[attr-defined]
        except RefusedParameter:
            # The list may have learnt other words since; the view itself then says so.
            return "?"
        return f"{matching.number:,}{'' if matching.is_exact else '+'}"

    def _reader(self, request: HttpRequest) -> User:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return current_user(request)

    def _view(self, pk: int, request: HttpRequest) -> SavedView:
        view = views.find(pk, current_user(request)) if pk < 2**63 else None
        if view is None:
            raise Http404("There is no such view.")
        return view


def _to_list(query: QueryDict) -> HttpResponseRedirect:
    address, text = reverse("admin:batchops_batch_changelist"), query.urlencode()
    return HttpResponseRedirect(f"{address}?{text}" if text else address)
