"""The server for one command: it is there for the command, and nothing of it is left after."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import psutil
import psycopg
import pytest

from tools import postgres

HERE = Path(__file__).resolve().parent.parent.parent
NOT_INSTALLED = postgres.folder_of_programs() is None


@contextlib.contextmanager
def server() -> Iterator[str]:
    """A server, or on a machine without one the promise that it says how to get one."""
    if NOT_INSTALLED:
        with pytest.raises(postgres.Unobtainable, match="apt-get install postgresql"):
            postgres.server().__enter__()
        yield ""
        return
    with postgres.server() as url:
        yield url


def servers_in(folder: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if str(folder) in " ".join(process.info["cmdline"] or []):
            found.append(process)
    return found


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temporary folder that an unprivileged user may enter, too."""
    with tempfile.TemporaryDirectory(prefix="batchops-test-") as name:
        Path(name).chmod(0o755)
        monkeypatch.setenv("TMPDIR", name)
        monkeypatch.setattr(tempfile, "tempdir", None)
        yield Path(name)
    tempfile.tempdir = None


def test_it_serves_an_empty_database_and_leaves_nothing_behind(folder: Path) -> None:
    with server() as url:
        if url:
            with psycopg.connect(url) as connection:
                tables = connection.execute(
                    "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
                ).fetchone()
            assert tables == (0,)
            assert servers_in(folder)
    assert servers_in(folder) == []
    assert list(folder.iterdir()) == []


def test_it_ends_when_the_command_fails(folder: Path) -> None:
    with contextlib.suppress(ZeroDivisionError), server():
        raise ZeroDivisionError
    assert servers_in(folder) == []
    assert list(folder.iterdir()) == []


def test_a_machine_without_postgresql_is_told_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(postgres, "DEBIAN_FOLDER", tmp_path)
    with (
        pytest.raises(postgres.Unobtainable, match="apt-get install postgresql"),
        postgres.server(),
    ):
        pass


def test_the_newest_installed_one_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for version in ("9.6", "15", "16", "17"):
        folder = tmp_path / version / "bin"
        folder.mkdir(parents=True)
        (folder / "initdb").touch()
        if version != "17":
            (folder / "postgres").touch()
    monkeypatch.setattr(postgres, "DEBIAN_FOLDER", tmp_path)
    with mock.patch("shutil.which", return_value=None):
        assert postgres.folder_of_programs() == tmp_path / "16" / "bin"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_command_and_the_server(number: signal.Signals, folder: Path) -> None:
    script = "import time; print('running', flush=True); time.sleep(60)"
    runner = subprocess.Popen(
        [sys.executable, "-m", "tools.postgres", sys.executable, "-c", script],
        cwd=HERE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(folder)},
    )
    assert runner.stdout is not None
    begun = runner.stdout.readline()
    assert begun == ("" if NOT_INSTALLED else "running\n")
    runner.send_signal(number)
    runner.communicate(timeout=30)
    assert runner.returncode != 0
    deadline = time.monotonic() + 10
    while servers_in(folder) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert servers_in(folder) == []
    assert list(folder.iterdir()) == []


def test_the_exit_code_is_the_commands(folder: Path) -> None:
    command = [sys.executable, "-m", "tools.postgres", sys.executable, "-c", "raise SystemExit(7)"]
    done = subprocess.run(command, cwd=HERE, capture_output=True, check=False, timeout=60)
    assert done.returncode == (1 if NOT_INSTALLED else 7)


def test_without_a_command_it_says_how_it_is_used() -> None:
    with pytest.raises(SystemExit, match="Usage"):
        postgres.main([])
