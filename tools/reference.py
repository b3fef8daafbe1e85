"""Writes the tables of docs/reference.md from the code, and settings from .env.example.

    python -m tools.reference

Run it after a setting, a command, a permission or an action of the audit trail has changed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Final

BASE: Final = Path(__file__).resolve().parent.parent
DOCUMENT: Final = BASE / "docs" / "reference.md"
EXAMPLE: Final = BASE / ".env.example"


def settings() -> Iterator[str]:
    """Each variable with its default and the comment above it, by the sections of the file."""
    comment: list[str] = []
    for line in EXAMPLE.read_text().splitlines():
        if section := re.fullmatch(r"# --- (.+?) -+", line):
            yield from (
                "",
                f"**{section[1]}**",
                "",
                "| variable | default | meaning |",
                "| --- " * 3 + "|",
            )
        elif variable := re.fullmatch(r"([A-Z_]+)=(.*)", line):
            default = f"`{variable[2]}`" if variable[2] else ""
            yield f"| `{variable[1]}` | {default} | {' '.join(comment)} |"
        if line.startswith("# "):
            comment.append(line[2:].replace("|", "\\|"))
        else:
            comment = []


def commands() -> Iterator[str]:
    """Each command of `manage.py` that is ours, with its own words."""
    from django.core.management import get_commands, load_command_class

    yield from ("", "| `manage.py` | does |", "| --- | --- |")
    for name in sorted(name for name, app in get_commands().items() if app == "batchops"):
        yield f"| `{name}` | {load_command_class('batchops', name).help} |"


def permissions() -> Iterator[str]:
    """Each permission that a group or a person can be given, and the groups that have it."""
    from django.apps import apps

    from batchops.permissions import GROUPS

    yield from ("", f"| permission | words | {' | '.join(GROUPS)} |")
    yield "| --- | --- " + "| :-: " * len(GROUPS) + "|"
    labels = ("batchops", "batchops_notices", "batchops_release_windows")
    ours = (apps.get_app_config(label) for label in labels)
    for model in (model for app in ours for model in app.get_models()):
        meta = model._meta
        default = [
            (f"{verb}_{meta.model_name}", f"Can {verb} {meta.verbose_name}")
            for verb in meta.default_permissions
        ]
        for codename, words in (*default, *meta.permissions):
            held = " | ".join("✓" if codename in names else "" for names in GROUPS.values())
            yield f"| `{codename}` | {words} | {held} |"


def actions() -> Iterator[str]:
    """Each action that the audit trail records, one line a namespace."""
    from batchops.models import Action

    yield from ("", "| namespace | actions |", "| --- | --- |")
    for namespace, found in groupby(Action, lambda action: action.value.partition(".")[0]):
        listed = ", ".join(f"`{one.value.partition('.')[2]}` ({one.label})" for one in found)
        yield f"| `{namespace}.` | {listed} |"


TABLES: Final[dict[str, Callable[[], Iterator[str]]]] = {
    "settings": settings,
    "commands": commands,
    "permissions": permissions,
    "actions": actions,
}


def document(text: str) -> str:
    """The document's text with each table as the code is now."""
    for name, table in TABLES.items():
        begin, end = f"<!-- {name}: written by tools/reference.py -->", f"<!-- end of {name} -->"
        before, _, rest = text.partition(begin)
        _, found, after = rest.partition(end)
        if not found:
            raise ValueError(f"{DOCUMENT.name} lacks the marks between which the {name} stand.")
        text = "\n".join([f"{before}{begin}", *table(), "", f"{end}{after}"])
    return text


if __name__ == "__main__":
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    DOCUMENT.write_text(document(DOCUMENT.read_text()))
