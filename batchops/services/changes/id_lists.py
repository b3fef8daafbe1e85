"""Lists of batch ids as text: one a line, JSON Lines, or CSV; each id is exactly what was given.

An id is text that somebody else chose. Nothing is trimmed, unquoted or split, unless the text says
by its form that it is quoted: JSON Lines with objects, or CSV whose heading names the column.
"""

from __future__ import annotations

import csv
import json
import re
import unicodedata
from collections.abc import Iterator
from typing import Any, Final

SEPARATORS: Final = re.compile(r"[,;\t]")
_QUOTES: Final = frozenset("\"'`´‘’‚‛“”„‟«»‹›")  # noqa: RUF001 - quotes that people paste
_HEADINGS: Final = frozenset({"batchid"})


class Unreadable(ValueError):
    """A list that begins in one form and goes on in another; says where."""


def plain(text: str) -> list[str]:
    """One id on each line, exactly; lines end at \\n or \\r\\n and nowhere else."""
    lines = (line.removesuffix("\r") for line in text.split("\n"))
    return [line for line in lines if line]


def json_lines(text: str) -> list[str]:
    """The ids of JSON Lines: strings, or objects with a `batch_id`. Raises Unreadable."""
    found = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            found.append(_id_of(json.loads(line, object_pairs_hook=_object)))
        except (ValueError, RecursionError) as error:
            why = str(error) if isinstance(error, Unreadable) else "it is not JSON"
            raise Unreadable(f"Line {number:,} cannot be read: {why}.") from None
    return found


def looks_like_json_lines(text: str) -> bool:
    """Whether it begins as JSON Lines and has an object with a `batch_id`.

    Strings alone do not count: `"X"` may be the id of a batch.
    """
    lines = [line for line in text.split("\n") if line.strip()]
    objects = (line for line in lines if line.lstrip().startswith("{"))
    return bool(lines) and _is_entry(lines[0]) and any(_is_entry(line) for line in objects)


def heading(text: str) -> str | None:
    """The first line, where it is a CSV heading that names the column of batch ids."""
    first = text.split("\n", 1)[0].removesuffix("\r")
    return first if _delimiter(first) else None


def csv_column(text: str) -> list[str]:
    """The ids in the column that the heading of a CSV text names. Raises Unreadable."""
    delimiter = _delimiter(text.split("\n", 1)[0].removesuffix("\r")) or ","
    rows = csv.reader(_lines(text), delimiter=delimiter, strict=True)
    try:
        names = [_plain_name(cell) for cell in next(rows, [])]
        if sum(name in _HEADINGS for name in names) != 1:
            raise Unreadable("The heading must name exactly one column batch_id.")
        place = next(index for index, name in enumerate(names) if name in _HEADINGS)
        return [_cell(row, place, len(names), rows.line_num) for row in rows if any(row)]
    except csv.Error as error:
        raise Unreadable(f"Line {rows.line_num:,} is not CSV: {error}.") from None


def fold(name: str) -> str:
    """What ids have in common that differ in case, quotes, blanks or Unicode form alone."""
    plain_form = unicodedata.normalize("NFKC", name).casefold()
    bare = "".join(
        letter
        for letter in plain_form
        if letter not in _QUOTES and unicodedata.category(letter)[0] not in "ZC"
    )
    # An accent joins the letter before it once what stood between is gone.
    return unicodedata.normalize("NFKC", bare)


def parts(line: str) -> list[str]:
    """What a line holds between separators, without the blanks around."""
    return [part.strip() for part in SEPARATORS.split(line) if part.strip()]


def shown(name: str, beside: str = "") -> str:
    """An id in quotes, with what cannot be seen escaped; beside a look-alike, all but ASCII."""
    alike = unicodedata.normalize("NFKC", name) == unicodedata.normalize("NFKC", beside)
    return ascii(name) if alike and name != beside else repr(name)


def _is_entry(line: str) -> bool:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, str) or (isinstance(value, dict) and "batch_id" in value)


def _id_of(value: object) -> str:
    if isinstance(value, dict):
        if "batch_id" not in value:
            raise Unreadable("the object has no batch_id")
        value = value["batch_id"]
    if not isinstance(value, str):
        raise Unreadable("a batch id is text, in quotes: as a number 20261116.10 loses its zero")
    if not value:
        raise Unreadable("the batch id is empty")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if sum(name == "batch_id" for name, _ in pairs) > 1:
        raise Unreadable("batch_id is given more than once")
    return dict(pairs)


def _lines(text: str) -> Iterator[str]:
    """The lines with their ends; a csv reader puts those together that a quoted cell spans."""
    return iter(re.findall(r"[^\n]*\n|[^\n]+", text.removeprefix("\ufeff")))


def _delimiter(line: str) -> str | None:
    """What parts the cells of a CSV heading that names the column of batch ids."""
    for delimiter in (",", ";", "\t"):
        try:
            cells = next(csv.reader([line], delimiter=delimiter, strict=True), [])
        except csv.Error:
            continue
        if any(_plain_name(cell) in _HEADINGS for cell in cells):
            return delimiter
    return None


def _plain_name(cell: str) -> str:
    return re.sub(r"[\s_\-\ufeff]+", "", cell).lower()


def _cell(row: list[str], place: int, width: int, line: int) -> str:
    if len(row) != width:
        raise Unreadable(
            f"Line {line:,} has {len(row):,} cells, and the heading {width:,}. "
            "A cell that contains the separator must be in quotes."
        )
    if not row[place]:
        raise Unreadable(f"Line {line:,} has no batch id.")
    return row[place]
