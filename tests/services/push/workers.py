"""Real worker processes on the database of the test."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from django.conf import settings
from django.db import connection

from batchops.sandbox.embedded import EmbeddedSandbox

LEASE_SECONDS = 4


def environment(sandbox: EmbeddedSandbox, folder: Path, **more: str) -> dict[str, str]:
    """What a worker needs to find the sandbox and the database of the test."""
    return os.environ | {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "ENV_FILE": os.devnull,
        "DATA_DIR": str(folder),
        "DATABASE_URL": database_url(),
        "QUEUE_URL": f"sqlite://{folder / 'queue.sqlite3'}",
        "SECRET_KEY": "of-the-tests-alone",
        "SYLLABLE_BASE_URL": sandbox.url,
        "SYLLABLE_API_KEY": sandbox.key,
        "SYLLABLE_TIMEOUT": "5",
        "SYNC_INTERVAL": "86400",
        "FULL_SYNC_INTERVAL": "604800",
        "PUSH_LEASE_SECONDS": str(LEASE_SECONDS),
        **more,
    }


def database_url() -> str:
    """The URL of the test's own database."""
    values = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite://{values['NAME']}"
    password = quote(values["PASSWORD"], safe="")
    return (
        f"postgres://{values['USER']}:{password}@{values['HOST']}:{values['PORT']}/{values['NAME']}"
    )


def is_locked() -> bool:
    """Whether another process is in the midst of a transaction that may hold locks."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() "
                "AND pid <> pg_backend_pid() AND xact_start IS NOT NULL"
            )
            return cursor.fetchone() is not None
    other = sqlite3.connect(connection.settings_dict["NAME"], timeout=0.05)
    with closing(other):
        try:
            other.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        return False


class Worker:
    """`manage.py worker` in a session of its own, ended at the latest with the block."""

    def __init__(self, environment: dict[str, str]) -> None:
        folder = Path(environment["DATA_DIR"])
        self._log = (folder / "worker.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "worker"],
            cwd=settings.BASE_DIR,
            env=environment,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._log.close()

    def kill(self) -> None:
        """SIGKILL: nothing of it can tidy up; also one that stands still."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def stand_still(self) -> None:
        """SIGSTOP, at a moment when it keeps the database from nobody."""
        self.process.send_signal(signal.SIGSTOP)
        while is_locked():
            self.go_on()
            time.sleep(0.01)
            self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        self.process.send_signal(signal.SIGCONT)

    def ask_to_end(self, seconds: float) -> int:
        """SIGTERM; returns the exit code. Raises TimeoutExpired when it takes longer."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def has_orphans(self) -> bool:
        """Whether any process of its session is left."""
        try:
            os.killpg(self.process.pid, 0)
        except ProcessLookupError:
            return False
        return True
