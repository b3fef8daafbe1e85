"""Cells of a CSV that a spreadsheet shows as they are written.

A spreadsheet runs what looks like a formula, and turns what looks like a number or a date into one:
20261116.10 loses its zero, 1E5 becomes 100000, 3-4 a day in April. An apostrophe before the text
keeps it text. Plain whole numbers stay, since they are shown as they are.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

FORMULA_STARTS: Final = frozenset("=+-@\u2212")
_INVISIBLE: Final = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Mn", "Zs", "Zl", "Zp"))
_PLAIN_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,14}")
"""A spreadsheet keeps 15 digits of a number."""
_NUMBER_OR_DATE: Final = re.compile(r"[0-9.,:;/\\+\-%()$€£¥'\s]*", re.IGNORECASE)
_EXPONENT: Final = re.compile(r"\s*[0-9.,]+\s*[ed]\s*[+-]?[0-9]+\s*", re.IGNORECASE)
_WORD: Final = re.compile(
    r"\s*(true|false|"
    r"([0-9]{1,4}[\s./,-]*)?(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*[\s./,-]*"
    r"[0-9]{1,4}([\s./,-]+[0-9]{1,4})?|[0-9]{1,2}[\s./,-]*"
    r"(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*|"
    r"[0-9:.\s]+[ap]\.?m?\.?)\s*",
    re.IGNORECASE,
)
_SEPARATOR: Final = re.compile(r"([;|\t\r\n])")
"""What parts cells where a spreadsheet of another country reads the file."""


def as_text(value: object) -> object:
    """A cell that a spreadsheet takes for text, where it would take it for something else."""
    if not isinstance(value, str):
        return value
    if _is_altered(value):
        return f"'{value}"
    first, *others = _SEPARATOR.split(value)
    pairs = zip(others[::2], others[1::2], strict=True)
    return first + "".join(
        f"{parting}'{part}" if _is_formula(part) else parting + part for parting, part in pairs
    )


def _is_altered(text: str) -> bool:
    if _is_formula(text):
        return True
    kept = unicodedata.normalize("NFKC", _visible(text))
    if not any(map(str.isdigit, kept)):
        return bool(_WORD.fullmatch(kept))
    if kept == text and _PLAIN_NUMBER.fullmatch(text):
        return False
    return any(kind.fullmatch(kept) for kind in (_NUMBER_OR_DATE, _EXPONENT, _WORD))


def _is_formula(text: str) -> bool:
    """Whether it begins like a formula, after whatever nobody sees, in any width."""
    if text[:1] in ("\t", "\r", "\n"):
        return True
    first = next((one for one in text if unicodedata.category(one) not in _INVISIBLE), "")
    return unicodedata.normalize("NFKC", first)[:1] in FORMULA_STARTS if first else False


def _visible(text: str) -> str:
    return "".join(one for one in text if one == " " or unicodedata.category(one) not in _INVISIBLE)
