"""Reads the environment, and says exactly what is wrong with a value."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from email.utils import parseaddr
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import environ
from django.core.exceptions import ImproperlyConfigured

Value = TypeVar("Value")

SWITCH = {"1": True, "on": True, "true": True, "yes": True}
SWITCH |= {"0": False, "off": False, "false": False, "no": False}


MAIL_ADDRESS = re.compile(r"[^@\s<>]+@[^@\s<>]+")
ASSIGNMENT = re.compile(r"(?:export )?([A-Za-z_][A-Za-z_0-9]*)=")


class Environment:
    """The process environment over an optional `.env` file (`ENV_FILE` names another one).

    Every reader raises ImproperlyConfigured that names the variable and says what it may be.
    """

    def __init__(self, base: Path) -> None:
        self.read: set[str] = set()
        """The names that were asked for."""
        self.in_file: set[str] = set()
        """The names that the file sets."""
        named = os.environ.get("ENV_FILE")
        path = Path(named) if named else base / ".env"
        if named or path.exists():
            self.in_file = _names(path)
            environ.Env.read_env(str(path), overwrite=False)

    def text(self, name: str, default: str = "") -> str:
        self.read.add(name)
        # Not through environ.Env, which takes a value that begins with $ for another variable.
        return os.environ.get(name, "").strip() or default

    def words(self, name: str, default: str = "") -> list[str]:
        """A list of words, parted by commas."""
        return [word for part in self.text(name, default).split(",") if (word := part.strip())]

    def hosts(self, name: str, default: str) -> list[str]:
        """Host names, parted by commas, as Django's ALLOWED_HOSTS wants them."""

        def parse(text: str) -> list[str]:
            hosts = [word for part in text.split(",") if (word := part.strip())]
            if any("/" in host or (":" in host and not host.startswith("[")) for host in hosts):
                raise ValueError
            return hosts

        return self._read(
            name, parse(default), parse, "host names parted by commas, without https:// or a port"
        )

    def folder(self, name: str, default: Path) -> Path:
        """A folder, made when it is not there, readable by its owner alone."""
        path = Path(self.text(name, str(default))).expanduser().resolve()
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ImproperlyConfigured(
                f"{name} is {str(path)!r}, but must be a folder that can be made: {error.strerror}."
            ) from None
        if not os.access(path, os.W_OK | os.X_OK):
            raise ImproperlyConfigured(
                f"{name} is {str(path)!r}, but must be a folder that can be written to."
            )
        return path

    def mail_addresses(self, name: str) -> list[str]:
        """Mail addresses, parted by commas."""

        def parse(text: str) -> list[str]:
            words = [word for part in text.split(",") if (word := part.strip())]
            if not all(MAIL_ADDRESS.fullmatch(word) for word in words):
                raise ValueError
            return words

        return self._read(name, [], parse, "mail addresses parted by commas")

    def sender(self, name: str, default: str) -> str:
        """One mail address, with or without a person's name."""

        def parse(text: str) -> str:
            if not MAIL_ADDRESS.fullmatch(parseaddr(text)[1]):
                raise ValueError
            return text

        return self._read(name, default, parse, "a mail address")

    def mail_server(self, name: str) -> dict[str, Any]:
        """Django's settings for the mail server at a URL; none when it is not set."""
        expected = "a URL such as smtp+tls://user:password@mail.example.com:587"
        text = self.text(name)
        if not text:
            return {}
        try:
            return dict(environ.Env.email_url_config(text))
        except (ValueError, ImproperlyConfigured):
            # The value holds a password, so it is not repeated.
            raise ImproperlyConfigured(f"{name} must be {expected}.") from None

    def switch(self, name: str, default: bool) -> bool:
        return self._read(name, default, lambda text: SWITCH[text.lower()], "on or off")

    def whole(self, name: str, default: int, low: int, high: int) -> int:
        def parse(text: str) -> int:
            number = int(text)
            if not low <= number <= high:
                raise ValueError
            return number

        return self._read(name, default, parse, f"a whole number from {low} to {high}")

    def seconds(self, name: str, default: float, low: float, high: float) -> float:
        def parse(text: str) -> float:
            number = float(text)
            if not low <= number <= high:
                raise ValueError
            return number

        return self._read(name, default, parse, f"a number of seconds from {low:g} to {high:g}")

    def choice(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        def parse(text: str) -> str:
            if text not in choices:
                raise ValueError
            return text

        return self._read(name, default, parse, f"one of {', '.join(choices)}")

    def zone(self, name: str, default: str) -> str:
        def parse(text: str) -> str:
            try:
                return ZoneInfo(text).key
            except (ZoneInfoNotFoundError, OSError) as error:
                raise ValueError from error

        return self._read(name, default, parse, "a zone of the IANA list, such as Europe/Berlin")

    def _read(
        self, name: str, default: Value, parse: Callable[[str], Value], expected: str
    ) -> Value:
        text = self.text(name)
        if not text:
            return default
        try:
            return parse(text)
        except (ValueError, KeyError):
            raise ImproperlyConfigured(f"{name} is {text!r}, but must be {expected}.") from None


def _names(path: Path) -> set[str]:
    """The names that a `.env` file sets.

    Refuses what environ would pass over in silence: an unreadable file, a line it cannot read.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ImproperlyConfigured(f"Cannot read {path}: {reason}.") from None
    names = set()
    for number, line in enumerate(lines, start=1):
        if assignment := ASSIGNMENT.match(line):
            names.add(assignment[1])
        elif line.strip() and not line.startswith("#"):
            raise ImproperlyConfigured(
                f"Line {number} of {path} must be NAME=value, a comment that begins with #, "
                "or empty."
            )
    return names
