"""The batch list as a file, as its address narrows and sorts it."""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect, StreamingHttpResponse
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_POST

from batchops import audit
from batchops.admin.batches.actions import BatchActions
from batchops.admin.ui.base import current_user
from batchops.admin.ui.parameters import takes_what_the_list_takes
from batchops.services import quotas
from batchops.services.errors import ChangeError, InvalidInput
from batchops.services.table_files import batch_list
from batchops.services.table_files.batch_list import BatchFileFormat


class BatchFiles(BatchActions):
    """Hands out what the list shows, all pages of it."""

    @takes_what_the_list_takes
    @method_decorator(require_POST)
    def export(self, request: HttpRequest) -> HttpResponseBase:
        """The file that a form asks for, or the list with what stands against it."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            return self._file(request)
        except ChangeError as error:
            messages.error(request, error.message)
        address, query = reverse("admin:batchops_batch_changelist"), request.META["QUERY_STRING"]
        return HttpResponseRedirect(f"{address}?{query}" if query else address)

    def _file(self, request: HttpRequest) -> HttpResponseBase:
        kind = request.POST.get("kind", "")
        if kind not in BatchFileFormat.values:
            raise InvalidInput("Choose what the list is to be written as.")
        places = quotas.begin_export(current_user(request))
        try:
            made = batch_list.export(
                self.get_changelist_instance(request).queryset,
                BatchFileFormat(kind),
                user=current_user(request),
                actor=audit.Actor.of_request(request),
                description=self.filter_words(request),
            )
        except BaseException:
            places.give_back()
            raise
        return StreamingHttpResponse(
            quotas.Stream(made.chunks, places),
            content_type=made.content_type,
            headers={"Content-Disposition": f'attachment; filename="{made.filename}"'},
        )
