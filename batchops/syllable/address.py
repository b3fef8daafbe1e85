"""Where requests go and what opens the door: checked before anything is sent."""

from __future__ import annotations

import ipaddress
from typing import Final
from urllib.parse import SplitResult, quote, urlsplit

import requests

from batchops.syllable.errors import Misconfigured, Refused

_LOCAL_NAME: Final = "localhost"


def checked_base_url(base_url: str) -> str:
    """The address of the API without a trailing slash.

    Raises `Misconfigured` unless it is https (or http to this very machine) and nothing but an
    origin and a path.
    """
    if not base_url.strip():
        raise Misconfigured("The address of the vendor's API is empty.")
    if not base_url.isprintable() or any(c in base_url for c in " \\?#@"):
        raise Misconfigured(
            "The address of the vendor's API may hold no spaces, sign-in, query or fragment."
        )
    parts = _normalised(base_url)
    if parts.scheme != "https" and not _is_loopback(parts.hostname or ""):
        raise Misconfigured("The vendor's API is called by https only, except on this machine.")
    return parts.geturl().rstrip("/")


def checked_key(api_key: str) -> str:
    """The key, fit for a header. Raises `Misconfigured`, never showing it."""
    if not api_key:
        raise Misconfigured("The vendor's API key is empty.")
    if not api_key.isascii() or not api_key.isprintable() or " " in api_key:
        raise Misconfigured(
            "The vendor's API key holds spaces, line breaks or characters that no key has."
        )
    return api_key


def path_segment(batch_id: str) -> str:
    """A batch id as one segment of a path, whatever characters it holds.

    Raises `Refused` when it is empty or no text, as there is no address for it.
    """
    if not batch_id:
        raise Refused("A batch without an id cannot be asked for.")
    try:
        segment = quote(batch_id, safe="")
    except UnicodeEncodeError:
        segment = ""
    if not segment:
        raise Refused("The batch id holds characters that cannot be sent.")
    # "." and ".." unescaped would be steps in the path, not names.
    return segment if segment.strip(".") else segment.replace(".", "%2E")


def _normalised(base_url: str) -> SplitResult:
    # Taken apart the way requests does it, so that what was checked is what is called.
    try:
        parts = urlsplit(requests.Request("GET", base_url).prepare().url or "")
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise Misconfigured("The address of the vendor's API is not a complete https address.")
    return parts


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == _LOCAL_NAME
