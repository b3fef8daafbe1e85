"""What gunicorn refuses before Django sees it, said in words that help."""

from __future__ import annotations

import contextlib
import socket
from typing import Any, Final

from gunicorn.http.errors import LimitRequestHeaders, LimitRequestLine
from gunicorn.workers.gthread import ThreadWorker

LONGEST_LINE: Final = 8190
"""Characters of an address, the most that gunicorn takes; so many ids fit in no address."""
DRAINED_BYTES: Final = 1024 * 1024
DRAINED_SECONDS: Final = 1.0

PAGE: Final = """<!DOCTYPE html>
<html lang="en-gb">
<head><meta charset="utf-8"><title>{title} | batchops</title></head>
<body>
<h1>{title}</h1>
<p>{words} Nothing was done with it.</p>
<p><a href="{address}">{way_on}</a></p>
</body>
</html>
"""
TOO_LONG: Final = (
    "414 URI Too Long",
    "This address is too long",
    f"An address has at most {LONGEST_LINE:,} characters. To work with many batches, paste their "
    "ids as a list.",
    "/batchops/batch/paste/",
    "Paste ids of batches",
)
TOO_MANY_HEADERS: Final = (
    "431 Request Header Fields Too Large",
    "Your browser sent too much",
    "Its cookies for this site are too many or too long. Delete them, then sign in again.",
    "/",
    "To the overview",
)


class Worker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's worker with threads, whose limits are answered by a page."""

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: BaseException) -> None:
        if isinstance(exc, LimitRequestLine):
            refused = TOO_LONG
        elif isinstance(exc, LimitRequestHeaders):
            refused = TOO_MANY_HEADERS
        else:
            super().handle_error(req, client, addr, exc)
            return
        self.log.warning("Refused a request from %s: %s", (addr or ("-",))[0], refused[0])
        with contextlib.suppress(OSError):
            _answer(client, *refused)


def _answer(
    client: socket.socket, status: str, title: str, words: str, address: str, way_on: str
) -> None:
    page = PAGE.format(title=title, words=words, address=address, way_on=way_on).encode()
    head = (
        f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: text/html; charset=utf-8\r\n"
        f"Content-Length: {len(page)}\r\nContent-Security-Policy: default-src 'none'\r\n"
        "X-Content-Type-Options: nosniff\r\n\r\n"
    )
    client.settimeout(DRAINED_SECONDS)
    client.sendall(head.encode() + page)
    client.shutdown(socket.SHUT_WR)
    # A connection that is closed with something unread is reset, and the page would be lost.
    left = DRAINED_BYTES
    while left > 0 and (piece := client.recv(64 * 1024)):
        left -= len(piece)
