"""The mail server from `EMAIL_URL`."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlparse

import environ
from django.core.exceptions import ImproperlyConfigured

from config.environment.options import take_options, whole

TIMEOUT_SECONDS: Final = 10
"""A server that accepts and stays silent holds nobody up for longer."""
PORTS: Final = {"smtp": 25, "smtp+tls": 587, "smtp+ssl": 465}
OPTIONS: Final = {
    "timeout": "EMAIL_TIMEOUT",
    "ssl_certfile": "EMAIL_SSL_CERTFILE",
    "ssl_keyfile": "EMAIL_SSL_KEYFILE",
}
"""Options of the URL, with the settings of Django that they become."""
EXPECTED: Final = (
    "EMAIL_URL must be a URL such as smtp+tls://user:password@mail.example.com:587 (or smtp://, "
    "smtp+ssl://), with special characters in the password percent-encoded"
)
"""Never followed by the value, which may hold a password."""


def mail_server(url: str) -> dict[str, Any]:
    """Django's settings for the mail server at a URL; for none, only the deadline.

    Raises ImproperlyConfigured for anything else.
    """
    settings: dict[str, Any] = {"EMAIL_TIMEOUT": TIMEOUT_SECONDS}
    if not url:
        return settings
    server, options = take_options("EMAIL_URL", url, OPTIONS)
    scheme = server.partition("://")[0]
    try:
        parts = urlparse(server)
        if scheme not in PORTS or not parts.hostname or parts.path.strip("/") or parts.fragment:
            raise ValueError
        settings |= environ.Env.email_url_config(parts)
    except (ValueError, ImproperlyConfigured):
        raise ImproperlyConfigured(f"{EXPECTED}.") from None
    settings["EMAIL_PORT"] = settings["EMAIL_PORT"] or PORTS[scheme]
    settings |= {OPTIONS[name]: value for name, value in options.items()}
    if "timeout" in options:
        settings["EMAIL_TIMEOUT"] = whole("EMAIL_URL", "timeout", options["timeout"], 1, 300)
    return settings
