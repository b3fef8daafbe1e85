"""Reads archives and whole exports back as rows, so that the chain can be followed through them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from batchops.audit.canonical_form import FORMAT, Row, canonical_text, parse_json
from batchops.services.anchors.anchor import Anchor, BadAnchor
from batchops.services.errors import InvalidInput
from batchops.services.trail.stored_rows import SLICE

LONGEST_LINE: Final = 16 * 2**20
"""Bytes; a longer line is no entry of ours."""
_JSON: Final = frozenset(("before", "after", "detail"))


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """A file that holds an unbroken run of entries."""

    path: Path
    first: int
    through: int
    entries: int

    def rows(self, before: int) -> Iterator[list[Row]]:
        """Its entries whose sequence is below `before`, in slices. Raises InvalidInput."""
        part: list[Row] = []
        for number, line in _lines(self.path):
            data = _object(self.path, number, line)
            if "action" not in data:
                continue
            row = _row(self.path, number, data)
            if row.sequence >= before:
                break
            part.append(row)
            if len(part) == SLICE:
                yield part
                part = []
        if part:
            yield part


def look_into(paths: Iterable[Path]) -> list[ArchiveFile]:
    """What the files hold, the oldest entries first.

    Raises InvalidInput for a file that is no whole export or archive, or that is cut off.
    """
    return sorted((_look_into(path) for path in paths), key=lambda file: file.first)


def _look_into(path: Path) -> ArchiveFile:
    first = last = end = None
    header: dict[str, Any] = {}
    for number, line in _lines(path):
        data = _object(path, number, line)
        if number == 1:
            header = data
        elif "head" in data:
            end = data
        else:
            first, last = first or data, data
    entries = header.get("entries")
    if header.get("format") != FORMAT or header.get("whole") is not True:
        raise InvalidInput(
            f"{path} is neither an archive nor a whole export of the audit trail.", "archive"
        )
    if first is None or last is None or end is None or type(entries) is not int:
        raise InvalidInput(f"{path} is cut off.", "archive")
    try:
        head = Anchor.from_json(end["head"])
    except BadAnchor as error:
        raise InvalidInput(f"The last line of {path} cannot be read: {error}", "archive") from error
    begin = _row(path, 2, first).sequence
    if head.sequence - begin + 1 != entries:
        raise InvalidInput(f"{path} does not hold as many entries as it says.", "archive")
    return ArchiveFile(path, begin, head.sequence, entries)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(LONGEST_LINE):
                number += 1
                yield number, line
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}.", "archive") from error


def _object(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        data = parse_json(line.decode())
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"Line {number} of {path} is not JSON: {error}.", "archive") from error
    if not isinstance(data, dict):
        raise InvalidInput(f"Line {number} of {path} is not a JSON object.", "archive")
    return data


def _row(path: Path, number: int, data: dict[str, Any]) -> Row:
    """An entry of a file as the row it was; what it is made of is judged by its hash."""
    if set(data) != set(Row._fields) or type(data["sequence"]) is not int:
        raise InvalidInput(
            f"Line {number} of {path} is not an entry of the audit trail.", "archive"
        )
    texts = {
        name: canonical_text(value)
        for name, value in data.items()
        if name in _JSON and value is not None
    }
    return Row(**(data | texts))
