"""The keys that sign the ends of the trail, from the settings or given from outside."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from django.conf import settings

KEY_BYTES: Final = 32


class BadKey(ValueError):
    """A key that cannot be used; the message names where it came from, never the key."""


def signing_key() -> Ed25519PrivateKey | None:
    """The key of `AUDIT_SIGNING_KEY`; None where none is set. Raises BadKey."""
    text = settings.AUDIT_SIGNING_KEY
    if not text:
        return None
    return Ed25519PrivateKey.from_private_bytes(_key_bytes(text, "AUDIT_SIGNING_KEY"))


def public_keys() -> dict[str, Ed25519PublicKey]:
    """The keys that anchors may be signed with, by key id: the present one and older ones.

    Raises BadKey.
    """
    keys = parse_public_keys(settings.AUDIT_PUBLIC_KEYS, "AUDIT_PUBLIC_KEYS")
    own = signing_key()
    if own is not None:
        keys[key_id(own.public_key())] = own.public_key()
    return keys


def parse_public_keys(texts: Iterable[str], source: str) -> dict[str, Ed25519PublicKey]:
    """Public keys in base64, by key id. Raises BadKey, which names the source."""
    keys = [Ed25519PublicKey.from_public_bytes(_key_bytes(text, source)) for text in texts]
    return {key_id(key): key for key in keys}


def key_id(key: Ed25519PublicKey) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of a public key."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def generate_key() -> tuple[str, str]:
    """A new signing key and its public key, both base64."""
    key = Ed25519PrivateKey.generate()
    seed, public = key.private_bytes_raw(), key.public_key().public_bytes_raw()
    return base64.b64encode(seed).decode(), base64.b64encode(public).decode()


def _key_bytes(text: str, source: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise BadKey(f"{source} must be {KEY_BYTES} bytes in base64.")
    return key
