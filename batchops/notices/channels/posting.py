"""Sends a body to a web address that somebody entered: to public hosts alone, and not elsewhere.

Each address that a name stands for is judged, and the very one that was judged is connected to: a
name that stands for another at a second look-up gains nothing. No redirect is followed, no proxy
of the environment used, no reply waited for beyond a deadline or read beyond a size.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from django.conf import settings
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NewConnectionError
from urllib3.util.connection import create_connection

from batchops.notices.channels.failures import DeliveryFailed
from batchops.syllable.transport import (
    PlainConnection,
    Session,
    TLSConnection,
    Transport,
    describe_failure,
)

CONNECT_SECONDS: Final = 5.0
REPLY_SECONDS: Final = 10.0
READ_MOST: Final = 2_000
"""Bytes read of a reply, for its words."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class _Forbidden(OSError):
    """An address that must not be connected to."""


def post(url: str, body: bytes, headers: Mapping[str, str]) -> None:
    """Send a body. Raises DeliveryFailed unless the other side says that it took it."""
    with _session() as session:
        try:
            with session.post(
                url,
                data=body,
                headers={"User-Agent": "batchops", **headers},
                timeout=(CONNECT_SECONDS, REPLY_SECONDS),
                allow_redirects=False,
                stream=True,
            ) as reply:
                status, words = reply.status_code, _words(reply)
        except requests.RequestException as error:
            raise DeliveryFailed(describe_failure(error)) from error
    if not 200 <= status < 300:
        raise DeliveryFailed(f"HTTP {status}: {words}", status=status)


def host_of(url: str) -> str:
    """The host of a web address, which may be shown. Raises ValueError for what is none."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise ValueError(url)
    port = parts.port
    return parts.hostname if port is None else f"{parts.hostname}:{port}"


def may_connect(address: Address, *, encrypted: bool) -> bool:
    """Whether messages may go to an address: a listed one, or over TLS to a public one."""
    inner = _inner(address)
    if any(one in network for network in settings.NOTICE_NETWORKS for one in {address, inner}):
        return True
    return encrypted and inner.is_global and not inner.is_multicast


def _inner(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for, by any of the ways of translation."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo[1] if address.teredo else None
    return address.ipv4_mapped or address.sixtofour or teredo or address


_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


def _connect(connection: Any, *, encrypted: bool) -> socket.socket:
    """Connect to the first address of a host that may be connected to and answers."""
    problem: OSError | None = None
    try:
        found = socket.getaddrinfo(connection._dns_host, connection.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NewConnectionError(connection, f"the name cannot be resolved: {error}") from error
    for *_, (host, port, *_more) in found:
        address = ipaddress.ip_address(str(host).partition("%")[0])
        if not may_connect(address, encrypted=encrypted):
            words = "not over plain HTTP" if address.is_global else "a private or local address"
            problem = _Forbidden(f"it is not sent to {address}, {words}; see NOTICE_NETWORKS")
            continue
        try:
            # A number, so nothing is looked up again.
            return create_connection((str(address), int(port)), connection.timeout)
        except OSError as error:
            problem = error
    raise NewConnectionError(connection, str(problem)) from problem


class _PlainConnection(PlainConnection):
    def _new_conn(self) -> socket.socket:
        return _connect(self, encrypted=False)


class _TLSConnection(TLSConnection):
    def _new_conn(self) -> socket.socket:
        return _connect(self, encrypted=True)


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _PlainConnection


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


class _Transport(Transport):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        pools: dict[str, Any] = {"http": _PlainPool, "https": _TLSPool}
        self.poolmanager.pool_classes_by_scheme = pools


def _session() -> Session:
    return Session(_Transport(1), trust_env=False)


def _words(reply: requests.Response) -> str:
    """What the other side said, as far as it is text for people."""
    try:
        body = reply.raw.read(READ_MOST, decode_content=False) or b""
    except Exception:  # noqa: BLE001  the status counts, whatever becomes of the words
        return str(reply.reason or "")
    text = body.decode("utf-8", "replace")
    if "html" in reply.headers.get("Content-Type", "").lower():
        return f"{reply.reason or ''} (a page of HTML)".strip()
    return text or str(reply.reason or "")
