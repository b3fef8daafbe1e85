"""`make test` counts right: what broke off or was skipped is never taken for a good run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import quality
from tools.quality import Outcome


def report(folder: Path, tests: int, failures: int = 0, errors: int = 0, skipped: int = 0) -> Path:
    path = folder / "report.xml"
    path.write_text(
        f'<testsuites><testsuite tests="{tests}" failures="{failures}" errors="{errors}" '
        f'skipped="{skipped}"/></testsuites>'
    )
    return path


@pytest.fixture(autouse=True)
def summary(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(quality, "SUMMARY", tmp_path / "summary.txt")
    monkeypatch.delenv(quality.REQUIRE_ALL, raising=False)
    return tmp_path / "summary.txt"


def test_a_report_is_counted(tmp_path: Path) -> None:
    found = quality._counted("SQLite", report(tmp_path, 10, 1, 2, 3), 1, 0)
    assert (found.passed, found.failed, found.skipped) == (4, 3, 3)


def test_a_run_without_a_report_has_failed(tmp_path: Path) -> None:
    assert quality._counted("SQLite", tmp_path / "absent.xml", 0, 0).failed == 1


def test_a_run_that_ended_badly_without_a_failed_test_has_failed(tmp_path: Path) -> None:
    assert quality._counted("SQLite", report(tmp_path, 10), 3, 0).failed == 1


def test_a_run_without_tests_has_failed(tmp_path: Path) -> None:
    assert quality._counted("SQLite", report(tmp_path, 0), 5, 0).failed == 1


def test_the_summary_is_the_sum(summary: Path) -> None:
    assert quality._conclude([Outcome("a", 3), Outcome("b", 4, 0, 1)], 0) == 0
    assert summary.read_text() == "7 passed, 0 failed, 1 skipped\n"


def test_one_failure_anywhere_fails_the_whole(summary: Path) -> None:
    assert quality._conclude([Outcome("a", 3), Outcome("b", 4, 1)], 0) == 1
    assert summary.read_text() == "7 passed, 1 failed\n"


def test_where_all_is_required_a_skip_fails_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(quality.REQUIRE_ALL, "1")
    assert quality._conclude([Outcome("a", 3, 0, 1)], 0) == 1
