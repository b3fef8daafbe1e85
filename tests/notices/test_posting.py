"""Messages go to public hosts over TLS, to listed ones otherwise, and to nothing else."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from pytest_django import Settings

from batchops.notices.channels import posting
from batchops.notices.channels.failures import DeliveryFailed
from tests.syllable.loopback import Loopback, Said, http, loopback

pytestmark = pytest.mark.once

BODY = b"{}"


def drip() -> Iterator[bytes]:
    """The beginning of a reply, and then a byte of it now and then."""
    yield b"HTTP/1.1 200 OK\r\nX: "
    while True:
        time.sleep(0.05)
        yield b"x"


@pytest.fixture
def receiver() -> Iterator[Loopback]:
    with loopback(lambda _: http(200)) as running:
        yield running


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0"),
        *("100.64.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.2.1"),
        *("::1", "::", "fe80::1", "fc00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1"),
        *("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2001:db8::1"),
    ],
)
def test_private_and_local_addresses_are_refused_in_every_disguise(address: str) -> None:
    assert not posting.may_connect(ip_address(address), encrypted=True)


def test_public_addresses_are_for_tls_alone_and_listed_ones_for_both(settings: Settings) -> None:
    public = ip_address("93.184.216.34")
    assert posting.may_connect(public, encrypted=True)
    assert not posting.may_connect(public, encrypted=False)
    settings.NOTICE_NETWORKS = [ip_network("10.1.0.0/16")]
    assert posting.may_connect(ip_address("10.1.2.3"), encrypted=False)
    assert posting.may_connect(ip_address("::ffff:10.1.2.3"), encrypted=False)
    assert not posting.may_connect(ip_address("10.2.0.1"), encrypted=True)


def test_nothing_is_sent_to_this_machine_unless_it_is_listed(
    receiver: Loopback, settings: Settings
) -> None:
    for url in (receiver.url, receiver.url.replace("127.0.0.1", "localhost")):
        with pytest.raises(DeliveryFailed, match="private or local"):
            posting.post(url, BODY, {})
    assert receiver.heard == []
    settings.NOTICE_NETWORKS = [ip_network("127.0.0.0/8"), ip_network("::1/128")]
    posting.post(receiver.url, BODY, {})
    assert len(receiver.heard) == 1


def test_a_name_that_resolves_to_this_machine_only_at_the_second_look_up_gains_nothing(
    receiver: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = receiver.server_address[1]
    answers = ["93.184.216.34", "127.0.0.1"]
    connected: list[str] = []

    def resolve(*_: Any, **__: Any) -> list[Any]:
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (found, port))]

    def connect(address: tuple[str, int], *_: Any, **__: Any) -> socket.socket:
        connected.append(address[0])
        raise ConnectionRefusedError("nobody there")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(posting, "create_connection", connect)
    with pytest.raises(DeliveryFailed):
        posting.post(f"https://rebinding.example:{port}/", BODY, {})
    assert connected == ["93.184.216.34"]
    with pytest.raises(DeliveryFailed, match="private or local"):
        posting.post(f"https://rebinding.example:{port}/", BODY, {})
    assert connected == ["93.184.216.34"]
    assert receiver.heard == []


def test_a_receiver_that_drips_or_floods_holds_nobody(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.NOTICE_NETWORKS = [ip_network("127.0.0.0/8")]
    monkeypatch.setattr(posting, "REPLY_SECONDS", 0.4)
    with (
        loopback(lambda _: Said(drip(), "close")) as running,
        pytest.raises(DeliveryFailed, match="too long"),
    ):
        posting.post(running.url, BODY, {})
    flood: Said = http(500, b"x" * 5_000_000)
    with loopback(lambda _: flood) as running, pytest.raises(DeliveryFailed) as error:
        posting.post(running.url, BODY, {})
    assert len(error.value.words) < 3_000


@pytest.mark.parametrize(
    "url", ["ftp://x", "https://", "http://u:p@x/", "//x", "x", "https://x:y/"]
)
def test_what_is_no_web_address_has_no_host(url: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        posting.host_of(url)
