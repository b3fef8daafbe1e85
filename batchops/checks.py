"""System checks that say what of the configuration is missing or dangerous, and how to mend it."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from batchops.services import vendor
from batchops.syllable.errors import Misconfigured


@register()
def vendor_address(**_: Any) -> list[CheckMessage]:
    """The vendor's address and key can be used at all."""
    try:
        vendor.client()
    except Misconfigured as error:
        return [Error(str(error), hint="Mend SYLLABLE_BASE_URL or SYLLABLE_API_KEY.", id="batchops.E001")]
    return []


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
