"""Whether the process lives, and whether all that batchops needs is as it should be."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from django.conf import settings
from django.contrib.staticfiles.storage import staticfiles_storage
from django.db import connection
from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from batchops import proxies
from batchops.courier import Courier
from batchops.models import SyncRun
from batchops.services import heartbeats
from batchops.services.proof import watch

logger = logging.getLogger(__name__)

STYLE: Final = "batchops/base.css"
QUEUE_SECONDS: Final = 2.0
"""A queue that is silent for longer counts as down."""

_courier = Courier("queue's health")

Part: TypeAlias = dict[str, Any]
"""What is said of one thing: `ok`, and figures that explain it."""


@require_safe
@never_cache
def process(_request: HttpRequest) -> JsonResponse:
    """The web process answers: for load balancers."""
    return JsonResponse({"status": "ok"})


@require_safe
@never_cache
def readiness(request: HttpRequest) -> JsonResponse:
    """200 when every part is as it should be, else 503: for monitoring.

    The vendor is not asked: what the last sync met tells about mirror and key. Only those whom it
    concerns are told which part is not.
    """
    parts = {
        "database": _guarded(_database),
        "queue": _guarded(_queue),
        "workers": _guarded(_workers),
        "mirror": _guarded(_mirror),
        "vendor_key": _guarded(_vendor_key),
        "static_files": _guarded(_static_files),
        "audit_trail": _guarded(_audit_trail),
    }
    ready = all(part["ok"] for part in parts.values())
    answer: dict[str, Any] = {"status": "ready" if ready else "not ready"}
    if _may_know_more(request):
        answer["parts"] = parts
    return JsonResponse(answer, status=200 if ready else 503)


def _may_know_more(request: HttpRequest) -> bool:
    """Whether it is asked from `HEALTH_DETAILS_FROM`, or by a person of the staff."""
    if proxies.comes_from(request, settings.HEALTH_DETAILS_FROM):
        return True
    try:
        return request.user.is_active and request.user.is_staff
    # The session may lie in a database that is down.
    except Exception as error:  # noqa: BLE001
        logger.error("readyz: who asks cannot be told: %s", error)
        return False


def _guarded(look: Callable[[], Part]) -> Part:
    """What a part says of itself, or that it could not be asked; the reason goes to the log."""
    try:
        return look()
    # The queue's library lets the errors of whichever driver it uses through.
    except Exception as error:  # noqa: BLE001
        logger.error("readyz: the %s cannot be asked: %s", look.__name__.strip("_"), error)
        return {"ok": False, "problem": "cannot be reached"}


def _database() -> Part:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return {"ok": True}


def _queue() -> Part:
    waiting = _courier.send(lambda: settings.HUEY.storage.queue_size(), QUEUE_SECONDS)
    return {"ok": True, "waiting": waiting}


def _workers() -> Part:
    found = heartbeats.workers()
    if found.are_running:
        return {"ok": True}
    return {"ok": False, "problem": found.silence}


def _mirror() -> Part:
    last = SyncRun.objects.filter(state=SyncRun.State.DONE).first()
    if last is None:
        return {"ok": False, "problem": "no sync has succeeded yet"}
    age = round((timezone.now() - last.started_at).total_seconds())
    full = last.fully_synced_at
    return {
        "ok": age <= settings.MIRROR_MAX_AGE,
        "age_seconds": age,
        "full_sync_age_seconds": full and round((timezone.now() - full).total_seconds()),
        "max_age_seconds": settings.MIRROR_MAX_AGE,
    }


def _static_files() -> Part:
    """Whether pages find their style: this process reads the list of files once, at its start."""
    try:
        staticfiles_storage.url(STYLE)
    except ValueError:
        return {"ok": False, "problem": "not collected: run manage.py collectstatic and restart"}
    return {"ok": True}


def _vendor_key() -> Part:
    last = SyncRun.objects.exclude(state=SyncRun.State.RUNNING).first()
    if last is None:
        return {"ok": True, "accepted": None}
    return {"ok": not last.key_rejected, "accepted": not last.key_rejected}


def _audit_trail() -> Part:
    standing = watch.standing()
    part: Part = {"ok": not standing.problems, "verdict": standing.outcome}
    if standing.verdict is not None:
        part["verified_at"] = standing.verdict.at.isoformat()
    return part | {"problems": standing.problems} if standing.problems else part
