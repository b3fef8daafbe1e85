"""What an anchor is: the end of the trail at a moment, signed, and tied to the anchor before.

docs/audit-format.md describes the form, for verifiers of others.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import datetime as dt
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.utils import timezone

from batchops.audit.canonical_form import GENESIS, canonical_json
from batchops.services.anchors import signing_keys
from batchops.services.errors import InvalidInput

PURPOSE: Final = "batchops audit head"
"""Part of what is signed, so that a signature serves for nothing else."""
LATE_AFTER: Final = 2
"""Intervals after which the next anchor is late: one that it may take, one for a restart."""
SHORTEST_PATIENCE: Final = dt.timedelta(minutes=10)


class BadAnchor(ValueError):
    """Text that is no anchor."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """The end of the trail at a moment (UTC). Without a signature, `key_id` is empty.

    Those that the trail stores are numbered from 1 and hold the digest of the one before. Number 0
    is the end of an export or archive, which no other anchor builds on.
    """

    sequence: int
    hash: str
    at: str
    key_id: str = ""
    signature: str = ""
    number: int = 0
    previous: str = GENESIS
    interval: int = 0
    """Seconds until the next anchor is due."""
    reason: str = ""
    """Why a person lets the trail go on from here, after a fault; empty for all others."""
    by: str = ""
    """Who gave that reason."""

    def message(self) -> bytes:
        """The bytes that are signed."""
        return canonical_json({**self.to_json(signed=False), "purpose": PURPOSE})

    def to_json(self, *, signed: bool = True) -> dict[str, Any]:
        """All fields; with or without the signature."""
        data = dataclasses.asdict(self)
        if not signed:
            del data["signature"]
        return data

    def digest(self) -> str:
        """What the next anchor names as the one before."""
        return hashlib.sha256(canonical_json(self.to_json())).hexdigest()

    @property
    def entry(self) -> int:
        """The sequence of the entry that stores it: right after what it confirms."""
        return self.sequence + 1

    @property
    def is_acknowledgement(self) -> bool:
        return bool(self.reason)

    @property
    def moment(self) -> dt.datetime | None:
        """When it was signed; None where it does not say so in a form that can be read."""
        try:
            moment = dt.datetime.fromisoformat(self.at)
        except ValueError:
            return None
        return moment if moment.tzinfo else None

    def is_late(self, moment: dt.datetime | None) -> bool:
        """Whether an anchor that comes at this moment (or not before it) comes too late."""
        if self.moment is None or moment is None:
            return True
        patience = dt.timedelta(seconds=self.interval * LATE_AFTER)
        return moment - self.moment > max(patience, SHORTEST_PATIENCE)

    @classmethod
    def from_json(cls, data: object) -> Anchor:
        """Read back what `to_json` wrote. Raises BadAnchor for anything else."""
        if not isinstance(data, Mapping):
            raise BadAnchor("An anchor is an object with a sequence and a hash.")
        sequence, digest = data.get("sequence"), data.get("hash")
        if type(sequence) is not int or sequence < 0 or not is_hash(digest):
            raise BadAnchor("An anchor needs a sequence and a hash of 64 hexadecimal digits.")
        texts = {name: data.get(name, "") for name in ("at", "key_id", "signature", "reason", "by")}
        numbers = {name: data.get(name, 0) for name in ("number", "interval")}
        previous = data.get("previous", GENESIS)
        if not all(isinstance(text, str) for text in texts.values()) or not is_hash(previous):
            raise BadAnchor("The text fields of an anchor must be text.")
        if not all(type(number) is int and number >= 0 for number in numbers.values()):
            raise BadAnchor("The number and interval of an anchor must be whole numbers.")
        return cls(sequence, str(digest), **texts, **numbers, previous=str(previous))


def signed(sequence: int, digest: str, **more: Any) -> Anchor:
    """The end of the chain as an anchor of now, signed where a key is set. Raises BadKey."""
    at = timezone.now().astimezone(dt.UTC).isoformat(timespec="microseconds")
    anchor = Anchor(sequence, digest, at, **more)
    key = signing_keys.signing_key()
    if key is None:
        return anchor
    anchor = dataclasses.replace(anchor, key_id=signing_keys.key_id(key.public_key()))
    signature = base64.b64encode(key.sign(anchor.message())).decode()
    return dataclasses.replace(anchor, signature=signature)


def is_signed_by(anchor: Anchor, key: Ed25519PublicKey) -> bool:
    """Whether the signature of an anchor is of this key."""
    try:
        key.verify(base64.b64decode(anchor.signature, validate=True), anchor.message())
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def is_signed(anchor: Anchor, keys: Mapping[str, Ed25519PublicKey]) -> bool:
    """Whether an anchor is signed with one of these keys."""
    key = keys.get(anchor.key_id)
    return key is not None and is_signed_by(anchor, key)


def parse_head(text: str) -> Anchor:
    """An anchor written as SEQUENCE:HASH. Raises InvalidInput."""
    sequence, _, digest = text.partition(":")
    if not sequence.isascii() or not sequence.isdigit() or not is_hash(digest):
        raise InvalidInput("Give a file, or a head written as SEQUENCE:HASH.", "anchor")
    return Anchor(int(sequence), digest, "")


def is_hash(value: object) -> bool:
    return (
        isinstance(value, str) and len(value) == 64 and set(value) <= frozenset("0123456789abcdef")
    )
