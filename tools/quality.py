"""Everything that must hold: lint, types, migrations, deployment checks, tests on both databases.

With arguments, only the tests are run, and the arguments go to pytest.
"""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from batchops.files import make_folder
from tools import postgres

BASE: Final = Path(__file__).resolve().parent.parent
RESULTS: Final = BASE / "var" / "test-results"
SUMMARY: Final = RESULTS / "summary.txt"
PROCESSES: Final = os.environ.get("TEST_PROCESSES", str(min(4, (os.cpu_count() or 1) + 1)))
"""One more than processors, since many tests wait for a started program or a page."""
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
    """Run all steps, the later ones too when one fails; returns the exit code."""
    os.chdir(BASE)
    postgres.leave_in_order()
    make_folder(RESULTS)
    SUMMARY.unlink(missing_ok=True)
    outcomes: list[Outcome] = []
    for step in _checks() if not arguments else ():
        outcomes.append(step)
    outcomes.append(_tests("SQLite", arguments, {"DATABASE_URL": ""}))
    outcomes.append(_tests_on_postgres(arguments))
    return _conclude(outcomes)


def _checks() -> Iterator[Outcome]:
    with tempfile.TemporaryDirectory() as folder:
        aside = {"ENV_FILE": os.devnull, "DATA_DIR": folder, "STATIC_ROOT": f"{folder}/static"}
        for name, command in CHECKS.items():
            yield _check(name, command, aside)
        yield _check("static files", COLLECT, aside)
        yield _check("check --deploy", DEPLOYMENT_CHECK, aside | PRODUCTION)


def _check(name: str, command: Sequence[str], environment: dict[str, str]) -> Outcome:
    _announce(name)
    started = time.monotonic()
    ok = postgres.run(command, os.environ | environment) == 0
    return Outcome(name, int(ok), int(not ok), seconds=time.monotonic() - started)


def _tests_on_postgres(arguments: Sequence[str]) -> Outcome:
    with contextlib.ExitStack() as stack:
        try:
            url = os.environ.get("TEST_POSTGRES_URL") or stack.enter_context(postgres.server())
        except postgres.Unobtainable as error:
            print(f"\nThe tests on PostgreSQL are skipped: {error}")
            return Outcome("PostgreSQL", skipped=1)
        return _tests("PostgreSQL", arguments or NEEDS_THE_DATABASE, {"DATABASE_URL": url})


def _tests(name: str, arguments: Sequence[str], environment: dict[str, str]) -> Outcome:
    _announce(f"tests on {name}")
    report = RESULTS / f"{name.lower()}.xml"
    report.unlink(missing_ok=True)
    started = time.monotonic()
    spread = ("-n", PROCESSES, "--dist", "loadgroup")
    code = postgres.run(
        (PYTHON, "-m", "pytest", *spread, f"--junitxml={report}", *arguments),
        os.environ | environment,
    )
    return _counted(name, report, code, time.monotonic() - started)


def _counted(name: str, report: Path, code: int, seconds: float) -> Outcome:
    """The counts of pytest's report. A run that broke off or ran nothing counts as a failure."""
    if not report.exists():
        return Outcome(name, failed=1, seconds=seconds)
    suite = next(ElementTree.parse(report).iter("testsuite"))  # noqa: S314 - our own file
    failed = int(suite.attrib["failures"]) + int(suite.attrib["errors"])
    skipped = int(suite.attrib["skipped"])
    passed = int(suite.attrib["tests"]) - failed - skipped
    return Outcome(name, passed, max(failed, int(code != 0)), skipped, seconds)


def _conclude(outcomes: Sequence[Outcome]) -> int:
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
    print(f"{'all':16} {sum(outcome.seconds for outcome in outcomes):6.1f} s  {total}")
    if total.skipped and os.environ.get(REQUIRE_ALL):
        print(f"{REQUIRE_ALL} is set, so what was skipped counts as failed.")
        return 1
    return int(total.failed > 0)


def _announce(step: str) -> None:
    print(f"\n--- {step} ---", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
