"""Reads a `.env` file strictly: what could be misread is refused, with the number of its line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from django.core.exceptions import ImproperlyConfigured

LINE_END: Final = re.compile(r"\r\n|\r|\n")
"""Not `str.splitlines()`, to which U+2028 and other characters of a value end a line, too."""
ASSIGNMENT: Final = re.compile(r"(?:export )?([A-Za-z_][A-Za-z_0-9]*)=(.*)", re.DOTALL)
QUOTED: Final = re.compile(r"""'([^']*)'|"((?:[^"\\]|\\.)*)\"""", re.DOTALL)
ESCAPED: Final = re.compile(r'\\(["\\$])')
COMMENT: Final = re.compile(r"(?:^|\s)#(?:\s|$)|\s#")


def read(path: Path) -> dict[str, str]:
    """The names and values of a file of lines NAME=value.

    A value may stand in single quotes (taken as it is) or in double quotes (where a backslash
    makes a quote, a dollar sign or a backslash plain). Raises ImproperlyConfigured, never with a
    value in its message.
    """
    values: dict[str, str] = {}
    lines: dict[str, int] = {}
    for number, line in enumerate(LINE_END.split(_text(path)), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        assignment = ASSIGNMENT.fullmatch(line)
        if assignment is None:
            raise _refused(
                number, path, "must be NAME=value, a comment that begins with #, or empty"
            )
        name, text = assignment.groups()
        if name in lines:
            raise ImproperlyConfigured(
                f"{path} sets {name} twice, in lines {lines[name]} and {number}. Keep one of them."
            )
        lines[name] = number
        values[name] = _value(text.strip(), name, number, path)
    return values


def _text(path: Path) -> str:
    try:
        # With or without the mark that some editors put at the beginning.
        return path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ImproperlyConfigured(f"Cannot read {path}: {reason}.") from None


def _value(text: str, name: str, number: int, path: Path) -> str:
    if "\x00" in text:
        raise _refused(number, path, f"gives {name} a value with a NUL character; remove it")
    if quoted := QUOTED.fullmatch(text):
        plain, escaped = quoted.groups()
        return plain if plain is not None else ESCAPED.sub(r"\1", escaped)
    if COMMENT.search(text):
        raise _refused(
            number,
            path,
            f"has a comment behind the value of {name}. Put the comment into a line of its own; "
            "if the # belongs to the value, put the value into quotes",
        )
    if text.startswith(("'", '"')):
        raise _refused(
            number, path, f"opens a quote for {name} and does not close it at the end of the line"
        )
    return text


def _refused(number: int, path: Path, why: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(f"Line {number} of {path} {why}.")
