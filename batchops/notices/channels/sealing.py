"""Secrets of channels: sealed with a key made from SECRET_KEY, or named in the environment."""

from __future__ import annotations

import base64
import os
import re
from typing import Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

NAMED: Final = re.compile(r"env:(NOTICE_[A-Z0-9_]{1,80})")
"""Only such variables can be named, so that no channel can send SECRET_KEY or the key away."""


class CannotOpen(Exception):
    """A secret that cannot be read; the message says what to do, and nothing of the secret."""


def seal(secret: str) -> str:
    """A secret as it is stored; the name of a variable stays as it is."""
    if not secret or NAMED.fullmatch(secret):
        return secret
    return _box().encrypt(secret.encode()).decode()


def open_sealed(stored: str) -> str:
    """The secret itself. Raises CannotOpen."""
    if not stored:
        return ""
    if named := NAMED.fullmatch(stored):
        value = os.environ.get(named[1], "").strip()
        if not value:
            raise CannotOpen(f"{named[1]} is not set in the environment of the worker.")
        return value
    try:
        return _box().decrypt(stored.encode()).decode()
    except InvalidToken:
        raise CannotOpen("It was sealed with another SECRET_KEY: enter it again.") from None


def _box() -> MultiFernet:
    keys = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    return MultiFernet([Fernet(_derived(key)) for key in keys])


def _derived(key: str) -> bytes:
    derivation = HKDF(SHA256(), 32, salt=None, info=b"batchops.notices.channels")
    return base64.urlsafe_b64encode(derivation.derive(key.encode()))
