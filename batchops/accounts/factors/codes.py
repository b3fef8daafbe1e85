"""Codes: those of an authenticator app (TOTP, RFC 6238), and recovery codes for when it is lost.

Each code counts once: a conditional UPDATE or DELETE decides between two who send it at a time.
"""

from __future__ import annotations

import re
import secrets
from typing import Final

import pyotp
from django.contrib.auth.models import User
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from batchops.accounts.factors import sealing
from batchops.accounts.models import SecondFactor

Kind = SecondFactor.Kind

ISSUER: Final = "batchops"
STEPS_ASIDE: Final = 1
"""Steps of 30 seconds by which the clock of a phone may be wrong."""
RECOVERY_CODES: Final = 10
_LETTERS: Final = "abcdefghjkmnpqrstuvwxyz23456789"
"""None that look alike; sixteen of them are too many to guess."""
_BETWEEN: Final = re.compile(r"[\s-]+")


def new_secret() -> str:
    """A random secret for an authenticator app, in base 32."""
    return pyotp.random_base32()


def address(secret: str, user: User, host: str) -> str:
    """What an app reads from the picture: secret, account, and which batchops it is for."""
    name = f"{user.get_username()} at {host}"
    return pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name=ISSUER)


def step_of(secret: str, code: str) -> int:
    """The step of time whose code this is; 0 where it is none that counts now."""
    bare = _BETWEEN.sub("", code)
    if not (secret and bare.isascii() and bare.isdigit()):
        return 0
    totp, now = pyotp.TOTP(secret), timezone.now()
    for aside in range(-STEPS_ASIDE, STEPS_ASIDE + 1):
        if constant_time_compare(bare, totp.at(now, counter_offset=aside)):
            return totp.timecode(now) + aside
    return 0


def take(user: User, code: str) -> Kind | None:
    """Use a code up: of an app, or a recovery code; None where it is neither or was used before."""
    now = timezone.now()
    for factor in SecondFactor.objects.filter(user=user, kind=Kind.APP):
        step = step_of(sealing.unseal(factor.secret), code)
        newer = SecondFactor.objects.filter(pk=factor.pk, counter__lt=step)
        if step and newer.update(counter=step, used_at=now):
            return Kind.APP
    digests = sealing.digests(_BETWEEN.sub("", code).lower())
    unused = SecondFactor.objects.filter(user=user, kind=Kind.RECOVERY, secret__in=digests)
    gone, _ = unused.delete()
    return Kind.RECOVERY if gone else None


def write_recovery_codes(user: User) -> list[str]:
    """Replace a person's recovery codes by new ones; they are shown once and kept nowhere."""
    codes = ["".join(secrets.choice(_LETTERS) for _ in range(16)) for _ in range(RECOVERY_CODES)]
    SecondFactor.objects.filter(user=user, kind=Kind.RECOVERY).delete()
    SecondFactor.objects.bulk_create(
        SecondFactor(user=user, kind=Kind.RECOVERY, secret=sealing.digests(code)[0])
        for code in codes
    )
    return ["-".join(code[n : n + 4] for n in range(0, 16, 4)) for code in codes]
