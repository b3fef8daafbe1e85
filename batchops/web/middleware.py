"""What happens around every request: its id, the reader's time zone, and denied tries."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from typing import TypeAlias
from zoneinfo import ZoneInfo

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase, HttpResponsePermanentRedirect
from django.middleware.common import CommonMiddleware
from django.utils import timezone

from batchops import audit, proxies
from batchops.accounts import sessions
from batchops.audit import denials
from batchops.logs import request_id
from batchops.wall_times import zone_named

GetResponse: TypeAlias = Callable[[HttpRequest], HttpResponseBase]

TIME_ZONE_COOKIE = "time_zone"
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}\Z")


class RequestIdMiddleware:
    """Gives each request an id, taken from `X-Request-ID` where a proxy set a sane one."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        given = request.headers.get("X-Request-ID", "")
        identity = given if REQUEST_ID.match(given) else secrets.token_hex(8)
        token = request_id.set(identity)
        try:
            response = self.get_response(request)
        finally:
            request_id.reset(token)
        response["X-Request-ID"] = identity
        return response


class ProxyMiddleware:
    """Takes from everybody but the trusted proxies what only these may say: host and scheme."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not proxies.comes_from_trusted_proxy(request):
            request.META.pop("HTTP_X_FORWARDED_PROTO", None)
        return self.get_response(request)


class HostMiddleware(CommonMiddleware):
    """Refuses strange host names, save for monitoring, which comes by address."""

    def process_request(self, request: HttpRequest) -> HttpResponsePermanentRedirect | None:
        if request.path in proxies.MACHINE_PATHS:
            return None
        return super().process_request(request)


class TimeZoneMiddleware:
    """Shows times in the reader's zone, which a script of ours keeps in a cookie."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        with timezone.override(self._zone(request)):
            return self.get_response(request)

    def _zone(self, request: HttpRequest) -> ZoneInfo | None:
        return zone_named(request.COOKIES.get(TIME_ZONE_COOKIE, ""))


class SessionUseMiddleware:
    """Moves on the end of a session that is used; to be asked by a probe is no use of it."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path not in proxies.MACHINE_PATHS:
            sessions.note_use(request)
        return self.get_response(request)


class ActingPersonMiddleware:
    """Lets the trail know in whose request accounts and permissions are changed."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        token = audit.acting_request.set(request)
        try:
            return self.get_response(request)
        finally:
            audit.acting_request.reset(token)


class DeniedAccessMiddleware:
    """Records in the trail when a signed-in person tries what they may not do."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> None:
        if isinstance(exception, PermissionDenied) and request.user.is_authenticated:
            denials.record_request(request, str(exception))
