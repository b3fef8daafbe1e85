"""Signed heads: what the trail's end was at a moment, kept where the database's owner cannot reach.

A hash chain can be recomputed by whoever owns the database. A head that was signed, logged, mailed
or written to a file before cannot be taken back, and shows that the chain was rewritten or cut.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction
from django.utils import timezone

from batchops.files import for_owner_alone
from batchops.models import Action, AuditEntry, AuditHead
from batchops.services import audit
from batchops.services.audit_form import canonical_json
from batchops.services.errors import InvalidInput

logger = logging.getLogger(__name__)

PURPOSE: Final = "batchops audit head"
"""Part of what is signed, so that a signature serves for nothing else."""
KEY_BYTES: Final = 32


class BadKey(ValueError):
    """A key of the settings that cannot be used; the message names the setting, never the key."""


class BadAnchor(ValueError):
    """Text that is no anchor."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """The head of the trail at a moment (UTC). Without a signature, `key_id` is empty."""

    sequence: int
    hash: str
    at: str
    key_id: str = ""
    signature: str = ""

    def message(self) -> bytes:
        """The bytes that are signed."""
        return canonical_json(
            {
                "at": self.at,
                "hash": self.hash,
                "key_id": self.key_id,
                "purpose": PURPOSE,
                "sequence": self.sequence,
            }
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "sequence": self.sequence,
            "hash": self.hash,
            "at": self.at,
            "key_id": self.key_id,
            "signature": self.signature,
        }

    @classmethod
    def from_json(cls, data: object) -> Anchor:
        """Read back what `to_json` wrote. Raises BadAnchor for anything else."""
        if not isinstance(data, Mapping):
            raise BadAnchor("An anchor is an object with a sequence and a hash.")
        sequence, digest = data.get("sequence"), data.get("hash")
        if type(sequence) is not int or sequence < 0 or not _is_hash(digest):
            raise BadAnchor("An anchor needs a sequence and a hash of 64 hexadecimal digits.")
        rest = [data.get(name, "") for name in ("at", "key_id", "signature")]
        if not all(isinstance(text, str) for text in rest):
            raise BadAnchor("The time, key id and signature of an anchor are texts.")
        return cls(sequence, str(digest), *rest)


def signing_key() -> Ed25519PrivateKey | None:
    """The key of `AUDIT_SIGNING_KEY`; None where none is set. Raises BadKey."""
    text = settings.AUDIT_SIGNING_KEY
    if not text:
        return None
    return Ed25519PrivateKey.from_private_bytes(_key_bytes(text, "AUDIT_SIGNING_KEY"))


def public_keys() -> dict[str, Ed25519PublicKey]:
    """The keys that heads may be signed with, by key id: the present one and older ones."""
    keys = [
        Ed25519PublicKey.from_public_bytes(_key_bytes(text, "AUDIT_PUBLIC_KEYS"))
        for text in settings.AUDIT_PUBLIC_KEYS
    ]
    own = signing_key()
    if own is not None:
        keys.append(own.public_key())
    return {key_id(key): key for key in keys}


def key_id(key: Ed25519PublicKey) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of a public key."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def generate_key() -> tuple[str, str]:
    """A new signing key and its public key, both base64."""
    key = Ed25519PrivateKey.generate()
    seed, public = key.private_bytes_raw(), key.public_key().public_bytes_raw()
    return base64.b64encode(seed).decode(), base64.b64encode(public).decode()


def sign(head: AuditHead) -> Anchor:
    """The head as an anchor, signed where a key is set. Raises BadKey."""
    return sign_head(head.sequence, head.hash)


def sign_head(sequence: int, digest: str) -> Anchor:
    """The end of the chain at a moment as an anchor; see `sign`."""
    at = timezone.now().astimezone(dt.UTC).isoformat(timespec="microseconds")
    key = signing_key()
    if key is None:
        return Anchor(sequence, digest, at)
    anchor = Anchor(sequence, digest, at, key_id(key.public_key()))
    signature = base64.b64encode(key.sign(anchor.message())).decode()
    return Anchor(anchor.sequence, anchor.hash, anchor.at, anchor.key_id, signature)


def is_signed_by(anchor: Anchor, key: Ed25519PublicKey) -> bool:
    """Whether the signature of an anchor is of this key."""
    try:
        key.verify(base64.b64decode(anchor.signature, validate=True), anchor.message())
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def anchor_head() -> Anchor | None:
    """Sign the head, record that in the trail, and send it out; None when nothing is new."""
    with transaction.atomic():
        head = audit.locked_head()
        last = AuditEntry.objects.filter(pk=head.sequence).only("action").first()
        if last is None or last.action == Action.AUDIT_ANCHORED:
            return None
        anchor = sign(head)
        audit.record(
            audit.Fact(Action.AUDIT_ANCHORED, audit.SYSTEM, outcome="ok", detail=anchor.to_json())
        )
    send_out(anchor)
    return anchor


def anchor_if_due() -> Anchor | None:
    """Anchor the head when the last anchor is `AUDIT_ANCHOR_INTERVAL` seconds old."""
    last = AuditEntry.objects.filter(action=Action.AUDIT_ANCHORED).order_by("-sequence").first()
    interval = dt.timedelta(seconds=settings.AUDIT_ANCHOR_INTERVAL)
    if last is not None and timezone.now() - last.at < interval:
        return None
    return anchor_head()


def send_out(anchor: Anchor) -> None:
    """Log an anchor, and append it to the file and mail it where the settings ask for that.

    One way that fails is logged and does not keep the others from being taken.
    """
    line = canonical_json(anchor.to_json()).decode()
    logger.info("Head of the audit trail: %s", line)
    if settings.AUDIT_ANCHOR_FILE:
        try:
            append(Path(settings.AUDIT_ANCHOR_FILE), line)
        except OSError as error:
            logger.error("AUDIT_ANCHOR_FILE cannot be written: %s", error.strerror)
    if settings.AUDIT_ANCHOR_EMAILS:
        _mail(anchor, line)


def append(path: Path, line: str) -> None:
    """Append a line to a file and wait until it is on the disk."""
    with open(path, "a", encoding="utf-8", opener=for_owner_alone) as file:
        file.write(f"{line}\n")
        file.flush()
        os.fsync(file.fileno())


def read_file(path: Path) -> Iterator[Anchor]:
    """The anchors of a file of anchors or of a verifiable export.

    Raises InvalidInput, naming the line, for a file that holds none or that cannot be read.
    """
    found = 0
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if (anchor := _anchor_in(line, number)) is not None:
                    found += 1
                    yield anchor
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise InvalidInput(f"The anchors cannot be read: {reason}.", "anchor") from error
    if not found:
        raise InvalidInput("The file holds no anchor.", "anchor")


def parse_head(text: str) -> Anchor:
    """An anchor written as SEQUENCE:HASH. Raises InvalidInput."""
    sequence, _, digest = text.partition(":")
    if not sequence.isascii() or not sequence.isdigit() or not _is_hash(digest):
        raise InvalidInput("Give a file, or a head written as SEQUENCE:HASH.", "anchor")
    return Anchor(int(sequence), digest, "")


def _anchor_in(line: str, number: int) -> Anchor | None:
    if not line.strip():
        return None
    try:
        data = json.loads(line)
        if isinstance(data, dict) and "head" in data:
            return Anchor.from_json(data["head"])
        if not isinstance(data, dict) or "action" in data or "format" in data:
            return None
        return Anchor.from_json(data)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"Line {number} of the file is no anchor: {error}", "anchor") from error


def _mail(anchor: Anchor, line: str) -> None:
    try:
        send_mail(
            f"batchops: head of the audit trail at entry {anchor.sequence}",
            "Keep this message: it shows later that the audit trail was not rewritten or cut.\n\n"
            f"{line}\n",
            None,
            settings.AUDIT_ANCHOR_EMAILS,
        )
    except OSError as error:
        logger.error("The head of the audit trail cannot be mailed: %s", type(error).__name__)


def _key_bytes(text: str, setting: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise BadKey(f"{setting} must be {KEY_BYTES} bytes in base64.")
    return key


def _is_hash(value: object) -> bool:
    return (
        isinstance(value, str) and len(value) == 64 and set(value) <= frozenset("0123456789abcdef")
    )
