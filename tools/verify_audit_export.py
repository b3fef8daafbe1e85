"""Checks an export or archive of the batchops audit trail, without batchops.

Needs Python 3.9 or later and nothing else; docs/audit-format.md describes the file. Run:

    python verify_audit_export.py FILE [--public-key BASE64] [--anchor SEQUENCE:HASH] [--after FILE]

Exits with 0 when nothing speaks against the file, 1 when something does, 2 when it is no such file.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

FORMAT = "batchops-audit-1"
GENESIS = "0" * 64
PURPOSE = "batchops audit head"
HASHES = ("previous_hash", "hash")
FIELDS = frozenset(
    (
        *("sequence", "at", "action", "outcome", "actor_id", "actor_name", "actor_ip"),
        *("actor_kind", "on_behalf_of_id", "on_behalf_of_name", "operated_by"),
        *("batch_id", "campaign_id", "campaign_name", "change_id", "reason", "reference"),
        *("before", "after", "http_status", "detail"),
    )
)
LONGEST_LINE = 16 * 2**20
"""Bytes; a longer line is no entry of ours."""


class NotAnExport(Exception):
    """The file is none that this program can judge."""


class Broken(Exception):
    """Something in the file is not as batchops wrote it."""


class Finding(NamedTuple):
    """What a file was found to hold."""

    entries: int
    first: int
    last: int
    before_first: str
    gaps: int
    signed_by: str | None
    signature_checked: bool


# The file ------------------------------------------------------------------------------------


def canonical(value: Any) -> bytes:
    """JSON with sorted keys, no spaces, ASCII only."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def chain_hash(entry: dict[str, Any]) -> str:
    """SHA-256 over the hash before, a line feed, and the canonical form of the other fields."""
    content = {name: value for name, value in entry.items() if name not in HASHES}
    return hashlib.sha256(entry["previous_hash"].encode() + b"\n" + canonical(content)).hexdigest()


def check(
    path: Path,
    public_keys: Sequence[bytes],
    anchors: Sequence[tuple[int, str]],
    after: str | None,
) -> Finding:
    """Check a whole file. Raises Broken or NotAnExport."""
    lines = _lines(path)
    header = _header(lines)
    first = last = None
    entries = gaps = 0
    wanted = dict(anchors)
    head: dict[str, Any] | None = None
    for number, line in lines:
        data = _object(line, number)
        if head is not None:
            raise Broken(f"Line {number}: nothing may follow the last line.")
        if "head" in data:
            head = _trailer(data, entries)
            continue
        _check_entry(data, number)
        if last is not None:
            gaps += _check_link(last, data, header["whole"])
        if wanted.pop(data["sequence"], data["hash"]) != data["hash"]:
            raise Broken(f"Entry {data['sequence']} is not the one that the anchor confirms.")
        first, last, entries = first or data, data, entries + 1
    if head is None or first is None or last is None:
        raise Broken("The file is cut off: its last line is missing.")
    if header["entries"] != entries:
        raise Broken(f"The file should hold {header['entries']} entries, but holds {entries}.")
    _check_beginning(first, after, header["whole"])
    _check_head(head, last, header["whole"])
    if wanted:
        raise Broken(f"The anchored entry {min(wanted)} is not in the file.")
    return Finding(
        entries,
        first["sequence"],
        last["sequence"],
        first["previous_hash"],
        gaps,
        head["key_id"] or None,
        _check_signature(head, public_keys),
    )


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(LONGEST_LINE):
                number += 1
                if not line.endswith(b"\n"):
                    raise Broken(f"The file is cut off in line {number}.")
                yield number, line
    except OSError as error:
        raise NotAnExport(f"{path} cannot be read: {error.strerror}.") from error


def _header(lines: Iterator[tuple[int, bytes]]) -> dict[str, Any]:
    number, line = next(lines, (1, b""))
    try:
        header = json.loads(line)
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise NotAnExport(f"This is no export of the audit trail in the format {FORMAT}.")
    if type(header.get("entries")) is not int or type(header.get("whole")) is not bool:
        raise NotAnExport(f"Line {number} is no header of an export.")
    return header


def _object(line: bytes, number: int) -> dict[str, Any]:
    try:
        data = json.loads(line, object_pairs_hook=_without_twins)
    except (ValueError, RecursionError) as error:
        raise Broken(f"Line {number} is not JSON: {error}.") from error
    if not isinstance(data, dict):
        raise Broken(f"Line {number} is no JSON object.")
    return data


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON in which no name stands twice: readers would differ on which one counts."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return found


def _check_entry(entry: dict[str, Any], number: int) -> None:
    if set(entry) != FIELDS | set(HASHES):
        raise Broken(f"Line {number} does not have exactly the fields of an entry.")
    if type(entry["sequence"]) is not int or not all(_is_hash(entry[name]) for name in HASHES):
        raise Broken(f"Line {number} has no valid sequence and hashes.")
    if chain_hash(entry) != entry["hash"]:
        raise Broken(f"Entry {entry['sequence']} (line {number}) was changed.")


def _check_link(before: dict[str, Any], entry: dict[str, Any], whole: bool) -> int:
    """Check that an entry comes after the one before it; returns 1 when entries lie between."""
    step = entry["sequence"] - before["sequence"]
    if step <= 0:
        raise Broken(f"Entry {entry['sequence']} stands behind {before['sequence']}.")
    if step > 1:
        if whole:
            raise Broken(
                f"Entries {before['sequence'] + 1} to {entry['sequence'] - 1} are missing."
            )
        return 1
    if entry["previous_hash"] != before["hash"]:
        raise Broken(f"Entry {entry['sequence']} does not follow {before['sequence']}.")
    return 0


def _trailer(data: dict[str, Any], entries: int) -> dict[str, Any]:
    head = data["head"]
    if not isinstance(head, dict) or type(head.get("sequence")) is not int:
        raise Broken("The last line has no head.")
    if not all(isinstance(head.get(name), str) for name in ("hash", "at", "key_id", "signature")):
        raise Broken("The head in the last line is incomplete.")
    if data.get("entries") != entries:
        raise Broken(f"The last line counts {data.get('entries')} entries; there are {entries}.")
    return head


def _check_beginning(first: dict[str, Any], after: str | None, whole: bool) -> None:
    if first["sequence"] == 1 and first["previous_hash"] != GENESIS:
        raise Broken("The first entry does not begin a chain.")
    if after is not None and whole and first["previous_hash"] != after:
        raise Broken("The file does not go on where the earlier one ends.")


def _check_head(head: dict[str, Any], last: dict[str, Any], whole: bool) -> None:
    if last["sequence"] > head["sequence"]:
        raise Broken("The file holds entries behind its own head.")
    if last["sequence"] == head["sequence"]:
        if last["hash"] != head["hash"]:
            raise Broken("The last entry has another hash than the head.")
    elif whole:
        raise Broken(f"Entries {last['sequence'] + 1} to {head['sequence']} are missing.")


def _check_signature(head: dict[str, Any], public_keys: Sequence[bytes]) -> bool:
    """Whether a signature was checked; raises Broken for one that is false or of another key."""
    if not public_keys:
        return False
    if not head["key_id"]:
        raise Broken("The head is not signed, although a public key was given.")
    key = next((key for key in public_keys if key_id(key) == head["key_id"]), None)
    if key is None:
        raise Broken(f"The head is signed with another key (id {head['key_id']}).")
    message = canonical(
        {
            "at": head["at"],
            "hash": head["hash"],
            "key_id": head["key_id"],
            "purpose": PURPOSE,
            "sequence": head["sequence"],
        }
    )
    try:
        signature = base64.b64decode(head["signature"], validate=True)
    except (binascii.Error, ValueError):
        signature = b""
    if not verify_signature(key, message, signature):
        raise Broken("The signature of the head is false.")
    return True


def _is_hash(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef")


def key_id(public_key: bytes) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of a public key."""
    return hashlib.sha256(public_key).hexdigest()[:16]


# Ed25519 (RFC 8032), verifying only ----------------------------------------------------------

PRIME = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, PRIME) % PRIME
SQUARE_ROOT_OF_MINUS_1 = pow(2, (PRIME - 1) // 4, PRIME)

Point = tuple[int, int, int, int]
"""x = X/Z, y = Y/Z, x * y = T/Z (RFC 8032, section 5.1.4)."""
NEUTRAL: Point = (0, 1, 1, 0)


def _recover_x(y: int, odd: int) -> int | None:
    square = (y * y - 1) * pow(D * y * y + 1, -1, PRIME) % PRIME
    if square == 0:
        return None if odd else 0
    x = pow(square, (PRIME + 3) // 8, PRIME)
    if (x * x - square) % PRIME:
        x = x * SQUARE_ROOT_OF_MINUS_1 % PRIME
    if (x * x - square) % PRIME:
        return None
    return PRIME - x if x % 2 != odd else x


def _decode(data: bytes) -> Point | None:
    number = int.from_bytes(data, "little")
    odd, y = number >> 255, number & (2**255 - 1)
    if y >= PRIME:
        return None
    x = _recover_x(y, odd)
    return None if x is None else (x, y, 1, x * y % PRIME)


def _encode(point: Point) -> bytes:
    inverse = pow(point[2], -1, PRIME)
    x, y = point[0] * inverse % PRIME, point[1] * inverse % PRIME
    return (y | (x & 1) << 255).to_bytes(32, "little")


def _add(first: Point, second: Point) -> Point:
    a = (first[1] - first[0]) * (second[1] - second[0]) % PRIME
    b = (first[1] + first[0]) * (second[1] + second[0]) % PRIME
    c = 2 * first[3] * second[3] * D % PRIME
    d = 2 * first[2] * second[2] % PRIME
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % PRIME, g * h % PRIME, f * g % PRIME, e * h % PRIME


def _multiply(scalar: int, point: Point) -> Point:
    result = NEUTRAL
    while scalar:
        if scalar & 1:
            result = _add(result, point)
        point = _add(point, point)
        scalar >>= 1
    return result


_BASE_Y = 4 * pow(5, -1, PRIME) % PRIME
_BASE_X = _recover_x(_BASE_Y, 0) or 0
BASE: Point = (_BASE_X, _BASE_Y, 1, _BASE_X * _BASE_Y % PRIME)


def verify_signature(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether an Ed25519 signature is of this message and key (RFC 8032, section 5.1.7)."""
    if len(public_key) != 32 or len(signature) != 64:
        return False
    key = _decode(public_key)
    scalar = int.from_bytes(signature[32:], "little")
    if key is None or scalar >= ORDER:
        return False
    digest = hashlib.sha512(signature[:32] + public_key + message).digest()
    challenge = int.from_bytes(digest, "little") % ORDER
    negative: Point = (PRIME - key[0], key[1], key[2], PRIME - key[3])
    return _encode(_add(_multiply(scalar, BASE), _multiply(challenge, negative))) == signature[:32]


# The command line ----------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Check an export of the batchops audit trail.")
    parser.add_argument("file", type=Path)
    parser.add_argument(
        "--public-key", action="append", default=[], help="Base64; may be given more than once."
    )
    parser.add_argument(
        "--anchor", action="append", default=[], help="SEQUENCE:HASH, kept elsewhere."
    )
    parser.add_argument("--after", type=Path, help="The archive that this file should go on from.")
    options = parser.parse_args(arguments)
    try:
        keys = [_public_key(text) for text in options.public_key]
        anchors = [_anchor(text) for text in options.anchor]
        after = _last_hash(options.after, keys) if options.after else None
        finding = check(options.file, keys, anchors, after)
    except NotAnExport as error:
        print(f"Cannot judge: {error}", file=sys.stderr)
        return 2
    except Broken as error:
        print(f"BROKEN: {error}")
        return 1
    for line in report(finding):
        print(line)
    return 0


def report(finding: Finding) -> Iterator[str]:
    """The verdict in words, with what it cannot exclude."""
    yield (
        f"Integrity: good. {finding.entries:,} entries, {finding.first} to {finding.last}, "
        "are as they were written."
    )
    if finding.gaps:
        yield (
            f"The file is filtered: other entries lie between in {finding.gaps:,} places, and "
            "nothing ties the entries before such a place to those behind it."
        )
    if finding.first > 1 and not finding.gaps:
        yield f"It follows an entry with the hash {finding.before_first}."
    if finding.signature_checked:
        yield f"The head is signed with the key {finding.signed_by}."
    else:
        yield (
            "The signature of the head was not checked (--public-key): whoever owns the database "
            "could have written all of this anew."
        )


def _public_key(text: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != 32:
        raise NotAnExport("A public key is 32 bytes in base64.")
    return key


def _anchor(text: str) -> tuple[int, str]:
    sequence, _, digest = text.partition(":")
    if not (sequence.isascii() and sequence.isdigit() and _is_hash(digest)):
        raise NotAnExport("An anchor is written as SEQUENCE:HASH.")
    return int(sequence), digest


def _last_hash(path: Path, keys: Sequence[bytes]) -> str:
    """The hash at the end of an earlier file, once that file is found to be good."""
    check(path, keys, (), None)
    last = b""
    for _, line in _lines(path):
        last = line
    return str(json.loads(last)["head"]["hash"])


if __name__ == "__main__":
    sys.exit(main())
