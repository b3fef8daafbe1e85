"""The lock files: whole, with hashes, from no particular index, and installed as they are."""

from __future__ import annotations

import re

import pytest

from tests.deployment.loading import BASE

RUN, DEV = "requirements.txt", "requirements-dev.txt"
INSTRUCTIONS = (
    "Makefile",
    "SECURITY.md",
    "CONTRIBUTING.md",
    "docs/how-to/administrator.md",
)


def locked(name: str) -> dict[str, str]:
    """The requirements of a lock by name without extras, each with its lines of hashes."""
    text = re.sub(r"^ *#.*\n", "", (BASE / name).read_text(), flags=re.MULTILINE)
    return dict(re.findall(r"^([\w.-]+)((?:\[|==)(?:.*\\\n)*.*)$", text, re.MULTILINE))


@pytest.mark.parametrize("lock", [RUN, DEV])
def test_each_requirement_has_one_version_and_hashes(lock: str) -> None:
    requirements = locked(lock)
    assert "django" in requirements
    form = re.compile(r"(\[[\w, -]+\])?==[\w.!+-]+( ;[^\\]+)? \\\n +--hash=sha256:")
    assert [name for name, rest in requirements.items() if not form.match(rest)] == []


def test_extras_are_kept_since_pip_would_resolve_what_lacks_them() -> None:
    assert locked(RUN)["whitenoise"].startswith("[brotli]==")
    assert locked(DEV)["coverage"].startswith("[toml]==")


def test_what_runs_is_what_is_tested() -> None:
    assert locked(RUN).items() <= locked(DEV).items()


@pytest.mark.parametrize("lock", [RUN, DEV])
def test_no_index_of_the_machine_that_locked_it_is_left_in_it(lock: str) -> None:
    lines = (BASE / lock).read_text().splitlines()
    assert not [line for line in lines if "://" in line or re.match(r" *--(?!hash)", line)]


@pytest.mark.parametrize("file", [*INSTRUCTIONS, ".ci/run"])
def test_wherever_it_is_told_how_to_install_pip_looks_for_nothing_else(file: str) -> None:
    text = (BASE / file).read_text()
    assert "--require-hashes" in text
    assert text.count("--require-hashes") == text.count("--require-hashes --no-deps")
