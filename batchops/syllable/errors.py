"""What can go wrong between batchops and the vendor, as a small hierarchy.

Messages are made safe to show to people where they are made: no markup, no control characters,
never longer than `MESSAGE_LENGTH`.
"""

from __future__ import annotations

import re
from typing import Final

MESSAGE_LENGTH: Final = 500
"""Longest message, in characters."""

_READ_LENGTH: Final = 20_000
_UNSEEN_MARKUP: Final = re.compile(r"<(script|style|title)\b.*?</\1\s*>", re.DOTALL | re.IGNORECASE)
_TAG: Final = re.compile(r"<[a-z/!?][^<>]*>", re.IGNORECASE)
_OPENING: Final = re.compile(r"<(?=[a-z/!?<])", re.IGNORECASE)


def plain(text: str) -> str:
    """A stranger's text, made safe and short: no markup, no control or bidirectional marks."""
    text = _UNSEEN_MARKUP.sub(" ", text[:_READ_LENGTH])
    text = _OPENING.sub("", _TAG.sub(" ", text))
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= MESSAGE_LENGTH else text[: MESSAGE_LENGTH - 1] + "…"


class SyllableError(Exception):
    """A request to the vendor that did not bring what it should.

    `http_status` is None when no reply arrived. `may_have_applied` tells whether, had the request
    been a write, it might have taken effect all the same.
    """

    def __init__(self, message: str, *, http_status: int | None = None) -> None:
        self.message = plain(message)
        self.http_status = http_status
        super().__init__(self.message)

    @property
    def may_have_applied(self) -> bool:
        return False


class Misconfigured(SyllableError, ValueError):
    """The address or the key that batchops was given cannot be right."""


class Unauthorized(SyllableError):
    """The vendor does not accept the key (401), or not for this (403); `words` are its own."""

    def __init__(self, message: str, *, http_status: int | None = None, words: str = "") -> None:
        super().__init__(message, http_status=http_status)
        self.words = plain(words)


class NotFound(SyllableError):
    """The vendor knows no such batch (404), or no longer (410)."""


class Refused(SyllableError):
    """The vendor understood and said no (any other 4xx); the message holds its own words.

    Also raised, without an HTTP status, for what cannot be sent at all.
    """


class RateLimited(SyllableError):
    """Too many requests (429); `retry_after` is the wait asked for, in seconds, uncapped."""

    def __init__(
        self, message: str, *, http_status: int | None = 429, retry_after: float | None = None
    ) -> None:
        super().__init__(message, http_status=http_status)
        self.retry_after = retry_after


class Unavailable(SyllableError):
    """The vendor could not be reached, or cannot answer now (5xx, 408).

    Without an HTTP status, the request never left. With one, a gateway may have answered for a
    vendor that was still at work, so a write may have taken effect.
    """

    def __init__(
        self, message: str, *, http_status: int | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message, http_status=http_status)
        self.retry_after = retry_after

    @property
    def may_have_applied(self) -> bool:
        return self.http_status is not None


class ReplyLost(SyllableError):
    """The request was sent, and its reply did not arrive in full or in time."""

    @property
    def may_have_applied(self) -> bool:
        return True


class MalformedReply(SyllableError):
    """The vendor said yes with something that is not what was asked for."""

    @property
    def may_have_applied(self) -> bool:
        return True


class Redirected(SyllableError):
    """The vendor pointed elsewhere (3xx). It was not followed: the key goes to one origin only."""

    def __init__(self, message: str, *, http_status: int | None, target_host: str = "") -> None:
        super().__init__(message, http_status=http_status)
        self.target_host = plain(target_host)

    @property
    def may_have_applied(self) -> bool:
        # 303 See Other means: done, and here is where to look. The others ask to send it again.
        return self.http_status == 303
