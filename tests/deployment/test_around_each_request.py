"""What happens around every request: its id, the reader's zone, denied tries, its address."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from django.utils import timezone
from pytest_django import Settings

from batchops import middleware
from batchops.logs import request_id
from batchops.models import Action, AuditEntry
from batchops.services.audit import client_ip

HOSTILE_ZONES = [
    "Mars/Olympus",
    "../../etc/passwd",
    "/etc/localtime",
    "America",
    "x" * 3000,
    "Europe/Berl\x00in",
    "Ünïcode/\ud800",
]


def zone_of(cookie: str) -> str:
    """The name of the zone in which a reader with this cookie sees times."""
    seen: list[str] = []

    def view(_request: HttpRequest) -> HttpResponse:
        seen.append(timezone.get_current_timezone_name())
        return HttpResponse()

    request = RequestFactory().get("/")
    request.COOKIES[middleware.TIME_ZONE_COOKIE] = cookie
    middleware.TimeZoneMiddleware(view)(request)
    return seen[0]


class TestTheRequestId:
    def test_each_response_carries_one_of_its_own(self, client: Client) -> None:
        first, second = (client.get("/healthz")["X-Request-ID"] for _ in range(2))
        assert re.fullmatch("[0-9a-f]{16}", first)
        assert first != second

    def test_one_that_a_proxy_gave_is_kept(self, client: Client) -> None:
        response = client.get("/healthz", headers={"X-Request-ID": "from-the-proxy-1"})
        assert response["X-Request-ID"] == "from-the-proxy-1"

    @pytest.mark.parametrize("given", ["short", "x" * 65, "with space", "<script>alert(1)", "a\nb"])
    def test_one_that_could_do_harm_in_a_log_is_replaced(self, given: str, client: Client) -> None:
        response = client.get("/healthz", headers={"X-Request-ID": given})
        assert re.fullmatch("[0-9a-f]{16}", response["X-Request-ID"])

    def test_it_is_there_for_log_lines_while_the_request_lasts(self, rf: RequestFactory) -> None:
        seen: list[str] = []

        def view(_request: HttpRequest) -> HttpResponse:
            seen.append(request_id.get())
            return HttpResponse()

        request = rf.get("/", headers={"X-Request-ID": "the-one-to-find"})
        middleware.RequestIdMiddleware(view)(request)
        assert [*seen, request_id.get()] == ["the-one-to-find", "-"]

    def test_it_ends_with_a_request_that_failed(self, rf: RequestFactory) -> None:
        def view(_request: HttpRequest) -> HttpResponse:
            raise ValueError

        with pytest.raises(ValueError):
            middleware.RequestIdMiddleware(view)(rf.get("/"))
        assert request_id.get() == "-"


class TestTheZone:
    def test_the_cookie_names_it(self) -> None:
        assert zone_of("Europe/Berlin") == "Europe/Berlin"

    @pytest.mark.parametrize("cookie", ["", *HOSTILE_ZONES])
    def test_without_a_sane_cookie_it_is_the_houses(self, cookie: str) -> None:
        assert zone_of(cookie) == "UTC"

    def test_the_next_reader_does_not_inherit_it(self) -> None:
        zone_of("Asia/Tokyo")
        assert timezone.get_current_timezone_name() == "UTC"


class TestDeniedTries:
    def test_what_a_signed_in_person_may_not_do_goes_into_the_trail(
        self, client: Client, viewer: User
    ) -> None:
        client.force_login(viewer)
        response = client.get("/auth/user/", {"secret": "query"})
        assert response.status_code == 403
        entry = AuditEntry.objects.get(action=Action.ACCESS_DENIED)
        assert entry.actor_name == "victor"
        assert entry.outcome == "denied"
        assert entry.detail == {"method": "GET", "path": "/auth/user/"}

    def test_of_somebody_who_is_not_signed_in_nothing_is_kept(self, db: None) -> None:
        def view(_request: HttpRequest) -> HttpResponse:
            return HttpResponse()

        request = RequestFactory().get("/")
        request.user = AnonymousUser()
        middleware.DeniedAccessMiddleware(view).process_exception(request, PermissionDenied())
        assert not AuditEntry.objects.filter(action=Action.ACCESS_DENIED).exists()

    def test_other_errors_are_not_denials(
        self, make_person: Callable[..., User], rf: RequestFactory
    ) -> None:
        request = rf.get("/")
        request.user = make_person("eve")
        denied = middleware.DeniedAccessMiddleware(lambda _request: HttpResponse())
        denied.process_exception(request, ValueError())
        assert not AuditEntry.objects.filter(action=Action.ACCESS_DENIED).exists()


class TestTheAddress:
    @pytest.mark.parametrize(
        ("proxies", "forwarded", "expected"),
        [
            (0, "", "192.0.2.1"),
            (0, "198.51.100.7", "192.0.2.1"),
            (1, "198.51.100.7", "198.51.100.7"),
            (1, "203.0.113.9, 198.51.100.7", "198.51.100.7"),
            (2, "203.0.113.9, 198.51.100.7", "203.0.113.9"),
            (3, "198.51.100.7", "198.51.100.7"),
            (1, "", "192.0.2.1"),
            (1, " , ,", "192.0.2.1"),
        ],
    )
    def test_it_is_looked_for_behind_as_many_proxies_as_are_trusted(
        self, proxies: int, forwarded: str, expected: str, settings: Settings
    ) -> None:
        settings.TRUSTED_PROXY_COUNT = proxies
        request = RequestFactory().get(
            "/", REMOTE_ADDR="192.0.2.1", headers={"X-Forwarded-For": forwarded}
        )
        assert client_ip(request) == expected

    def test_a_forged_one_is_cut_to_what_the_trail_holds(self, settings: Settings) -> None:
        settings.TRUSTED_PROXY_COUNT = 1
        request = RequestFactory().get("/", headers={"X-Forwarded-For": "9" * 400})
        assert len(client_ip(request)) == 45
