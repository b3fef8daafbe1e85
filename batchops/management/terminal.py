"""TerminalCommand: its entries say who gave it at the machine; it prints no control characters.

What people and the vendor wrote is printed by commands, too: a name could hold a sequence that
moves the cursor, hides text, or turns its direction around.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand, OutputWrapper

from batchops import audit

_HIDDEN = frozenset(("Cc", "Cf", "Cs", "Co", "Zl", "Zp"))


def printable(text: str, kept: str = "\n\t") -> str:
    r"""Text as it can be printed: characters that nobody sees stand as JSON writes them (\u001b).

    Those in `kept` stay what they are.
    """
    return "".join(
        one if one in kept or unicodedata.category(one) not in _HIDDEN else _escaped(one)
        for one in text
    )


def one_line(text: str) -> str:
    """What a person or the vendor wrote, as a part of a line that it cannot leave."""
    return printable(text, kept="")


def _escaped(character: str) -> str:
    return json.dumps(character)[1:-1] if character != "\x7f" else "\\u007f"


class PlainOutput(OutputWrapper):
    """Prints nothing that a terminal would obey; styles are added behind it."""

    def write(  # type: ignore[override]  # as Django's own, which its stubs excuse
        self,
        msg: str = "",
        style_func: Callable[[str], str] | None = None,
        ending: str | None = None,
    ) -> None:
        super().write(printable(str(msg)), style_func, ending)


class TerminalCommand(BaseCommand):
    """A command that people give; `--as` names whom they act for, the machine says who they are.

    Colours are given to `write` as `style_func`: in the text they would be printed, not obeyed.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("stdout", "stderr") and not isinstance(value, PlainOutput):
            style = getattr(value, "style_func", None)
            value = PlainOutput(value._out)
            value.style_func = style
        super().__setattr__(name, value)

    def execute(self, *args: Any, **options: Any) -> str | None:
        with audit.at_terminal():
            return super().execute(*args, **options)
