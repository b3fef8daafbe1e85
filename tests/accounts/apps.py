"""Authenticator apps of the people in tests."""

from __future__ import annotations

import html
import re

import pyotp
from django.contrib.auth.models import User
from django.utils import timezone

from batchops.accounts.factors import codes, sealing
from batchops.accounts.models import SecondFactor


def with_app(user: User) -> str:
    """Give a person an authenticator app; the secret that it holds."""
    secret = codes.new_secret()
    SecondFactor.objects.create(
        user=user, kind=SecondFactor.Kind.APP, name="phone", secret=sealing.seal(secret)
    )
    return secret


def code_of(secret: str, steps: int = 0) -> str:
    """The code that the app shows so many steps of 30 seconds from now."""
    return pyotp.TOTP(secret).at(timezone.now(), counter_offset=steps)


def secret_on(page: str) -> str:
    """The key that the page shows for typing it in."""
    found = re.search(r"<code>([A-Z2-7 ]+)</code>", page)
    assert found, page
    return html.unescape(found[1]).replace(" ", "")
