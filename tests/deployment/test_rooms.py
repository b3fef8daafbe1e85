"""Dependencies run one way: syllable ← models ← services ← tasks, admin and commands."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import get_commands

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGE = ROOT / "batchops"

FORBIDDEN = {
    "syllable": ("django", "huey", "batchops.models", "batchops.services", "batchops.sandbox"),
    "models": ("batchops.services", "batchops.admin", "batchops.tasks", "batchops.sandbox"),
    "services": ("batchops.admin", "batchops.tasks", "batchops.management", "batchops.sandbox"),
    "admin": ("batchops.management", "batchops.sandbox", "batchops.templatetags"),
    "sandbox": (
        "django",
        "batchops.syllable",
        "batchops.models",
        "batchops.services",
        "batchops.admin",
    ),
}


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("room", sorted(FORBIDDEN))
def test_a_room_imports_nothing_of_the_rooms_that_build_on_it(room: str) -> None:
    files = list((PACKAGE / room).rglob("*.py"))
    assert files
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files
        for name in imports_of(path)
        if any(name == banned or name.startswith(f"{banned}.") for banned in FORBIDDEN[room])
    ]
    assert wrong == []


def test_no_module_has_grown_too_long_to_be_read_at_one_go() -> None:
    long = [
        str(path.relative_to(ROOT))
        for path in PACKAGE.rglob("*.py")
        if "migrations" not in path.parts and len(path.read_text().splitlines()) > 450
    ]
    assert long == []


def test_the_architecture_names_every_module_of_the_services_and_no_other() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    _, _, table = text.partition("| about | modules")
    named = set(re.findall(r"`(\w+)`", table.partition("\n\n")[0]))
    assert named == {path.stem for path in (PACKAGE / "services").glob("[!_]*.py")}


def test_the_documents_name_only_commands_that_exist() -> None:
    there = set(get_commands())
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "Makefile"):
        named = set(re.findall(r"manage\.py (\w+)", path.read_text()))
        assert named <= there, path.name
