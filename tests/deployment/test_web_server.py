"""gunicorn with our configuration: what a client says of host, path and scheme moves nothing."""

from __future__ import annotations

import http.client
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deployment.loading import BASE


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """The port of a web server that was started with SCRIPT_NAME in its environment."""
    environment = {
        "PATH": os.environ["PATH"],
        "ENV_FILE": os.devnull,
        "DATA_DIR": str(tmp_path),
        "STATIC_ROOT": str(tmp_path / "static"),
        "SCRIPT_NAME": "/evil",
        "WEB_CONCURRENCY": "1",
    }
    command = (sys.executable, "-m", "gunicorn", "--config", "config/gunicorn.py")
    with subprocess.Popen(
        [*command, "--bind", "127.0.0.1:0"],
        cwd=BASE,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        try:
            listening = (re.search(r"Listening at: .*:(\d+)", line) for line in process.stderr)
            yield next(int(found[1]) for found in listening if found)
        finally:
            process.terminate()
            process.stderr.read()


def get(port: int, path: str, **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    response.read()
    connection.close()
    return response


def test_a_path_in_front_of_the_site_is_taken_from_nobody(port: int) -> None:
    told = {"SCRIPT_NAME": "/evil", "SCRIPT-NAME": "/evil", "X-Forwarded-Prefix": "/evil"}
    for headers in ({}, told):
        response = get(port, "/", **headers)
        assert (response.status, response.headers["Location"]) == (302, "/login/?next=/")


def test_probes_come_by_any_name_and_pages_do_not(port: int) -> None:
    assert get(port, "/healthz", Host="10.1.2.3:8000").status == 200
    assert get(port, "/login/", Host="10.1.2.3:8000").status == 400
