"""The fixed form of an entry that is hashed and exported; docs/audit-format.md describes it.

One definition serves writing, verifying and exporting. It is made from plain texts and numbers,
so that a hundred thousand rows a second can be put into it.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable
from json.encoder import encode_basestring_ascii
from typing import Any, Final, NamedTuple

FORMAT: Final = "batchops-audit-1"
"""What exports and archives name their form."""
GENESIS: Final = "0" * 64
"""What stands for the hash before the first entry."""
CACHED_TEXTS: Final = 8_192


class Row(NamedTuple):
    """An entry as it is hashed. JSON is text; `at` is UTC as 2026-03-24T06:00:00.000000+00:00."""

    sequence: int
    at: str
    action: str
    outcome: str
    actor_id: int | None
    actor_name: str
    actor_ip: str
    actor_kind: str
    on_behalf_of_id: int | None
    on_behalf_of_name: str
    operated_by: str
    batch_id: str
    campaign_id: int | None
    campaign_name: str
    change_id: str | None
    reason: str
    reference: str
    before: str | None
    after: str | None
    http_status: int | None
    detail: str | None
    previous_hash: str
    hash: str


canonical_text: Final[Callable[[Any], str]] = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=True
).encode
"""JSON with sorted keys, no spaces, ASCII only."""


def canonical_json(value: Any) -> bytes:
    """JSON with sorted keys, no spaces, ASCII only."""
    return canonical_text(value).encode()


def canonical_row(row: Row) -> str:
    """The text that is hashed for an entry: its fields but for the two hashes, sorted by name."""
    try:
        return _canonical_row(row)
    except TypeError:
        # SQLite lets bytes stand where text belongs; no entry was ever written so.
        return canonical_text([repr(value) for value in row])


def _canonical_row(row: Row) -> str:
    (sequence, at, action, outcome, actor_id, actor_name, actor_ip, actor_kind) = row[:8]
    (on_behalf_of_id, on_behalf_of_name, operated_by, batch_id, campaign_id) = row[8:13]
    (campaign_name, change_id, reason, reference, before, after, http_status, detail) = row[13:21]
    text = encode_basestring_ascii
    return (
        f'{{"action":{text(action)},"actor_id":{_number(actor_id)},"actor_ip":{text(actor_ip)},'
        f'"actor_kind":{text(actor_kind)},'
        f'"actor_name":{text(actor_name)},"after":{_json(after)},"at":{text(at)},'
        f'"batch_id":{text(batch_id)},"before":{_json(before)},'
        f'"campaign_id":{_number(campaign_id)},"campaign_name":{text(campaign_name)},'
        f'"change_id":{"null" if change_id is None else text(change_id)},'
        f'"detail":{_json(detail)},"http_status":{_number(http_status)},'
        f'"on_behalf_of_id":{_number(on_behalf_of_id)},'
        f'"on_behalf_of_name":{text(on_behalf_of_name)},"operated_by":{text(operated_by)},'
        f'"outcome":{text(outcome)},"reason":{text(reason)},"reference":{text(reference)},'
        f'"sequence":{_number(sequence)}}}'
    )


def chain_hash(previous_hash: str, canonical_form: bytes) -> str:
    """SHA-256 over the hash before, a line feed, and the canonical form, in hex."""
    return hashlib.sha256(
        previous_hash.encode(errors="surrogateescape") + b"\n" + canonical_form
    ).hexdigest()


def row_hash(row: Row) -> str:
    """The hash that an entry should have, after the hash it names as the one before."""
    return chain_hash(str(row.previous_hash), canonical_row(row).encode())


def json_line(row: Row) -> str:
    """An entry as one line of an export: the canonical form with its two hashes added."""
    text = encode_basestring_ascii
    return (
        f'{canonical_row(row)[:-1]},"previous_hash":{text(row.previous_hash)},'
        f'"hash":{text(row.hash)}}}\n'
    )


def _number(value: object) -> str:
    if value is None:
        return "null"
    # SQLite lets any column hold text, which must not pass for a number.
    return str(value) if type(value) is int else canonical_text(str(value))


def json_object(text: str | None) -> dict[str, Any]:
    """The object of JSON in a text; an empty one for anything else."""
    try:
        value = parse_json(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def parse_json(text: str) -> Any:
    """JSON in which no name stands twice in an object: readers would differ on which one counts.

    Raises ValueError, or RecursionError for what is nested too deeply.
    """
    return json.loads(text, object_pairs_hook=_without_twins)


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return found


@functools.lru_cache(CACHED_TEXTS)
def _canonical_of(text: str) -> str:
    try:
        value = parse_json(text)
    except (ValueError, RecursionError):
        value = None
    # What is no JSON stands for itself, and so does a null, which is written as none at all.
    return canonical_text(text if value is None else value)


def _json(text: str | None) -> str:
    if text is None:
        return "null"
    # SQLite lets bytes stand where text belongs, and its own functions would read them otherwise.
    return _canonical_of(text) if isinstance(text, str) else canonical_text(repr(text))
