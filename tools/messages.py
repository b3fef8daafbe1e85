"""Every sentence that batchops says, in one table, to be read aloud.

    python -m tools.messages

What is put in at the time is shown as {…}. Docstrings and what is only logged are left out.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

BASE: Final = Path(__file__).resolve().parent.parent
CODE: Final = BASE / "batchops"
TEMPLATES: Final = BASE / "templates"
FEWEST_WORDS: Final = 3
SILENT: Final = {"logger", "logging", "re", "cursor"}
"""What is called on these, nobody reads on a page."""
_TAG: Final = re.compile(r"{%.*?%}|{#.*?#}", re.DOTALL)
_VALUE: Final = re.compile(r"{{.*?}}", re.DOTALL)
_MARKUP: Final = re.compile(r"<[^>]+>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Message:
    """A sentence, and the file and line where it stands."""

    place: str
    words: str


def main() -> None:
    """Print them all, in the order of their places."""
    for message in collected():
        print(f"{message.place:<58} {message.words}")


def collected() -> list[Message]:
    """All of them, from the code and from the templates."""
    found = [one for path in sorted(CODE.rglob("*.py")) for one in _of_code(path)]
    return found + [one for path in sorted(TEMPLATES.rglob("*.html")) for one in _of_page(path)]


def _of_code(path: Path) -> Iterator[Message]:
    if {"migrations", "sandbox"} & set(path.parts):
        return
    tree = ast.parse(path.read_text())
    passed_over: set[int] = set()
    for node in ast.walk(tree):
        for child in ast.iter_child_nodes(node):
            if id(node) in passed_over or _is_silent(node, child):
                passed_over.add(id(child))
    for node in ast.walk(tree):
        if id(node) in passed_over or not isinstance(node, ast.Constant | ast.JoinedStr):
            continue
        words = _words(node)
        if isinstance(node, ast.JoinedStr):
            passed_over.update(id(child) for child in ast.walk(node))
        if len(re.findall(r"[A-Za-z'{…}]+", words)) >= FEWEST_WORDS and " " in words:
            yield Message(f"{path.relative_to(BASE)}:{node.lineno}", words)


def _is_silent(node: ast.AST, child: ast.AST) -> bool:
    """Whether a part of the code is a docstring, or never read on a page."""
    if isinstance(node, ast.Expr):
        return isinstance(child, ast.Constant)
    called = node.func if isinstance(node, ast.Call) else None
    owner = called.value if isinstance(called, ast.Attribute) else None
    return isinstance(owner, ast.Name) and owner.id in SILENT


def _words(node: ast.Constant | ast.JoinedStr) -> str:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    return "".join(
        _words(part) if isinstance(part, ast.Constant) else "{…}" for part in node.values
    )


def _of_page(path: Path) -> Iterator[Message]:
    text = _TAG.sub("\n", path.read_text())
    text = _MARKUP.sub("\n", _VALUE.sub("{…}", text))
    for line in text.splitlines():
        words = line.strip()
        if len(re.findall(r"[A-Za-z]{2,}", words)) >= FEWEST_WORDS:
            yield Message(str(path.relative_to(BASE)), words)


if __name__ == "__main__":
    main()
