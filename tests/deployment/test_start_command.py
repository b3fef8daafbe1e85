"""manage.py start, which is `make run`: real processes, as a person has them."""

from __future__ import annotations

import contextlib
import http.cookiejar
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import psutil
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from pytest_django import Settings

from batchops.management.commands import start
from batchops.sandbox.embedded import EmbeddedSandbox
from config import gunicorn
from tests.deployment.loading import BASE

pytestmark = pytest.mark.xdist_group("start")

PATIENCE_SECONDS = 90
EVERYTHING_RUNS = "Ctrl-C ends it."


class Started:
    """A `manage.py start` under way, with what it has printed so far."""

    def __init__(self, data_dir: Path, **environment: str) -> None:
        self.web_port, self.sandbox_port = _free_port(), _free_port()
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(data_dir),
            "ENV_FILE": os.devnull,
            "DATA_DIR": str(data_dir),
            "WEB_PORT": str(self.web_port),
            "SANDBOX_PORT": str(self.sandbox_port),
            "WEB_CONCURRENCY": "1",
            **{name: value for name, value in os.environ.items() if name.startswith("COVERAGE")},
            "STATIC_ROOT": os.environ["STATIC_ROOT"],
            **environment,
        }
        self.process = self.launch()
        self.output = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def launch(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "manage.py", "start"],
            cwd=BASE,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    @property
    def address(self) -> str:
        return f"http://localhost:{self.web_port}"

    def wait_for(self, text: str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while text not in self.output:
            assert self.process.poll() is None, self.output
            assert time.monotonic() < deadline, self.output
            time.sleep(0.05)

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        code = self.process.wait(PATIENCE_SECONDS)
        self._reader.join(PATIENCE_SECONDS)
        return code

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output += line


@pytest.fixture(scope="module", autouse=True)
def static_root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A folder of their own for the static files, which the first start collects."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STATIC_ROOT", str(tmp_path_factory.mktemp("static")))
        yield


@contextlib.contextmanager
def started(data_dir: Path, **environment: str) -> Iterator[Started]:
    run = Started(data_dir, **environment)
    try:
        yield run
    finally:
        if run.process.poll() is None:
            run.end(signal.SIGTERM)


def sign_in(address: str, username: str, password: str) -> str:
    """Sign in as a browser would; returns the page that follows."""
    jar = http.cookiejar.CookieJar()
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
    form = browser.open(f"{address}/login/?next=/").read().decode()
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', form)
    assert token
    fields = {"username": username, "password": password, "csrfmiddlewaretoken": token[1]}
    data = urllib.parse.urlencode({**fields, "next": "/"}).encode()
    page: str = browser.open(f"{address}/login/?next=/", data).read().decode()
    return page


def test_a_first_start_a_sign_in_and_an_end(tmp_path: Path) -> None:
    with started(tmp_path) as run:
        run.wait_for(EVERYTHING_RUNS)
        assert run.address in run.output
        assert "On the sandbox" in run.output
        signing_in = re.search(r"operator +(\S+)", run.output)
        assert signing_in
        assert "operator" in sign_in(run.address, "operator", signing_in[1])
        ready = urllib.request.urlopen(f"{run.address}/readyz")
        assert ready.status == 200

        programs = run.children()
        assert len(programs) >= 3
        assert run.end(signal.SIGTERM) == 0
        assert "batchops has ended." in run.output
        assert left_of(programs) == []
        assert "Traceback" not in run.output
    for_the_second_start(tmp_path, signing_in[1])


def for_the_second_start(data_dir: Path, password: str) -> None:
    """Passwords are not shown again; a dead worker is replaced; a kill leaves no program."""
    with started(data_dir) as run:
        run.wait_for(EVERYTHING_RUNS)
        assert password not in run.output
        assert "demo-passwords.txt" in run.output
        assert "operator" in sign_in(run.address, "operator", password)

        worker = named(run, "worker")
        worker.kill()
        run.wait_for("The worker ended with exit code -9. It is started again.")
        assert named(run, "worker").pid != worker.pid

        programs = run.children()
        run.end(signal.SIGKILL)
        _, alive = psutil.wait_procs(programs, PATIENCE_SECONDS)
        assert alive == []


def left_of(programs: list[psutil.Process]) -> list[psutil.Process]:
    """Those that still run; whose parent was killed may stay in the list of processes, ended."""
    return [
        program
        for program in programs
        if program.is_running() and program.status() != psutil.STATUS_ZOMBIE
    ]


def named(run: Started, name: str) -> psutil.Process:
    """The program of that name; a new one becomes itself a moment after it has begun."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        found = [program for program in run.children() if name in program.cmdline()]
        if found:
            return found[0]
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("variable", ["WEB_PORT", "SANDBOX_PORT"])
def test_a_port_in_use_is_reported_before_anything_starts(
    variable: str, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    settings.DEMO = True
    monkeypatch.setattr(start, "call_command", mock.Mock(side_effect=AssertionError))
    with socket.socket() as occupant:
        occupant.bind(("127.0.0.1", 0))
        occupant.listen()
        port = occupant.getsockname()[1]
        monkeypatch.setattr(gunicorn, "PORT", port if variable == "WEB_PORT" else _free_port())
        settings.SANDBOX_PORT = port if variable == "SANDBOX_PORT" else _free_port()
        with pytest.raises(CommandError, match=f"Port {port} on 127.0.0.1 is in use") as refused:
            call_command("start")
    assert f"{variable}={port + 1} make run" in str(refused.value)


def test_an_address_that_is_not_of_this_machine_is_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gunicorn, "HOST", "192.0.2.1")
    with pytest.raises(CommandError, match=r"Cannot listen on 192\.0\.2\.1"):
        call_command("start")


def test_a_bad_setting_is_one_line_that_names_it(tmp_path: Path) -> None:
    with started(tmp_path, SYNC_INTERVAL="often") as run:
        assert run.wait() == 1
    assert "SYNC_INTERVAL is 'often', but must be a whole number from 10 to 86400." in run.output


def test_with_a_key_it_runs_against_the_vendor_without_sandbox_or_demo_people(
    tmp_path: Path,
) -> None:
    with EmbeddedSandbox(key="a-real-key") as vendor:
        vendor.add_batch(batch_id="20261124.1", campaign_id=1)
        key = {"SYLLABLE_API_KEY": "a-real-key", "SYLLABLE_BASE_URL": vendor.url}
        with started(tmp_path, SECRET_KEY="s" * 50, **key) as run:
            run.wait_for(EVERYTHING_RUNS)
            assert vendor.journal("GET")
            with contextlib.suppress(urllib.error.HTTPError):
                form = urllib.request.urlopen(f"{run.address}/login/")
            assert form.status == 200
            programs = run.children()
            assert [p for p in programs if "sandbox" in p.cmdline()] == []
            named(run, "worker")
            named(run, "config/gunicorn.py").kill()
            assert run.wait() == 1
            assert left_of(programs) == []
    assert "The web server ended with exit code -9. The others were ended too." in run.output
    assert f"Against {vendor.url}" in run.output
    assert "createsuperuser" in run.output
    assert "HTTPS_ONLY is off" in run.output
    assert "a-real-key" not in run.output
    assert not (tmp_path / "demo-passwords.txt").exists()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
