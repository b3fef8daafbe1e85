"""System checks that say what of the configuration is missing or dangerous, and how to fix it."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.staticfiles.storage import staticfiles_storage
from django.core.checks import CheckMessage, Error, Warning, register

from batchops.services import authorization, vendor
from batchops.services.proof import anchoring
from batchops.syllable.errors import Misconfigured
from batchops.web.health import STYLE
from config import gunicorn
from config.settings import env


@register()
def vendor_address(**_: Any) -> list[CheckMessage]:
    """The vendor's address and key can be used at all."""
    try:
        vendor.client()
    except Misconfigured as error:
        hint = "Fix SYLLABLE_BASE_URL or SYLLABLE_API_KEY."
        return [Error(str(error), hint=hint, id="batchops.E001")]
    return []


@register()
def resume_windows(**_: Any) -> list[CheckMessage]:
    """The hours in which resuming is allowed can be read."""
    try:
        authorization.resume_windows()
    except ValueError as error:
        hint = "An example: mon-fri 08:00-18:00; sat 10:00-14:00"
        return [Error(f"RESUME_WINDOWS: {error}", hint=hint, id="batchops.E003")]
    return []


@register()
def audit_keys(**_: Any) -> list[CheckMessage]:
    """The keys that sign the heads of the trail can be used."""
    try:
        anchoring.public_keys()
    except anchoring.BadKey as error:
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


@register(deploy=True)
def approval_rule(**_: Any) -> list[CheckMessage]:
    """A second person stands between a slip and many calls."""
    if settings.APPROVAL_THRESHOLD or settings.APPROVAL_FOR != "none":
        return []
    return [
        Warning(
            "No change needs another person's approval.",
            hint="Set APPROVAL_FOR=expanding, or APPROVAL_THRESHOLD to a number of batches.",
            id="batchops.W002",
        )
    ]


@register(deploy=True)
def trail_is_provable(**_: Any) -> list[CheckMessage]:
    """The end of the trail is signed, and kept where the owner of the database cannot reach."""
    found: list[CheckMessage] = []
    if not settings.AUDIT_SIGNING_KEY:
        found.append(
            Warning(
                "AUDIT_SIGNING_KEY is not set, so whoever owns the database can rewrite the audit "
                "trail unnoticed.",
                hint="Make a key with manage.py generate_audit_key; keep its public half apart.",
                id="batchops.W003",
            )
        )
    if not settings.AUDIT_ANCHOR_FILE and not settings.AUDIT_ANCHOR_EMAILS:
        found.append(
            Warning(
                "The anchors of the audit trail go nowhere but into the log, so nobody would "
                "notice when its end is cut off.",
                hint="Set AUDIT_ANCHOR_FILE, best on another machine, or AUDIT_ANCHOR_EMAILS.",
                id="batchops.W004",
            )
        )
    if settings.AUDIT_ANCHOR_FILE and not Path(settings.AUDIT_ANCHOR_FILE).parent.is_dir():
        found.append(
            Warning(
                "The folder of AUDIT_ANCHOR_FILE does not exist.",
                hint="Make it, or mount it, and let the account of the workers write to it.",
                id="batchops.W005",
            )
        )
    if settings.AUDIT_ANCHOR_EMAILS and not env.text("EMAIL_URL"):
        found.append(
            Warning(
                "AUDIT_ANCHOR_EMAILS is set, and EMAIL_URL is not: mails go to this machine alone.",
                hint="Set EMAIL_URL, such as smtp+tls://user:password@mail.example.com:587.",
                id="batchops.W006",
            )
        )
    return found


@register(deploy=True)
def static_files(**_: Any) -> list[CheckMessage]:
    """Pages find their style; without the list of files, each of them is an error page."""
    try:
        staticfiles_storage.url(STYLE)
    except ValueError:
        return [
            Warning(
                f"The static files are not in {settings.STATIC_ROOT}.",
                hint="Run manage.py collectstatic --no-input, then restart the web server.",
                id="batchops.W007",
            )
        ]
    return []


@register(deploy=True)
def proxies(**_: Any) -> list[CheckMessage]:
    """Whoever speaks TLS in front is known, and nobody else is believed."""
    hint = "Name the networks of your own proxies, such as TRUSTED_PROXIES=10.0.0.0/8, ::1"
    if any(network.prefixlen == 0 for network in settings.TRUSTED_PROXIES):
        return [
            Warning(
                "TRUSTED_PROXIES trusts everybody, so anybody can claim any address in the trail.",
                hint=f"{hint}.",
                id="batchops.W008",
            )
        ]
    if settings.HTTPS_ONLY and not settings.TRUSTED_PROXIES:
        return [
            Warning(
                "TRUSTED_PROXIES is empty, so no proxy is believed about TLS: with HTTPS_ONLY each "
                "page leads to itself without end, and the trail holds the proxy's address.",
                hint=f"{hint}.",
                id="batchops.W009",
            )
        ]
    return []


@register(deploy=True)
def environment_file(**_: Any) -> list[CheckMessage]:
    """The file that holds the keys can be read by its owner alone."""
    try:
        is_open = env.in_file and env.file.stat().st_mode & 0o077
    except OSError:
        return []
    if not is_open:
        return []
    return [
        Warning(
            f"{env.file} holds keys, and others than its owner may read it.",
            hint=f"chmod 600 {env.file}",
            id="batchops.W010",
        )
    ]


def unknown_name(name: str, known: set[str]) -> CheckMessage:
    """The warning about a name that batchops does not read, with the one that was likely meant."""
    near = difflib.get_close_matches(name.upper(), known, n=1)
    return Warning(
        f".env sets {name}, which batchops does not know.",
        hint=f"Did you mean {near[0]}?" if near else ".env.example has all names.",
        id="batchops.W001",
    )
