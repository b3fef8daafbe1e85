"""What a reply that is not a yes means, in the vendor's own words."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

from batchops.syllable.errors import (
    MalformedReply,
    NotFound,
    RateLimited,
    Redirected,
    Refused,
    SyllableError,
    Unauthorized,
    Unavailable,
    plain,
)
from batchops.syllable.rate.headers import parse_retry_after

_UNAUTHORIZED: Final = (401, 403)
_GONE: Final = (404, 410)
_REQUEST_TIMEOUT: Final = 408
_TOO_MANY: Final = 429
_SERVER_ERRORS: Final = 500


def error_for(
    status: int, headers: Mapping[str, str], words: str, *, url: str, now: dt.datetime
) -> SyllableError:
    """The error that a reply with such a status is; `words` are the vendor's own, or empty."""
    if status < 300:
        return MalformedReply(f"The vendor answered {status} instead.", http_status=status)
    if status < 400:
        return _redirected(status, headers.get("Location", ""), url)
    reply = _with_words(f"The vendor answered {status}", words)
    retry_after = parse_retry_after(headers.get("Retry-After"), now)
    if status in _UNAUTHORIZED:
        message = _with_words("The vendor did not accept the key", words)
        return Unauthorized(message, http_status=status, words=words)
    if status in _GONE:
        return NotFound(reply, http_status=status)
    if status == _TOO_MANY:
        return RateLimited(reply, http_status=status, retry_after=retry_after)
    if status >= _SERVER_ERRORS or status == _REQUEST_TIMEOUT:
        return Unavailable(reply, http_status=status, retry_after=retry_after)
    return Refused(words or f"{reply} without a reason.", http_status=status)


def vendor_words(body: bytes) -> str:
    """The reason that the body of a refusal gives: its `detail`, any other JSON, or its text.

    The vendor's documented form is {"detail": [{"loc": [...], "msg": "...", "type": "..."}]}.
    """
    text = body.decode("utf-8", "replace")
    try:
        return plain(_reason(json.loads(text)))
    except (ValueError, RecursionError):
        return plain(text)


def _reason(data: Any) -> str:
    detail = data.get("detail", data) if isinstance(data, dict) else data
    if isinstance(detail, list):
        return "; ".join(filter(None, map(_problem, detail)))
    return _as_text(detail)


def _problem(entry: Any) -> str:
    if not isinstance(entry, dict) or not isinstance(entry.get("msg"), str):
        return _as_text(entry)
    path = entry.get("loc")
    names = [str(step) for step in path if step != "body"] if isinstance(path, list) else []
    return f"{'.'.join(names)}: {entry['msg']}" if names else str(entry["msg"])


def _as_text(value: Any) -> str:
    if value is None or value in ({}, []):
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _with_words(sentence: str, words: str) -> str:
    return f"{sentence}: {words}" if words else sentence


def _redirected(status: int, location: str, url: str) -> Redirected:
    try:
        host = urlsplit(urljoin(url, location)).hostname or "" if location else ""
    except ValueError:
        host = ""
    where = f" to {host}" if host else ""
    return Redirected(
        f"The vendor redirects{where} ({status}), which is not followed. Is the address right?",
        http_status=status,
        target_host=host,
    )
