"""Everything that must hold: lint, types, migrations, deployment checks, tests on both databases.

With arguments, only the tests are run, and the arguments go to pytest.
"""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from batchops.files import make_folder
from tools import postgres

BASE: Final = Path(__file__).resolve().parent.parent
RESULTS: Final = BASE / "var" / "test-results"
SUMMARY: Final = RESULTS / "summary.txt"
PROCESSORS: Final = int(os.environ.get("TEST_PROCESSES", os.cpu_count() or 1))
"""So many processes test on SQLite, and half as many, with fewer tests, on PostgreSQL."""
REQUIRE_ALL: Final = "BATCHOPS_REQUIRE_ALL"
"""Environment variable: a skipped test is a failure."""
PYTHON: Final = sys.executable
MANAGE: Final = (PYTHON, "manage.py")
PRODUCTION: Final = {
    "ENV_FILE": os.devnull,
    "SECRET_KEY": secrets.token_urlsafe(50),
    "SYLLABLE_API_KEY": "stands-for-a-real-key",
    "ALLOWED_HOSTS": "batchops.example.com",
    "DATABASE_URL": "postgres://batchops@db.example.com/batchops",
    "QUEUE_URL": "redis://queue.example.com",
    "TRUSTED_PROXIES": "10.0.0.0/8",
    "APPROVAL_FOR": "expanding",
    "AUDIT_SIGNING_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
    "AUDIT_ANCHOR_FILE": "/tmp/anchors.jsonl",  # noqa: S108 - only looked at
}
CHECKS: Final = {
    "ruff check": (PYTHON, "-m", "ruff", "check", "."),
    "ruff format": (PYTHON, "-m", "ruff", "format", "--check", "."),
    "mypy": (PYTHON, "-m", "mypy"),
    "migrations": (*MANAGE, "makemigrations", "--check", "--dry-run"),
}
COLLECT: Final = (*MANAGE, "collectstatic", "--no-input", "--verbosity=0")
DEPLOYMENT_CHECK: Final = (*MANAGE, "check", "--deploy", "--fail-level", "WARNING")


NEEDS_THE_DATABASE: Final = ("-m", "not browser and not once")
"""pytest's arguments for the tests that can tell one database from the other."""

_running: list[subprocess.Popen[str]] = []
_is_over = threading.Event()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one step found: its tests by result (a check counts as one), and how long it took."""

    name: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0

    def __str__(self) -> str:
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        return f"{self.passed} passed, {self.failed} failed{skipped}"


def main(arguments: Sequence[str]) -> int:
    """Run all steps, the later ones too when one fails; returns the exit code.

    The checks and the tests on either database run side by side: each often waits.
    """
    os.chdir(BASE)
    postgres.unwind_on_signals()
    make_folder(RESULTS)
    SUMMARY.unlink(missing_ok=True)
    started = time.monotonic()
    lanes: list[Callable[[], list[Outcome]]] = [
        lambda: [_tests("SQLite", arguments, {"DATABASE_URL": ""}, PROCESSORS)],
        lambda: [_tests_on_postgres(arguments)],
    ]
    if not arguments:
        lanes.append(_checks)
    with ThreadPoolExecutor(len(lanes)) as pool:
        futures = [pool.submit(lane) for lane in lanes]
        try:
            outcomes = [outcome for future in futures for outcome in future.result()]
        finally:
            _end_what_runs()
    return _conclude(outcomes, time.monotonic() - started)


def _checks() -> list[Outcome]:
    with tempfile.TemporaryDirectory() as folder:
        aside = {"ENV_FILE": os.devnull, "DATA_DIR": folder, "STATIC_ROOT": f"{folder}/static"}
        outcomes = [_check(name, command, aside) for name, command in CHECKS.items()]
        outcomes.append(_check("static files", COLLECT, aside))
        outcomes.append(_check("check --deploy", DEPLOYMENT_CHECK, aside | PRODUCTION))
    return outcomes


def _check(name: str, command: Sequence[str], environment: dict[str, str]) -> Outcome:
    started = time.monotonic()
    ok = _run(name, command, environment) == 0
    return Outcome(name, int(ok), int(not ok), seconds=time.monotonic() - started)


def _tests_on_postgres(arguments: Sequence[str]) -> Outcome:
    with contextlib.ExitStack() as stack:
        try:
            url = os.environ.get("TEST_POSTGRES_URL") or stack.enter_context(postgres.server())
        except postgres.Unobtainable as error:
            print(f"The tests on PostgreSQL are skipped: {error}")
            return Outcome("PostgreSQL", skipped=1)
        only = arguments or NEEDS_THE_DATABASE
        return _tests("PostgreSQL", only, {"DATABASE_URL": url}, max(1, PROCESSORS // 2))


def _tests(
    name: str, arguments: Sequence[str], environment: dict[str, str], processes: int
) -> Outcome:
    report = RESULTS / f"{name.lower()}.xml"
    report.unlink(missing_ok=True)
    started = time.monotonic()
    spread = ("-n", str(processes), "--dist", "loadgroup")
    command = (PYTHON, "-m", "pytest", "-q", *spread, f"--junitxml={report}", *arguments)
    code = _run(name, command, environment)
    return _counted(name, report, code, time.monotonic() - started)


def _run(name: str, command: Sequence[str], environment: dict[str, str]) -> int:
    """Run a command to its end; what it prints appears line by line behind its name."""
    if _is_over.is_set():
        return 1
    with subprocess.Popen(
        command,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        _running.append(process)
        for line in process.stdout or ():
            print(f"{name:14} | {line.rstrip()}", flush=True)
        return process.wait()


def _end_what_runs() -> None:
    _is_over.set()
    for process in _running:
        process.terminate()


def _counted(name: str, report: Path, code: int, seconds: float) -> Outcome:
    """The counts of pytest's report. A run that broke off or ran nothing counts as a failure."""
    if not report.exists():
        return Outcome(name, failed=1, seconds=seconds)
    suite = next(ElementTree.parse(report).iter("testsuite"))  # noqa: S314 - our own file
    failed = int(suite.attrib["failures"]) + int(suite.attrib["errors"])
    skipped = int(suite.attrib["skipped"])
    passed = int(suite.attrib["tests"]) - failed - skipped
    return Outcome(name, passed, max(failed, int(code != 0)), skipped, seconds)


def _conclude(outcomes: Sequence[Outcome], seconds: float) -> int:
    print()
    for outcome in outcomes:
        print(f"{outcome.name:16} {outcome.seconds:6.1f} s  {outcome}")
    total = Outcome(
        "all",
        sum(outcome.passed for outcome in outcomes),
        sum(outcome.failed for outcome in outcomes),
        sum(outcome.skipped for outcome in outcomes),
    )
    SUMMARY.write_text(f"{total}\n")
    print(f"{'all':16} {seconds:6.1f} s  {total}")
    if total.skipped and os.environ.get(REQUIRE_ALL):
        print(f"{REQUIRE_ALL} is set, so what was skipped counts as failed.")
        return 1
    return int(total.failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
