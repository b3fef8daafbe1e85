"""Which address a request came from, and whom to believe about it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import Final, TypeAlias

from django.conf import settings
from django.http import HttpRequest

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

WITH_PORT: Final = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::\d{1,5})?|([0-9.]+):\d{1,5}", re.ASCII)
MACHINE_PATHS: Final = ("/healthz", "/readyz", "/metrics")
"""What load balancers and monitoring ask, often by address and not by name."""
FORWARDING_HEADERS: Final = (
    *("HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_HOST"),
    *("HTTP_FORWARDED", "HTTP_X_REAL_IP", "HTTP_VIA"),
)


def client_address(request: HttpRequest) -> Address | None:
    """The nearest address that is no trusted proxy; None where the connection has no address.

    `X-Forwarded-For` is read from its end, since only what trusted proxies added is true. What is
    no address ends the reading: the proxy before it is as much as is known.
    """
    address = parse(str(request.META.get("REMOTE_ADDR", "")))
    hops = str(request.META.get("HTTP_X_FORWARDED_FOR", "")).split(",")
    while address is not None and is_within(address, settings.TRUSTED_PROXIES) and hops:
        hop = parse(hops.pop())
        if hop is None:
            break
        address = hop
    return address


def comes_from_trusted_proxy(request: HttpRequest) -> bool:
    """Whether the other end of the connection is one of `TRUSTED_PROXIES`."""
    peer = parse(str(request.META.get("REMOTE_ADDR", "")))
    return peer is not None and is_within(peer, settings.TRUSTED_PROXIES)


def comes_from(request: HttpRequest, networks: Sequence[Network]) -> bool:
    """Whether it comes from one of the networks.

    Behind a proxy that is not trusted everybody has its address, so it counts for nothing.
    """
    address = client_address(request)
    is_known = comes_from_trusted_proxy(request) or not is_forwarded(request)
    return address is not None and is_known and is_within(address, networks)


def is_forwarded(request: HttpRequest) -> bool:
    """Whether something in between, trusted or not, says that it handed the request on."""
    return any(header in request.META for header in FORWARDING_HEADERS)


def parse(text: str) -> Address | None:
    """An address as proxies write it, with or without a port; None for anything else.

    IPv4 written as IPv6 is given as IPv4, and the zone of an IPv6 address, which is free text,
    is left out.
    """
    text = text.strip()
    if bare := WITH_PORT.fullmatch(text):
        text = bare[1] or bare[2]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        return address.ipv4_mapped or ipaddress.IPv6Address(int(address))
    return address


def is_within(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)
