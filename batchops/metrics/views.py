"""`/metrics`: what Prometheus scrapes."""

from __future__ import annotations

import hmac
import logging

from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import CollectorRegistry

from batchops import proxies
from batchops.metrics.collector import BatchopsCollector

logger = logging.getLogger(__name__)

SCHEME = "Bearer "


@require_safe
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    """All metrics, in the format that the scraper asks for.

    For `METRICS_FROM`, and for whoever sends `METRICS_TOKEN`; 403 for others.
    """
    if not _may_read(request):
        return HttpResponse(
            "Not from here without METRICS_TOKEN.\n", status=403, content_type="text/plain"
        )
    registry = CollectorRegistry(auto_describe=False)
    registry.register(BatchopsCollector())
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    try:
        return HttpResponse(encode(registry), content_type=content_type)
    except DatabaseError as error:
        logger.error("metrics: the database cannot be read: %s", error)
        return HttpResponse("The database cannot be read.\n", status=503, content_type="text/plain")


def _may_read(request: HttpRequest) -> bool:
    given = request.headers.get("Authorization", "")
    if settings.METRICS_TOKEN and given.startswith(SCHEME):
        token = given.removeprefix(SCHEME).strip()
        return hmac.compare_digest(token.encode(), settings.METRICS_TOKEN.encode())
    return proxies.comes_from(request, settings.METRICS_FROM)
