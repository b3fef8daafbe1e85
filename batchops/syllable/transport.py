"""How requests travel: one deadline for a whole reply, no redirects, and knowing what was sent.

The time-outs of requests count the silence between two packets, so a server that sends a byte now
and then could hold a thread for ever. Here the read time-out covers the whole reply.
"""

from __future__ import annotations

import http.client
import http.cookiejar
import io
import socket
import time
from typing import Any, Final, cast

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, ProxyManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError


class _UntilDeadline(io.RawIOBase):
    """Reads from a socket, allowing each read only what is left until the deadline."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        super().__init__()
        self._raw = raw
        self._socket = sock
        seconds = sock.gettimeout()
        self._deadline = None if seconds is None else time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._deadline is not None:
            remaining = self._deadline - time.monotonic()
            if remaining <= 0:
                raise TimeoutError("the reply took too long")
            self._socket.settimeout(remaining)
        return cast("int | None", self._raw.readinto(buffer))

    def close(self) -> None:
        self._raw.close()
        super().close()


class _TimedResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_UntilDeadline(self.fp.detach(), sock))


class PlainConnection(HTTPConnection):
    response_class = _TimedResponse


class TLSConnection(HTTPSConnection):
    response_class = _TimedResponse

    def connect(self) -> None:
        # A handshake that fails looks like a lost reply to urllib3, though nothing was sent.
        try:
            super().connect()
        except ConnectTimeoutError:
            raise
        except (OSError, HTTPError) as error:
            raise NewConnectionError(self, str(error)) from error


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = PlainConnection


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = TLSConnection


_POOLS: Final[dict[str, Any]] = {"http": _PlainPool, "https": _TLSPool}


class Transport(HTTPAdapter):
    """The connections to the vendor, shared by all threads of a process."""

    poolmanager: PoolManager

    def __init__(self, pool_size: int) -> None:
        super().__init__(pool_connections=1, pool_maxsize=pool_size)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> ProxyManager:
        manager = cast(ProxyManager, super().proxy_manager_for(*args, **kwargs))
        manager.pool_classes_by_scheme = _POOLS
        return manager


class Session(requests.Session):
    """A session that keeps no cookies and never looks where a redirect leads.

    requests follows redirects to other hosts and sends our own header along; even when told not
    to, it reads the whole body of a redirect, however long.
    """

    def __init__(self, transport: Transport, *, trust_env: bool) -> None:
        super().__init__()
        self.trust_env = trust_env
        self.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
        self.mount("https://", transport)
        self.mount("http://", transport)

    def get_redirect_target(self, resp: requests.Response) -> None:  # noqa: ARG002
        return None


def never_sent(error: Exception) -> bool:
    """Whether a request failed before any of it reached the vendor."""
    if isinstance(error, requests.ConnectTimeout | requests.exceptions.ProxyError):
        return True
    return isinstance(_reason(error), ConnectTimeoutError)


def describe_failure(error: Exception) -> str:
    """Why a request failed, in a few words without addresses of objects."""
    if isinstance(error, requests.Timeout):
        return "it took too long"
    innermost = _innermost(error)
    words = innermost.strerror if isinstance(innermost, OSError) else None
    return words or str(innermost) or "no reason given"


def _innermost(error: BaseException) -> BaseException:
    """What broke: the libraries wrap it, as reason, cause or argument, several times over."""
    wrapped = (getattr(error, "reason", None), error.__cause__, *error.args)
    inner = next((one for one in wrapped if isinstance(one, Exception)), None)
    return error if inner is None else _innermost(inner)


def _reason(error: Exception) -> object:
    cause = error.args[0] if error.args else None
    return getattr(cause, "reason", None)
