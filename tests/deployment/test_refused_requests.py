"""What the web server itself refuses is answered by a page in words."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.refusals import LONGEST_LINE
from tests.deployment.loading import BASE


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """gunicorn with our configuration, on a socket of its own."""
    folder = tmp_path_factory.mktemp("web")
    path = folder / "web"
    environment = {"DATA_DIR": str(folder), "ENV_FILE": os.devnull, "WEB_CONCURRENCY": "1"}
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "gunicorn", "--config", "config/gunicorn.py"),
            *("--bind", f"unix:{path}"),
        ],
        cwd=BASE,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(300):
            if b"200 OK" in answer(path, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"):
                break
            assert process.poll() is None, "gunicorn has ended"
            time.sleep(0.2)
        yield path
    finally:
        process.terminate()
        process.wait(30)


def answer(path: Path, request: str) -> bytes:
    """All that comes back for a request; empty where nobody listens yet."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        try:
            client.connect(str(path))
        except OSError:
            return b""
        client.sendall(request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1).encode())
        received = b""
        while piece := client.recv(65_536):
            received += piece
    return received


@pytest.mark.parametrize("length", [LONGEST_LINE + 1, 60_000, 400_000])
def test_an_address_that_is_too_long_leads_to_the_paste_box(server: Path, length: int) -> None:
    line = f"GET /batchops/batch/?q={'x' * length} HTTP/1.1"
    page = answer(server, f"{line}\r\nHost: localhost\r\n\r\n").decode()
    assert page.startswith("HTTP/1.1 414 ")
    assert "This address is too long" in page
    assert 'href="/batchops/batch/paste/"' in page


def test_as_many_ids_as_fit_into_an_address_reach_the_site(server: Path) -> None:
    ids = "+".join(f"20261124.{number}" for number in range(500))
    page = answer(server, f"GET /batchops/batch/?q={ids} HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert page.startswith(b"HTTP/1.1 302 ")


@pytest.mark.parametrize(
    "headers", [f"Cookie: time_zone={'x' * 9_000}", "\r\n".join(f"X-{n}: 1" for n in range(200))]
)
def test_headers_that_are_too_large_are_explained(server: Path, headers: str) -> None:
    page = answer(server, f"GET / HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n\r\n").decode()
    assert page.startswith("HTTP/1.1 431 ")
    assert "Delete them, then sign in again." in page


def test_what_is_no_http_at_all_is_refused_as_before(server: Path) -> None:
    assert b" 400 " in answer(server, "nonsense\r\n\r\n")
