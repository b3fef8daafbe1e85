"""Packages by subject, whose imports run one way, and a document that says so as it is."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from django.core.management import get_commands

from tools import draw_imports

ROOT = draw_imports.BASE
PACKAGE = ROOT / "batchops"
LONGEST_FILE = 400
LARGEST_PACKAGE = 12

MAY_IMPORT = {
    "batchops.syllable": (),
    "batchops.sandbox": (),
    "batchops.models": ("batchops.syllable",),
    "batchops.audit": ("batchops.models", "batchops.syllable"),
}
"""What the lowest packages may import of the house; the rest must only be free of circles."""
NEVER = {
    "batchops.services": (
        "batchops.admin",
        "batchops.tasks",
        "batchops.management",
        "batchops.web",
    ),
    "batchops.admin": ("batchops.management", "batchops.web", "batchops.templatetags"),
    "batchops.web": ("batchops.admin", "batchops.tasks", "batchops.management"),
}
ONLY_FROM_MANAGEMENT = "batchops.sandbox"


def python_files() -> list[Path]:
    files = [
        path for root in ("batchops", "config", "tools") for path in (ROOT / root).rglob("*.py")
    ]
    return [path for path in files if "migrations" not in path.parts]


def test_no_package_imports_in_a_circle() -> None:
    assert draw_imports.floors(draw_imports.graph())


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_the_lowest_packages_import_only_what_lies_below_them(package: str) -> None:
    beside = {"batchops.permissions", "batchops.proxies", "batchops.logs", "batchops.files"}
    allowed = {*MAY_IMPORT[package], *beside}
    assert draw_imports.graph()[package] <= allowed


@pytest.mark.parametrize("package", sorted(NEVER))
def test_a_package_imports_nothing_of_those_that_build_on_it(package: str) -> None:
    wrong = [
        f"{name} imports {other}"
        for name, others in draw_imports.graph().items()
        if f"{name}.".startswith(f"{package}.")
        for other in others
        if f"{other}.".startswith(tuple(f"{one}." for one in NEVER[package]))
    ]
    assert wrong == []


def test_only_commands_and_the_start_know_the_sandbox() -> None:
    users = {
        name for name, others in draw_imports.graph().items() if ONLY_FROM_MANAGEMENT in others
    }
    assert users <= {"batchops.management"}


def test_the_client_of_the_vendor_knows_no_django() -> None:
    for path in (PACKAGE / "syllable").rglob("*.py"):
        names = {
            (node.module or "") if isinstance(node, ast.ImportFrom) else alias.name
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
        assert not [name for name in names if name.split(".")[0] in ("django", "huey")], path.name


def test_no_file_is_too_long_to_be_read_at_one_go() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in python_files()
        if (lines := len(path.read_text().splitlines())) > LONGEST_FILE
    }
    assert long == {}


def test_no_package_holds_more_modules_than_one_can_take_in() -> None:
    sizes = {
        str(folder.relative_to(ROOT)): len([p for p in folder.glob("*.py") if p.stem != "__init__"])
        for folder in {path.parent for path in python_files()}
        if "commands" not in folder.parts and "sandbox" not in folder.parts
    }
    assert {name: size for name, size in sizes.items() if size > LARGEST_PACKAGE} == {}


def test_each_package_says_what_lives_there() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in PACKAGE.rglob("__init__.py")
        if not {"migrations", "commands", "management", "templatetags"} & set(path.parts)
        and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert silent == []


def test_the_drawing_of_the_imports_is_as_the_code_is() -> None:
    text = draw_imports.DOCUMENT.read_text()
    assert text == draw_imports.document(text), "run: python -m tools.draw_imports"


def test_the_documents_name_only_commands_that_exist() -> None:
    there = set(get_commands())
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "Makefile"):
        named = set(re.findall(r"manage\.py (\w+)", path.read_text()))
        assert named <= there, path.name
