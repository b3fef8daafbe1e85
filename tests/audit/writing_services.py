"""Finds the public functions of the services that write to the database, by reading their code."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from types import ModuleType

from batchops import accounts, audit, release_windows, saved_views, services

WRITES = frozenset(
    (
        *("save", "create", "get_or_create", "update_or_create", "bulk_create", "bulk_update"),
        *("delete", "_raw_delete"),
    )
)
"""Methods of rows and querysets that write, whoever they are called on."""
CONDITIONAL_WRITES = frozenset(("update", "execute"))
"""Methods that write when they are called on a queryset or a cursor."""
WRITING_FUNCTIONS = frozenset(
    ("update_rows", "write_rows", "update_in_order", "record", "record_now")
)


def writing_functions() -> set[str]:
    """The names ("package.module.function") of public functions that write, or whose helpers do."""
    return {name for module in _modules() for name in _of_module(module)}


def _modules() -> Iterator[ModuleType]:
    for package in (accounts, audit, release_windows, saved_views, services):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if "migrations" not in found.name:
                yield importlib.import_module(found.name)


def _of_module(module: ModuleType) -> Iterator[str]:
    tree = ast.parse(inspect.getsource(module))
    bodies = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            bodies[node.name] = node  # type: ignore[assignment]
    writing = {name for name, body in bodies.items() if _writes(body)}
    while more := {
        name for name, body in bodies.items() if name not in writing and _names(body) & writing
    }:
        writing |= more
    short = module.__name__.removeprefix("batchops.").removeprefix("services.")
    for name in writing:
        if not name.startswith("_") and isinstance(bodies[name], ast.FunctionDef):
            yield f"{short}.{name}"


def _writes(body: ast.AST) -> bool:
    for node in ast.walk(body):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
        if name in WRITES | WRITING_FUNCTIONS:
            return True
        if name in CONDITIONAL_WRITES and isinstance(called, ast.Attribute):
            on = ast.unparse(called.value)
            if name == "update" and any(
                word in on for word in ("objects", "filter", "items", "due")
            ):
                return True
            if name == "execute" and any(
                word in ast.unparse(node) for word in ("INSERT", "DELETE", "UPDATE")
            ):
                return True
    return False


def _names(body: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(body) if isinstance(node, ast.Name)}
