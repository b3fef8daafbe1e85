"""What happens around every request: its id, the reader's zone, denied tries, its address."""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import ip_address, ip_network

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import resolve_url
from django.test import Client, RequestFactory, override_settings
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from batchops.audit import client_ip
from batchops.logs import request_id
from batchops.models import Action, AuditEntry
from batchops.web import middleware

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
        ("trusted", "forwarded", "expected"),
        [
            ("", "", "192.0.2.1"),
            ("", "198.51.100.7", "192.0.2.1"),
            ("10.0.0.0/8", "198.51.100.7", "192.0.2.1"),
            ("192.0.2.0/24", "198.51.100.7", "198.51.100.7"),
            ("192.0.2.0/24", "203.0.113.9, 198.51.100.7", "198.51.100.7"),
            ("192.0.2.0/24, 198.51.100.7", "203.0.113.9, 198.51.100.7", "203.0.113.9"),
            ("0.0.0.0/0", "203.0.113.9, 198.51.100.7", "203.0.113.9"),
            ("192.0.2.0/24", "", "192.0.2.1"),
            ("192.0.2.0/24", " , ,", "192.0.2.1"),
            ("192.0.2.0/24", "198.51.100.7, unknown", "192.0.2.1"),
            ("192.0.2.0/24", "198.51.100.7:4711", "198.51.100.7"),
            ("192.0.2.0/24", "[2001:db8::7]:443", "2001:db8::7"),
            ("192.0.2.0/24", "::ffff:198.51.100.7", "198.51.100.7"),
            ("192.0.2.0/24", "fe80::1%<script>", "fe80::1"),
            ("192.0.2.0/24", "9" * 400, "192.0.2.1"),
            ("192.0.2.0/24", "' OR 1=1 --", "192.0.2.1"),
        ],
    )
    def test_it_is_looked_for_behind_the_proxies_that_are_trusted(
        self, trusted: str, forwarded: str, expected: str, settings: Settings
    ) -> None:
        settings.TRUSTED_PROXIES = [ip_network(word) for word in trusted.split(", ") if word]
        request = RequestFactory().get(
            "/", REMOTE_ADDR="192.0.2.1", headers={"X-Forwarded-For": forwarded}
        )
        assert client_ip(request) == expected

    @pytest.mark.parametrize("peer", ["", "garbage", "10.0.0.1\x00", "1.2.3.4, 5.6.7.8"])
    def test_a_connection_without_one_has_none(self, peer: str, settings: Settings) -> None:
        settings.TRUSTED_PROXIES = [ip_network("0.0.0.0/0")]
        request = RequestFactory().get(
            "/", REMOTE_ADDR=peer, headers={"X-Forwarded-For": "198.51.100.7"}
        )
        assert client_ip(request) == ""

    @given(st.text() | st.ip_addresses().map(str))
    def test_whatever_is_forwarded_it_is_an_address(self, forwarded: str) -> None:
        request = RequestFactory().get("/", REMOTE_ADDR="192.0.2.1")
        request.META["HTTP_X_FORWARDED_FOR"] = forwarded
        with override_settings(TRUSTED_PROXIES=[ip_network("192.0.2.1")]):
            assert str(ip_address(client_ip(request))) == client_ip(request)

    @pytest.mark.django_db
    def test_garbage_from_a_proxy_never_lands_in_the_trail(
        self, client: Client, viewer: User, settings: Settings
    ) -> None:
        settings.TRUSTED_PROXIES = [ip_network("127.0.0.0/8")]
        client.force_login(viewer)
        client.get("/auth/user/", headers={"X-Forwarded-For": "<script>\x00, not an address"})
        assert AuditEntry.objects.get(action=Action.ACCESS_DENIED).actor_ip == "127.0.0.1"


@pytest.mark.django_db
class TestWhatOnlyProxiesMaySay:
    @pytest.mark.parametrize(("trusted", "status"), [("10.0.0.0/8", 301), ("127.0.0.0/8", 200)])
    def test_that_a_request_came_over_tls(
        self, trusted: str, status: int, client: Client, settings: Settings
    ) -> None:
        settings.SECURE_SSL_REDIRECT = True
        settings.TRUSTED_PROXIES = [ip_network(trusted)]
        response = client.get("/login/", headers={"X-Forwarded-Proto": "https"})
        assert response.status_code == status

    def test_nobody_may_move_the_site_below_another_path(self, client: Client) -> None:
        for page in (
            client.get("/login/", SCRIPT_NAME="/evil"),
            client.get("/login/", SCRIPT_URL="/evil/login/"),
        ):
            assert "/evil" not in page.content.decode()


def test_signing_in_without_a_page_to_go_to_leads_to_the_overview(settings: Settings) -> None:
    assert resolve_url(settings.LOGIN_REDIRECT_URL) == "/"
