"""Known devices: browsers from which an account has signed in before, told by a signed cookie.

A known device is exempt from what others do to the account's name, so that nobody can keep the
person out by guessing (OWASP: device cookies). It opens nothing by itself.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponseBase
from django.utils.crypto import salted_hmac

SALT: Final = "batchops.accounts.device"
AGE_SECONDS: Final = 180 * 24 * 3600
NAMES_MOST: Final = 8
"""Accounts that one browser is known for; the oldest is forgotten."""


def digest(*parts: str) -> str:
    """Tells the same parts again, and says nothing of them to whoever has not the secret key."""
    text = "\0".join(parts).encode("utf-8", "replace")
    return salted_hmac(SALT, text, algorithm="sha256").hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Device:
    """One browser, and the accounts that have signed in from it, as digests of their names."""

    id: str
    names: tuple[str, ...] = ()

    def knows(self, name: str) -> bool:
        return digest(name) in self.names


def of(request: HttpRequest) -> Device:
    """The device that a request comes from; a new one where its cookie is none of ours."""
    try:
        kept = signing.loads(
            request.COOKIES.get(settings.DEVICE_COOKIE_NAME, ""), salt=SALT, max_age=AGE_SECONDS
        )
        return Device(str(kept["id"]), tuple(str(name) for name in kept["names"]))
    except (signing.BadSignature, KeyError, TypeError):
        return Device(secrets.token_hex(16))


def remember(request: HttpRequest, response: HttpResponseBase, name: str) -> None:
    """Make the browser known for an account that has signed in from it."""
    device = of(request)
    others = [known for known in device.names if known != digest(name)]
    names = [*others, digest(name)][-NAMES_MOST:]
    response.set_cookie(
        settings.DEVICE_COOKIE_NAME,
        signing.dumps({"id": device.id, "names": names}, salt=SALT),
        max_age=AGE_SECONDS,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
