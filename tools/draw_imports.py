"""Lists the packages and what each imports in docs/architecture.md; run after imports changed.

    python -m tools.draw_imports

Imports for type checkers alone are left out: they exist in no running program.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

BASE: Final = Path(__file__).resolve().parent.parent
DOCUMENT: Final = BASE / "docs" / "architecture.md"
BEGIN: Final = "<!-- imports: written by tools/draw_imports.py -->"
END: Final = "<!-- end of imports -->"
DIVIDED: Final = ("batchops.services", "batchops.admin")
"""Packages whose subpackages are drawn one by one."""
ROOTS: Final = ("batchops", "config")

Graph = Mapping[str, frozenset[str]]


class Circle(Exception):
    """Packages import each other in a circle."""


def graph() -> Graph:
    """Each package, and the packages that it imports."""
    found: dict[str, set[str]] = {}
    for root in ROOTS:
        for path in sorted((BASE / root).rglob("*.py")):
            if "migrations" in path.parts:
                continue
            package = package_of(_module(path))
            found.setdefault(package, set()).update(map(package_of, _imports(path)))
    return {name: frozenset(others & found.keys() - {name}) for name, others in found.items()}


def floors(packages: Graph) -> list[list[str]]:
    """The packages from the ground up: each imports only what lies below it. Raises Circle."""
    left, built = dict(packages), list[list[str]]()
    below: set[str] = set()
    while left:
        floor = sorted(name for name, others in left.items() if others <= below)
        if not floor:
            raise Circle(f"These packages import each other: {', '.join(sorted(left))}")
        built.append(floor)
        below.update(floor)
        for name in floor:
            del left[name]
    return built


def drawing() -> str:
    """The table for the document, the highest floor first."""
    packages = graph()
    lines = ["| floor | package | what lives there | imports |", "| ---: | --- | --- | --- |"]
    for number, floor in reversed(list(enumerate(floors(packages)))):
        for name in floor:
            others = ", ".join(sorted(_short(other) for other in packages[name]))
            lines.append(f"| {number} | `{_short(name)}` | {_words(name)} | {others} |")
    return "\n".join(lines)


def document(text: str) -> str:
    """The document's text with the drawing as it is now."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{DOCUMENT.name} lacks the marks between which the imports stand.")
    return f"{before}{BEGIN}\n\n{drawing()}\n\n{END}{after}"


def package_of(module: str) -> str:
    """The package, or the module of the top level, that a module is drawn as."""
    parts = module.split(".")
    depth = 3 if ".".join(parts[:2]) in DIVIDED else 1 if parts[0] == "config" else 2
    return ".".join(parts[:depth])


def _short(package: str) -> str:
    return package.removeprefix("batchops.").replace(".", "/")


def _words(package: str) -> str:
    """The first sentences of the package's docstring."""
    path = BASE / package.replace(".", "/")
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    words = ast.get_docstring(ast.parse(file.read_text())) or ""
    return " ".join(words.partition("\n\n")[0].split())


def _module(path: Path) -> str:
    return ".".join(path.relative_to(BASE).with_suffix("").parts).removesuffix(".__init__")


def _imports(path: Path) -> Iterator[str]:
    for node in _running(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _running(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those under `if TYPE_CHECKING`."""
    yield node
    if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
        return
    for child in ast.iter_child_nodes(node):
        yield from _running(child)


if __name__ == "__main__":
    DOCUMENT.write_text(document(DOCUMENT.read_text()))
