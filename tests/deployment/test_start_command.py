"""manage.py start, which is `make run`: real processes, as a person has them."""

from __future__ import annotations

import contextlib
import fcntl
import http.cookiejar
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from batchops.sandbox.embedded import EmbeddedSandbox
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


@pytest.fixture(autouse=True)
def one_at_a_time() -> Iterator[None]:
    """The static files are collected into one folder, so no two may start at the same time."""
    with (Path(tempfile.gettempdir()) / "batchops-start.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
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


def test_a_first_start_a_sign_in_ctrl_c_and_a_second_start(tmp_path: Path) -> None:
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
        assert run.end() == 0
        assert "batchops has ended." in run.output
        assert [program for program in programs if program.is_running()] == []
        assert "Traceback" not in run.output

    with started(tmp_path) as again:
        again.wait_for(EVERYTHING_RUNS)
        assert signing_in[1] not in again.output
        assert "demo-passwords.txt" in again.output
        assert "operator" in sign_in(again.address, "operator", signing_in[1])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_end_it_as_cleanly(number: signal.Signals, tmp_path: Path) -> None:
    with started(tmp_path) as run:
        run.wait_for("Sandbox of the vendor's API listening")
        programs = run.children()
        assert run.end(number) == 0
        assert [program for program in programs if program.is_running()] == []


def test_a_worker_that_dies_is_started_again_and_any_other_program_ends_all(
    tmp_path: Path,
) -> None:
    with started(tmp_path) as run:
        run.wait_for(EVERYTHING_RUNS)
        worker = named(run, "worker")
        worker.kill()
        run.wait_for("The worker ended with exit code -9. It is started again.")
        assert named(run, "worker").pid != worker.pid
        programs = run.children()
        named(run, "sandbox").kill()
        assert run.wait() == 1
        assert "The sandbox ended with exit code -9. The others were ended too." in run.output
        assert [program for program in programs if program.is_running()] == []


def named(run: Started, name: str) -> psutil.Process:
    """The program of that name; a new one becomes itself a moment after it has begun."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        found = [program for program in run.children() if name in program.cmdline()]
        if found:
            return found[0]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_start_that_is_killed_leaves_no_program_running(tmp_path: Path) -> None:
    with started(tmp_path) as run:
        run.wait_for(EVERYTHING_RUNS)
        programs = run.children()
        run.end(signal.SIGKILL)
        _, alive = psutil.wait_procs(programs, PATIENCE_SECONDS)
        assert alive == []


@pytest.mark.parametrize("variable", ["WEB_PORT", "SANDBOX_PORT"])
def test_a_port_in_use_is_told_before_anything_starts(variable: str, tmp_path: Path) -> None:
    with socket.socket() as occupant:
        occupant.bind(("127.0.0.1", 0))
        occupant.listen()
        port = occupant.getsockname()[1]
        with started(tmp_path, **{variable: str(port)}) as run:
            assert run.wait() == 1
    assert f"Port {port} on 127.0.0.1 is in use" in run.output
    assert f"{variable}={port + 1} make run" in run.output
    assert not (tmp_path / "batchops.sqlite3").exists()


def test_an_address_that_is_not_of_this_machine_is_told(tmp_path: Path) -> None:
    with started(tmp_path, WEB_HOST="192.0.2.1") as run:
        assert run.wait() == 1
    assert "Cannot listen on 192.0.2.1" in run.output
    assert "Traceback" not in run.output


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
            assert [p for p in run.children() if "sandbox" in p.cmdline()] == []
    assert f"Against {vendor.url}" in run.output
    assert "createsuperuser" in run.output
    assert "HTTPS_ONLY is off" in run.output
    assert "a-real-key" not in run.output
    assert not (tmp_path / "demo-passwords.txt").exists()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
