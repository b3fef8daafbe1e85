"""System checks that say what of the configuration is missing or dangerous, and how to mend it."""

from __future__ import annotations

import difflib
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from batchops.services import audit_anchors, permits, vendor
from batchops.syllable.errors import Misconfigured
from config import gunicorn
from config.settings import env


@register()
def vendor_address(**_: Any) -> list[CheckMessage]:
    """The vendor's address and key can be used at all."""
    try:
        vendor.client()
    except Misconfigured as error:
        hint = "Mend SYLLABLE_BASE_URL or SYLLABLE_API_KEY."
        return [Error(str(error), hint=hint, id="batchops.E001")]
    return []


@register()
def resume_windows(**_: Any) -> list[CheckMessage]:
    """The hours in which resuming is allowed can be read."""
    try:
        permits.resume_windows()
    except ValueError as error:
        hint = "An example: mon-fri 08:00-18:00; sat 10:00-14:00"
        return [Error(f"RESUME_WINDOWS: {error}", hint=hint, id="batchops.E003")]
    return []


@register()
def audit_keys(**_: Any) -> list[CheckMessage]:
    """The keys that sign the heads of the trail can be used."""
    try:
        audit_anchors.public_keys()
    except audit_anchors.BadKey as error:
        return [
            Error(str(error), hint="Make one: manage.py generate_audit_key", id="batchops.E004")
        ]
    return []


@register()
def names_in_file(**_: Any) -> list[CheckMessage]:
    """Every name in the `.env` file means something: a misspelt limit would be no limit."""
    known = env.read | gunicorn.env.read
    return [unknown_name(name, known) for name in sorted(env.in_file - known)]


@register(deploy=True)
def demo_in_production(**_: Any) -> list[CheckMessage]:
    """A deployment has a key of the vendor."""
    if not settings.DEMO:
        return []
    return [
        Error(
            "SYLLABLE_API_KEY is not set, so batchops would run on the sandbox.",
            hint="Put the key of your organisation into the environment.",
            id="batchops.E002",
        )
    ]


def unknown_name(name: str, known: set[str]) -> CheckMessage:
    """The warning about a name that batchops does not read, with the one that was likely meant."""
    near = difflib.get_close_matches(name, known, n=1)
    return Warning(
        f".env sets {name}, which batchops does not read.",
        hint=f"Did you mean {near[0]}?" if near else ".env.example has all names.",
        id="batchops.W001",
    )
