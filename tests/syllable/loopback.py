"""A server on loopback that says exactly the bytes a test wants said, and keeps what it heard."""

from __future__ import annotations

import json
import socket
import socketserver
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from batchops.syllable.client import SyllableClient

KEY = "wire-key-0123456789"


@dataclass(frozen=True, slots=True)
class Heard:
    """One request as it arrived, before anything interpreted it."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Said:
    """What to answer: chunks of raw bytes, then keep the connection, close it, or reset it."""

    chunks: Iterable[bytes]
    ending: str = "keep"


Answer = Callable[[Heard], Said]


def raw(*chunks: bytes, ending: str = "close") -> Said:
    return Said(chunks, ending)


def http(status: int, body: bytes = b"", *, ending: str = "keep", **headers: str) -> Said:
    """A well-formed reply; header names are given with underscores."""
    lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return Said(["\r\n".join([*lines, "", ""]).encode("latin-1") + body], ending)


def said_json(data: object, status: int = 200, **headers: str) -> Said:
    return http(status, json.dumps(data).encode(), Content_Type="application/json", **headers)


def batch(batch_id: str = "20260324.9", /, **fields: Any) -> dict[str, Any]:
    return {"batch_id": batch_id, "campaign_id": 1, "last_updated_by": "a@example.com", **fields}


def page_of(*rows: object, page: int = 0, page_size: int = 25, **fields: Any) -> dict[str, Any]:
    return {"items": list(rows), "page": page, "page_size": page_size, **fields}


class Loopback(socketserver.ThreadingTCPServer):
    """The listening socket, its answer, and all requests heard so far."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, answer: Answer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = answer
        self.heard: list[Heard] = []
        self.stopping = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(socketserver.StreamRequestHandler):
    server: Loopback
    timeout = 20
    disable_nagle_algorithm = True

    def handle(self) -> None:
        try:
            while heard := self._hear():
                self.server.heard.append(heard)
                if not self._say(self.server.answer(heard)):
                    return
        except OSError:
            return

    def _hear(self) -> Heard | None:
        line = self.rfile.readline()
        if not line.strip():
            return None
        method, target, _ = line.decode("latin-1").split(" ", 2)
        headers: dict[str, str] = {}
        while (header := self.rfile.readline().decode("latin-1").strip()) != "":
            name, _, value = header.partition(":")
            headers[name.strip().lower()] = value.strip()
        body = self.rfile.read(int(headers.get("content-length", "0")))
        return Heard(method, target, headers, body)

    def _say(self, said: Said) -> bool:
        for chunk in said.chunks:
            if self.server.stopping.is_set():
                return False
            self.connection.sendall(chunk)
        if said.ending == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return said.ending == "keep"


@contextmanager
def loopback(answer: Answer) -> Iterator[Loopback]:
    """A server that gives each request its answer, until the block ends."""
    with Loopback(answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.stopping.set()
            server.shutdown()
            thread.join()


@contextmanager
def client_of(server: Loopback, **options: Any) -> Iterator[SyllableClient]:
    """A client of that server whose waits between tries take no time."""
    settings = {"read_timeout": 5.0, "sleep": lambda seconds: None, **options}
    client = SyllableClient(server.url, KEY, **settings)
    try:
        yield client
    finally:
        client.close()


@contextmanager
def answering(said: Said, **options: Any) -> Iterator[tuple[SyllableClient, Loopback]]:
    """A client, and the server that says the same to every request of it."""
    with loopback(lambda heard: said) as server, client_of(server, **options) as client:
        yield client, server


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
