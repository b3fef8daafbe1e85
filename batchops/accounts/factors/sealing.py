"""Secrets that must be read again are sealed in the database: a copy of it is not enough."""

from __future__ import annotations

import base64
from typing import Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.utils.crypto import salted_hmac

SALT: Final = "batchops.accounts.factors"


def seal(secret: str) -> str:
    """Encrypt with a key that SECRET_KEY gives."""
    return _keys().encrypt(secret.encode()).decode()


def unseal(sealed: str) -> str:
    """Decrypt; empty where neither SECRET_KEY nor its fallbacks fit any more."""
    try:
        return _keys().decrypt(sealed.encode()).decode()
    except InvalidToken:
        return ""


def digests(code: str) -> list[str]:
    """What stands in the database for a code that is only compared, the newest key first."""
    return [
        salted_hmac(SALT, code, secret=key, algorithm="sha256").hexdigest()
        for key in _secret_keys()
    ]


def _keys() -> MultiFernet:
    return MultiFernet(
        Fernet(
            base64.urlsafe_b64encode(
                salted_hmac(SALT, "seal", secret=key, algorithm="sha256").digest()
            )
        )
        for key in _secret_keys()
    )


def _secret_keys() -> list[str]:
    return [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
