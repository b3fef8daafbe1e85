"""A PostgreSQL server for one command, thrown away with its data afterwards.

python -m tools.postgres pytest tests/services/mirror
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import psycopg

PROGRAMS: Final = ("initdb", "postgres")
DEBIAN_FOLDER: Final = Path("/usr/lib/postgresql")
START_SECONDS: Final = 60
STOP_SECONDS: Final = 20
SETTINGS: Final = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}
"""Durability is off: the data does not outlive the command."""


class Unobtainable(Exception):
    """No server can be started on this machine; the message says what to do."""


def folder_of_programs() -> Path | None:
    """Where the newest installed server's programs are; None when there is none."""
    folders = [Path(found).parent for found in [shutil.which("initdb")] if found]
    folders += sorted(DEBIAN_FOLDER.glob("*/bin"), key=_version, reverse=True)
    whole = (
        folder for folder in folders if all((folder / program).exists() for program in PROGRAMS)
    )
    return next(whole, None)


@contextlib.contextmanager
def server() -> Iterator[str]:
    """A running server; yields the URL of an empty database. Raises Unobtainable.

    PostgreSQL refuses to run as root, so root starts it as an unprivileged user.
    """
    programs = folder_of_programs()
    if programs is None:
        raise Unobtainable("PostgreSQL is not installed (Debian: apt-get install postgresql).")
    who = unprivileged()
    folder = Path(tempfile.mkdtemp(prefix="batchops-postgres-"))
    try:
        password = secrets.token_hex(16)
        make_cluster(programs, folder, password, who)
        port = free_port()
        url = f"postgres://batchops:{password}@127.0.0.1:{port}/postgres"
        process = start(programs, folder, SETTINGS | {"port": str(port)}, who)
        try:
            wait_until_ready(process, url, folder)
            yield url
        finally:
            stop(process)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main(command: Sequence[str]) -> int:
    """Run a command with `DATABASE_URL` naming a server of its own; returns its exit code."""
    if not command:
        sys.exit("Usage: python -m tools.postgres COMMAND [ARGUMENT ...]")
    unwind_on_signals()
    try:
        with server() as url:
            return run(command, os.environ | {"DATABASE_URL": url})
    except Unobtainable as error:
        sys.exit(str(error))


def run(command: Sequence[str], environment: dict[str, str]) -> int:
    """Run a command to its end, which comes at the latest with ours; returns its exit code."""
    with subprocess.Popen(command, env=environment) as process:
        try:
            return process.wait()
        finally:
            if process.poll() is None:
                process.terminate()


def unwind_on_signals() -> None:
    """Make the signals that end this process unwind it, so that nothing stays behind.

    SIGINT too: Python leaves it ignored where whoever started it had it ignored, as nohup may.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)


def _leave(number: int, _frame: object) -> None:
    sys.exit(128 + number)


def _version(folder: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", folder.parent.name))


def unprivileged() -> dict[str, Any]:
    """What tells subprocess to leave root behind."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            user = pwd.getpwnam(name)
            return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    raise Unobtainable("PostgreSQL needs a user other than root: postgres or nobody.")


def make_cluster(programs: Path, folder: Path, password: str, who: dict[str, Any]) -> None:
    """An empty server in data/ of a folder. Raises Unobtainable."""
    password_file = folder / "password"
    password_file.write_text(password)
    if who:
        for path in (folder, password_file):
            os.chown(path, who["user"], who["group"])
    made = subprocess.run(
        [
            str(programs / "initdb"),
            f"--pgdata={folder / 'data'}",
            "--username=batchops",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        ],
        capture_output=True,
        text=True,
        cwd=folder,
        **who,
    )
    if made.returncode != 0:
        raise Unobtainable(f"initdb failed: {made.stderr.strip() or made.stdout.strip()}")


def start(
    programs: Path, folder: Path, settings: Mapping[str, str], who: dict[str, Any]
) -> subprocess.Popen[bytes]:
    """Start the server of a folder; it writes to the file log there."""
    with (folder / "log").open("a") as output:
        return subprocess.Popen(
            [
                str(programs / "postgres"),
                *("-D", str(folder / "data")),
                *(f"-c{name}={value}" for name, value in settings.items()),
            ],
            stdout=output,
            stderr=output,
            cwd=folder,
            # Ctrl-C is for the command; the server is stopped after it.
            start_new_session=True,
            **who,
        )


def wait_until_ready(process: subprocess.Popen[bytes], url: str, folder: Path) -> None:
    """Wait until a server of ours lets people in. Raises Unobtainable."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(url, connect_timeout=2).close()
            return
        time.sleep(0.1)
    log = (folder / "log").read_text()
    raise Unobtainable(f"PostgreSQL did not start: {log[-2000:].strip()}")


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a server of ours."""
    # To PostgreSQL, SIGINT means: break connections off, then end cleanly.
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        if process.poll() is None:
            process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
