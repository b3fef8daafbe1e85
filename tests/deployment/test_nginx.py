"""The sample configuration of nginx: nginx takes it, and slow connections do not stop the site."""

from __future__ import annotations

import contextlib
import http.server
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tools import topology

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")

pytestmark = pytest.mark.skipif(
    NGINX is None, reason="nginx is not installed (apt-get install nginx)"
)


@dataclass
class Upstream:
    """Stands where the web server would, with one thread, and keeps the headers of each request."""

    server: http.server.HTTPServer
    seen: list[dict[str, str]] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            stand_in.seen.append({name.lower(): value for name, value in self.headers.items()})
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        stand_in = Upstream(server)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield stand_in
        server.shutdown()


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    """A whole configuration around the sample, on sockets in a folder, with its own certificate."""
    topology.make_certificate(tmp_path)
    upstream = (topology.DEPLOY / "nginx" / "upstream.conf").read_text()
    path = tmp_path / "nginx.conf"
    path.write_text(topology.nginx_configuration(tmp_path, upstream, f"unix:{tmp_path}/tls"))
    return path


@contextlib.contextmanager
def running(configuration: Path, upstream: Upstream) -> Iterator[Path]:
    """nginx with the sample; yields the socket that speaks TLS."""
    folder = configuration.parent
    text = configuration.read_text().replace("127.0.0.1:8000", f"127.0.0.1:{upstream.port}")
    configuration.write_text(text)
    with subprocess.Popen([str(NGINX), "-c", str(configuration), "-p", str(folder)]) as process:
        try:
            deadline = time.monotonic() + 30
            while not (folder / "tls").exists() and time.monotonic() < deadline:
                assert process.poll() is None
                time.sleep(0.02)
            yield folder / "tls"
        finally:
            process.terminate()


def connected(path: Path) -> ssl.SSLSocket:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    plain = socket.socket(socket.AF_UNIX)
    plain.settimeout(30)
    plain.connect(str(path))
    return context.wrap_socket(plain)


def test_nginx_takes_the_sample(configuration: Path) -> None:
    done = subprocess.run(
        [str(NGINX), "-t", "-c", str(configuration), "-p", str(configuration.parent)],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    assert "test is successful" in done.stderr
    assert "warn" not in done.stderr


def test_slow_connections_take_none_of_the_threads_of_the_web_server(
    configuration: Path, upstream: Upstream
) -> None:
    half = (
        b"POST /login/ HTTP/1.1\r\nHost: batchops.example.com\r\nContent-Length: 1000\r\n\r\nhalf"
    )
    with running(configuration, upstream) as path, contextlib.ExitStack() as stack:
        for _ in range(30):
            stack.enter_context(connected(path)).sendall(half)
        quick = stack.enter_context(connected(path))
        quick.sendall(b"GET / HTTP/1.0\r\nHost: batchops.example.com\r\n\r\n")
        assert quick.recv(100).startswith(b"HTTP/1.1 200")
        assert len(upstream.seen) == 1


def test_what_clients_say_of_themselves_is_not_handed_on(
    configuration: Path, upstream: Upstream
) -> None:
    with running(configuration, upstream) as path, connected(path) as client:
        client.sendall(
            b"GET / HTTP/1.0\r\nHost: batchops.example.com\r\nX-Forwarded-For: 203.0.113.9\r\n"
            b"X-Forwarded-Proto: http\r\nForwarded: for=203.0.113.9\r\nX-Request-ID: forged\r\n"
            b"SCRIPT_NAME: /evil\r\n\r\n"
        )
        client.recv(100)
    (seen,) = upstream.seen
    assert "203.0.113.9" not in str(seen)
    assert (seen["x-forwarded-proto"], seen["host"]) == ("https", "batchops.example.com")
    assert seen["x-request-id"] != "forged"
    assert "script_name" not in seen
