"""`manage.py sandbox` as its own process: state across restarts, signals, bad arguments."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from django.core.management import execute_from_command_line

from batchops.sandbox.generator import make_world
from batchops.sandbox.storage import FORMAT, StateFile, restore_or_make

ROOT = Path(__file__).resolve().parents[2]
HEADERS = {"Syllable-API-Key": "sandbox-key"}
BATCHES = "/api/v1/outbound/batches"


class Running:
    """A sandbox process and its address."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "manage.py", "sandbox", "--port", "0", *arguments]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert self.process.stdout is not None
        self.said: list[str] = []
        for line in self.process.stdout:
            self.said.append(line)
            if "listening on" in line:
                self.url = line.split()[-1]
                return
        raise AssertionError(f"The sandbox did not start: {self.said}")

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        code = self.process.wait(10)
        assert self.process.stdout is not None
        self.said += self.process.stdout.readlines()
        return code

    def pause(self, batch_id: str) -> None:
        url = f"{self.url}{BATCHES}/{batch_id}"
        requests.put(url, json={"paused": True}, headers=HEADERS, timeout=5).raise_for_status()

    def paused(self, batch_id: str) -> bool:
        reply = requests.get(f"{self.url}{BATCHES}/{batch_id}", headers=HEADERS, timeout=5)
        return bool(reply.json()["paused"])

    def ids(self, **search: str) -> list[str]:
        reply = requests.get(self.url + BATCHES, params=search, headers=HEADERS, timeout=5)
        return [item["batch_id"] for item in reply.json()["items"]]


@pytest.fixture
def start() -> Iterator[Callable[..., Running]]:
    """A factory of sandbox processes that are gone at the end."""
    started: list[Running] = []

    def begin(*arguments: str) -> Running:
        started.append(Running(*arguments))
        return started[-1]

    yield begin
    for running in started:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait()
        if running.process.stdout:
            running.process.stdout.close()


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What the command says when it does not start."""

    def run_here(*arguments: str) -> str:
        with pytest.raises(SystemExit) as end:
            execute_from_command_line(["manage.py", "sandbox", "--port", "0", *arguments])
        assert end.value.code not in (0, None)
        said = capsys.readouterr()
        assert "listening" not in said.out
        return said.err

    return run_here


def refused_process(*arguments: str, before: Callable[[], None] | None = None) -> str:
    """The same in a process of its own, in which `before` runs first."""
    command = [sys.executable, "manage.py", "sandbox", "--port", "0", *arguments]
    # What measures coverage would itself fail on a full disk.
    unmeasured = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE")}
    run = subprocess.run(
        command, cwd=ROOT, env=unmeasured, capture_output=True, text=True, preexec_fn=before
    )
    assert run.returncode != 0
    assert "Traceback" not in run.stderr
    return run.stderr


def test_a_restart_keeps_what_was_changed(start: Callable[..., Running], tmp_path: Path) -> None:
    arguments = ("--state", str(tmp_path / "world.state"), "--batches", "30")
    first = start(*arguments)
    active, other = first.ids(search_fields="status", search_field_values="ACTIVE")[:2]
    listed = first.ids(limit="30")
    first.pause(active)
    assert first.end(signal.SIGINT) == 0
    second = start(*arguments)
    second.pause(other)
    assert second.end(signal.SIGTERM) == 0
    third = start(*arguments)
    assert third.paused(active)
    assert third.paused(other)
    assert third.ids(limit="30") == listed
    assert "restored from" in "".join(third.said)


def test_kill_9_keeps_what_was_changed_a_moment_before(
    start: Callable[..., Running], tmp_path: Path
) -> None:
    arguments = ("--state", str(tmp_path / "world.state"), "--batches", "30")
    first = start(*arguments)
    active = first.ids(search_fields="status", search_field_values="ACTIVE")[0]
    gone = next(batch_id for batch_id in first.ids() if batch_id != active)
    first.pause(active)
    requests.delete(f"{first.url}/_sandbox/batches/{gone}?hard", timeout=5).raise_for_status()
    time.sleep(1)
    first.end(signal.SIGKILL)
    second = start(*arguments)
    assert second.paused(active)
    assert gone not in second.ids(limit="30")


def test_it_ends_at_once_even_while_requests_wait(start: Callable[..., Running]) -> None:
    running = start("--latency", "30")
    with pytest.raises(requests.ReadTimeout):
        requests.get(running.url + BATCHES, headers=HEADERS, timeout=0.3)
    assert running.end(signal.SIGTERM) == 0  # Within ten seconds, and not the thirty.
    assert "Traceback" not in "".join(running.said)


def test_flags_set_the_key_the_size_the_largest_page_and_the_faults(
    start: Callable[..., Running],
) -> None:
    running = start(
        *("--key", "other", "--batches", "5", "--campaigns", "2", "--max-limit", "3"),
        *("--rate-limit", "1000", "--jitter", "0.01", "--faults", '{"error_503": 0.5}'),
    )
    health = requests.get(running.url + "/_sandbox/health", timeout=5).json()
    faults = requests.get(running.url + "/_sandbox/faults", timeout=5).json()
    assert (health["batches"], health["campaigns"]) == (5, 2)
    assert (faults["error_503"], faults["rate_limit"], faults["jitter"]) == (0.5, 1000, 0.01)
    requests.delete(running.url + "/_sandbox/faults", timeout=5)
    other = {"Syllable-API-Key": "other"}
    too_many = requests.get(running.url + BATCHES, params={"limit": 4}, headers=other, timeout=5)
    wrong_key = requests.get(running.url + BATCHES, headers=HEADERS, timeout=5)
    assert (too_many.status_code, wrong_key.status_code) == (422, 401)


def test_quiet_says_only_where_it_listens(start: Callable[..., Running]) -> None:
    assert len(start("--quiet").said) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--host", "0.0.0.0"), "'0.0.0.0' is not a loopback address"),
        (("--host", "example.com"), "'example.com' is not a loopback address"),
        (("--port", "70000"), "argument --port: 70000 is not between 0 and 65535"),
        (("--port", "http"), "argument --port: 'http' is not a whole number"),
        (("--batches", "-1"), "argument --batches: -1 is not between 0 and"),
        (("--campaigns", "many"), "argument --campaigns: 'many' is not a whole number"),
        (("--seed", "1.5"), "argument --seed: '1.5' is not a whole number"),
        (("--latency", "nan"), "argument --latency: nan is not between 0 and 3600 seconds"),
        (("--jitter", "-1"), "argument --jitter: -1 is not between 0 and 3600 seconds"),
        (("--rate-limit", "fast"), "'fast' is not a number of requests per second"),
        (("--max-limit", "0"), "argument --max-limit: 0 is not between 1 and"),
        (("--key", ""), "argument --key: A key is printable ASCII"),
        (("--faults", "{"), "argument --faults: This is not JSON"),
        (("--faults", "[]"), "argument --faults: Give a JSON object"),
        (("--faults", '{"error_599": 1}'), "--faults: There is no fault 'error_599'"),
        (("--state", "/dev/null/world"), "/dev/null/world cannot be opened"),
    ],
)
def test_a_bad_argument_is_explained(
    refused: Callable[..., str], arguments: tuple[str, ...], message: str
) -> None:
    assert message in refused(*arguments)


def test_a_port_in_use_is_explained() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"Cannot listen on 127.0.0.1:{port}" in refused_process("--port", str(port))


def test_a_damaged_state_file_is_explained_and_left_alone(
    refused: Callable[..., str], tmp_path: Path
) -> None:
    state = tmp_path / "world.state"
    state.write_bytes(b"this is no database " * 100)
    before = state.read_bytes()
    assert "is damaged or not a state file" in refused("--state", str(state))
    assert "Move it away or delete it" in refused("--state", str(state))
    assert state.read_bytes() == before


def test_a_damaged_row_of_the_state_file_is_explained(
    refused: Callable[..., str], tmp_path: Path
) -> None:
    state = tmp_path / "world.state"
    with contextlib.closing(StateFile(state)) as file:
        restore_or_make(file, lambda: make_world(batches=2))
    with sqlite3.connect(state) as database:
        database.execute("UPDATE batch SET data = '{\"batch_id\": 1}'")
    database.close()
    assert "is damaged or not a state file" in refused("--state", str(state))


def test_a_database_of_another_kind_is_refused(refused: Callable[..., str], tmp_path: Path) -> None:
    state = tmp_path / "other.state"
    with sqlite3.connect(state) as database:
        database.execute("CREATE TABLE other (id INTEGER)")
        database.execute(f"PRAGMA user_version={FORMAT + 1}")
    database.close()
    assert "was not written by this version" in refused("--state", str(state))


def test_a_state_file_in_use_is_refused(tmp_path: Path) -> None:
    state = tmp_path / "world.state"
    with contextlib.closing(StateFile(state)):
        assert "is in use by another sandbox" in refused_process("--state", str(state))


def test_a_full_disk_is_explained_and_leaves_no_half_written_world(tmp_path: Path) -> None:
    arguments = ("--state", str(tmp_path / "world.state"), "--batches", "1000")

    def leave_little_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    assert "cannot be written" in refused_process(*arguments, before=leave_little_room)
    with contextlib.closing(StateFile(tmp_path / "world.state")) as file:
        assert file.load() is None


def test_a_folder_is_no_state_file(refused: Callable[..., str], tmp_path: Path) -> None:
    assert f"{tmp_path} cannot be opened" in refused("--state", str(tmp_path))
