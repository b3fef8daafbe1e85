"""Checks an export or archive of the batchops audit trail, without batchops.

Needs Python 3.9 or later and nothing else; docs/audit-format.md describes the file. Run:

    python verify_audit_export.py FILE [--public-key BASE64] [--anchor SEQUENCE:HASH] [--after FILE]

Exits with 0 when nothing speaks against the file, 1 when something does, 2 when it is no such file.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import datetime as dt
import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

FORMAT = "batchops-audit-1"
GENESIS = "0" * 64
PURPOSE = "batchops audit head"
HASHES = ("previous_hash", "hash")
FIELDS = frozenset(
    (
        *("sequence", "at", "action", "outcome", "actor_id", "actor_name", "actor_ip", *HASHES),
        *("actor_kind", "on_behalf_of_id", "on_behalf_of_name", "operated_by"),
        *("batch_id", "campaign_id", "campaign_name", "change_id", "reason", "reference"),
        *("before", "after", "http_status", "detail"),
    )
)
ANCHOR = {
    **dict.fromkeys(("sequence", "number", "interval"), int),
    **dict.fromkeys(("hash", "previous", "at", "key_id", "signature", "reason", "by"), str),
}
FILTERED = "The file is filtered: nothing ties what comes before a gap ({:,} gaps) to what follows."
UNSIGNED = "No signature was checked (--public-key): all of this could have been rewritten."
LONGEST_LINE = 16 * 2**20
"""Bytes; a longer line is no entry of ours."""
Object = dict[str, Any]


class NotAnExport(Exception):
    """The file is none that this program can judge."""


class Broken(Exception):
    """Something in the file is not as batchops wrote it."""


def canonical(value: Any) -> bytes:
    """JSON with sorted keys, no spaces, ASCII only."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def chain_hash(entry: Object) -> str:
    """SHA-256 over the hash before, a line feed, and the canonical form of the other fields."""
    content = {name: value for name, value in entry.items() if name not in HASHES}
    return hashlib.sha256(entry["previous_hash"].encode() + b"\n" + canonical(content)).hexdigest()


def need(good: bool, message: str) -> None:
    """Raise Broken unless something is as it should be."""
    if not good:
        raise Broken(message)


def check(
    path: Path, keys: Sequence[bytes], wanted: dict[int, str], after: str = ""
) -> tuple[list[str], str]:
    """What is found of a file, in words, and its last hash. Raises Broken or NotAnExport."""
    lines = _lines(path)
    header = _header(lines)
    whole = header["whole"]
    first = last = end = None
    entries = gaps = 0
    chain = Anchors(keys, whole)
    for number, line in lines:
        data = _object(line, number)
        need(end is None, f"Line {number}: nothing may follow the last line.")
        if "head" in data:
            end = _trailer(data, entries)
            continue
        _check_entry(data, number)
        if last is not None:
            gaps += _check_link(last, data, whole)
        fits = wanted.pop(data["sequence"], data["hash"]) == data["hash"]
        need(fits, f"Entry {data['sequence']} is not the one that the anchor confirms.")
        first, last, entries = first or data, data, entries + 1
        if data["action"] == "audit.anchored":
            chain.take(data, first)
    if end is None or first is None or last is None:
        raise Broken("The file is cut off: its last line is missing.")
    need(header["entries"] == entries, f"The header counts other entries; there are {entries}.")
    _check_ends(first, last, end["head"], after, whole)
    chain.end(end, last)
    need(not wanted, f"The anchored entry {min(wanted, default=0)} is not in the file.")
    span = f"{entries:,} entries, {first['sequence']} to {last['sequence']}"
    words = [f"Integrity: good. {span}, are as they were written."]
    if gaps:
        words.append(FILTERED.format(gaps))
    elif first["sequence"] > 1:
        words.append(f"It follows an entry with the hash {first['previous_hash']}.")
    return [*words, *chain.notes, chain.words(end["head"])], last["hash"]


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with path.open("rb") as file:
            for number, line in enumerate(iter(lambda: file.readline(LONGEST_LINE), b""), 1):
                need(line.endswith(b"\n"), f"The file is cut off in line {number}.")
                yield number, line
    except OSError as error:
        raise NotAnExport(f"{path} cannot be read: {error.strerror}.") from error


def _header(lines: Iterator[tuple[int, bytes]]) -> Object:
    try:
        header = json.loads(next(lines, (1, b""))[1])
    except (ValueError, RecursionError):
        header = None
    kinds = {"format": str, "entries": int, "whole": bool}
    found = header if isinstance(header, dict) else {}
    is_sound = all(type(found.get(name)) is kind for name, kind in kinds.items())
    if not is_sound or found["format"] != FORMAT:
        raise NotAnExport(f"This is not an export of the audit trail in the format {FORMAT}.")
    return found


def _object(line: bytes, number: int) -> Object:
    try:
        data = json.loads(line, object_pairs_hook=_without_twins)
    except (ValueError, RecursionError) as error:
        raise Broken(f"Line {number} is not JSON: {error}.") from error
    need(isinstance(data, dict), f"Line {number} is not a JSON object.")
    return dict(data)


def _without_twins(pairs: list[tuple[str, Any]]) -> Object:
    """An object in which no name stands twice: readers would differ on which one counts."""
    need(len(dict(pairs)) == len(pairs), "A name occurs twice in one JSON object.")
    return dict(pairs)


def _check_entry(entry: Object, number: int) -> None:
    need(set(entry) == FIELDS, f"Line {number} does not have exactly the fields of an entry.")
    is_sound = type(entry["sequence"]) is int and all(_is_hash(entry[name]) for name in HASHES)
    need(is_sound, f"Line {number} has no valid sequence and hashes.")
    need(chain_hash(entry) == entry["hash"], f"Entry {entry['sequence']!a} was changed.")


def _check_link(before: Object, entry: Object, whole: bool) -> int:
    """Check that an entry comes after the one before it; returns 1 when entries lie between."""
    this, that = entry["sequence"], before["sequence"]
    need(this > that, f"Entry {this} comes after {that}.")
    if this > that + 1:
        need(not whole, f"Entries {that + 1} to {this - 1} are missing.")
        return 1
    need(entry["previous_hash"] == before["hash"], f"Entry {this} does not follow {that}.")
    return 0


def _trailer(data: Object, entries: int) -> Object:
    stored = data.get("anchor")
    need(is_anchor(data["head"]), "The head in the last line is incomplete.")
    need(stored is None or is_anchor(stored), "The anchor in the last line is incomplete.")
    need(data.get("entries") == entries, f"The last line counts others; there are {entries}.")
    return data


def _check_ends(first: Object, last: Object, head: Object, after: str, whole: bool) -> None:
    before = GENESIS if first["sequence"] == 1 else first["previous_hash"]
    need(first["previous_hash"] == before, "The first entry does not begin a chain.")
    need(not (after and whole) or before == after, "The file does not go on from the earlier one.")
    left_out = head["sequence"] - last["sequence"]
    need(left_out >= 0, "The file contains entries after its own head.")
    need(not whole or left_out == 0, f"The last {left_out} entries before the head are missing.")
    need(left_out > 0 or last["hash"] == head["hash"], "The last entry is not the head's.")


def _is_hash(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef")


class Anchors:
    """The anchors in a file: each fits its place and the one before, is signed, and is in time.

    Without public keys, signatures and time prove nothing and are not looked at.
    """

    def __init__(self, public_keys: Sequence[bytes], whole: bool) -> None:
        self.keys = {key_id(key): key for key in public_keys}
        self.whole = whole
        self.signed = 0
        self.notes: list[str] = []
        self.latest: Object | None = None
        self.fault = ""

    def take(self, entry: Object, first: Object) -> None:
        """Go on to the anchor in an entry of a file with this first entry. Raises Broken."""
        anchor, before, where = entry["detail"], self.latest, f"entry {entry['sequence']}"
        need(is_anchor(anchor), f"The anchor in {where} cannot be read.")
        place = (entry["sequence"] - 1, entry["previous_hash"])
        need((anchor["sequence"], anchor["hash"]) == place, f"The anchor in {where} is misplaced.")
        begins = first["sequence"] == 1
        previous = digest(before) if before else GENESIS if begins else anchor["previous"]
        follows = anchor["previous"] == previous or not self.whole
        need(follows, f"The anchor in {where} does not follow the anchor before.")
        if self.keys and anchor["key_id"]:
            self.check_signature(anchor, where)
            self.signed += 1
        if anchor["reason"] and (anchor["key_id"] or not self.keys):
            said = f"{where}: {anchor['by']!a} let the trail go on because: {anchor['reason']!a}"
            self.notes.append(f"{said} after this: {self.fault}" if self.fault else said)
            self.fault = ""
        elif self.whole:
            self.fault = self.fault or self._judge(before, anchor, where, first)
        self.latest = anchor

    def end(self, end: Object, last: Object) -> None:
        """Judge the end of the file. Raises Broken."""
        head, stored, latest = end["head"], end.get("anchor"), self.latest
        is_last = not self.whole or latest is None or stored == latest
        need(is_last, "The last line does not hold the last anchor of the file.")
        follows = head["previous"] == (digest(stored) if stored else GENESIS)
        need(follows, "The head does not follow the anchor in the last line.")
        if self.keys:
            self.check_signature(head, "the last line")
        if self.keys and self.whole and latest is not None:
            is_missing = not latest["key_id"] or is_late(latest, last["at"])
            missing = f"After {latest['at']}, a signed anchor is missing." if is_missing else ""
            self.fault = self.fault or missing
        need(not self.fault, self.fault)

    def words(self, head: Object) -> str:
        """What the signatures prove."""
        if not self.keys:
            return UNSIGNED
        return f"The head is signed with the key {head['key_id']}; so are {self.signed:,} anchors."

    def check_signature(self, anchor: Object, where: str) -> None:
        """Raises Broken for a signature that is false or of another key."""
        key = self.keys.get(anchor["key_id"], b"")
        need(key != b"", f"The anchor in {where} is signed with no such key: {anchor['key_id']!a}.")
        message = {name: value for name, value in anchor.items() if name != "signature"}
        signed = canonical({**message, "purpose": PURPOSE})
        is_true = verify_signature(key, signed, _decoded(anchor["signature"]))
        need(is_true, f"The signature of the anchor in {where} is false.")

    def _judge(self, before: Object | None, anchor: Object, where: str, first: Object) -> str:
        start = 1 if first["sequence"] == 1 else anchor["number"]
        due = before["number"] + 1 if before else start
        if anchor["number"] != due:
            return f"Anchor {due} is missing before {where}."
        is_begun = before is not None and before["key_id"]
        if not self.keys or not (is_begun or anchor["key_id"]):
            return ""
        earlier = before if before and is_begun else {**anchor, "at": first["at"]}
        late = f"The anchor in {where} came late." if is_late(earlier, anchor["at"]) else ""
        return late if anchor["key_id"] else f"The anchor in {where} is not signed."


def is_anchor(value: Any) -> bool:
    """Whether a value has exactly the fields of an anchor."""
    kinds = {name: type(part) for name, part in value.items()} if isinstance(value, dict) else {}
    return kinds == ANCHOR and all(map(_is_hash, (value["hash"], value["previous"])))


def is_late(anchor: Object, at: str) -> bool:
    """Whether the next anchor comes, or the trail ends, too long after this one."""
    try:
        passed = dt.datetime.fromisoformat(at) - dt.datetime.fromisoformat(anchor["at"])
    except (ValueError, TypeError):
        return True
    return passed > dt.timedelta(seconds=max(2 * anchor["interval"], 600))


def digest(anchor: Object) -> str:
    """What the next anchor names as the one before."""
    return hashlib.sha256(canonical(anchor)).hexdigest()


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


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


def _decode(data: bytes) -> Point | None:
    number = int.from_bytes(data, "little")
    odd, y = number >> 255, number & (2**255 - 1)
    square = (y * y - 1) * pow(D * y * y + 1, -1, PRIME) % PRIME
    x = pow(square, (PRIME + 3) // 8, PRIME)
    if x * x % PRIME != square:
        x = x * SQUARE_ROOT_OF_MINUS_1 % PRIME
    if y >= PRIME or x * x % PRIME != square or (odd and not x):
        return None
    x = PRIME - x if x % 2 != odd else x
    return x, y, 1, x * y % PRIME


def _encode(point: Point) -> bytes:
    inverse = pow(point[2], -1, PRIME)
    x, y = point[0] * inverse % PRIME, point[1] * inverse % PRIME
    return (y | (x & 1) << 255).to_bytes(32, "little")


def _add(first: Point, second: Point) -> Point:
    a = (first[1] - first[0]) * (second[1] - second[0]) % PRIME
    b = (first[1] + first[0]) * (second[1] + second[0]) % PRIME
    c, d = 2 * first[3] * second[3] * D % PRIME, 2 * first[2] * second[2] % PRIME
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % PRIME, g * h % PRIME, f * g % PRIME, e * h % PRIME


def _multiply(scalar: int, point: Point) -> Point:
    result = NEUTRAL
    for bit in f"{scalar:b}":
        result = _add(result, result)
        result = _add(result, point) if bit == "1" else result
    return result


BASE: Point = _decode((4 * pow(5, -1, PRIME) % PRIME).to_bytes(32, "little")) or NEUTRAL


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


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Check an export of the batchops audit trail.")
    parser.add_argument("file", type=Path)
    add = parser.add_argument
    add("--public-key", action="append", default=[], help="Base64; may be given more than once.")
    add("--anchor", action="append", default=[], help="SEQUENCE:HASH, kept elsewhere.")
    add("--after", type=Path, help="The archive that this file should go on from.")
    options = parser.parse_args(arguments)
    try:
        keys = [_public_key(text) for text in options.public_key]
        anchors = dict(_anchor(text) for text in options.anchor)
        after = check(options.after, keys, {})[1] if options.after else ""
        words, _ = check(options.file, keys, anchors, after)
    except NotAnExport as error:
        print(f"Cannot judge: {error}", file=sys.stderr)
        return 2
    except Broken as error:
        print(f"BROKEN: {error}")
        return 1
    print("\n".join(words))
    return 0


def _public_key(text: str) -> bytes:
    key = _decoded(text)
    if len(key) != 32:
        raise NotAnExport("A public key is 32 bytes in base64.")
    return key


def _anchor(text: str) -> tuple[int, str]:
    sequence, _, last = text.partition(":")
    if sequence.isascii() and sequence.isdigit() and _is_hash(last):
        return int(sequence), last
    raise NotAnExport("An anchor is written as SEQUENCE:HASH.")


if __name__ == "__main__":
    sys.exit(main())
