"""Reads the environment, and says exactly what is wrong with a value."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import os
import re
import unicodedata
from collections.abc import Callable
from email.utils import parseaddr
from pathlib import Path
from typing import Final, TypeAlias, TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.core.exceptions import ImproperlyConfigured

from batchops import files
from config.environment import dotenv, secret

Value = TypeVar("Value")
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

SWITCH: Final = {
    **dict.fromkeys(("1", "on", "true", "yes"), True),
    **dict.fromkeys(("0", "off", "false", "no"), False),
}
MAIL_ADDRESS: Final = re.compile(r"[^@\s<>]+@[^@\s<>]+")
HOST: Final = re.compile(r"\*|\.?[\w-]+(\.[\w-]+)*\.?|\[[0-9A-Fa-f:.]+\]")
ORIGIN: Final = re.compile(r"https?://(\*\.)?([\w-]+(\.[\w-]+)*|\[[0-9A-Fa-f:.]+\])(:\d+)?")
FILE: Final = "_FILE"
"""What follows the name of a secret in the name of the variable that says which file holds it."""
WHOLE: Final = re.compile(r"-?\d{1,18}", re.ASCII)
DECIMAL: Final = re.compile(r"\d{1,18}(\.\d{1,9})?", re.ASCII)


class Environment:
    """The process environment over an optional `.env` file (`ENV_FILE` names another one).

    An empty variable counts as not set, so it does not hide what the file says. Every reader
    raises ImproperlyConfigured that names the variable and says what it may be.
    """

    def __init__(self, base: Path) -> None:
        self.base = base
        self.read: set[str] = set()
        """The names that were asked for."""
        self.in_file: set[str] = set()
        """The names that the file sets."""
        named = os.environ.get("ENV_FILE")
        self.file = Path(named) if named else base / ".env"
        if named or self.file.exists():
            values = dotenv.read(self.file)
            self.in_file = set(values)
            os.environ |= {
                name: text
                for name, text in values.items()
                if not _is_set(name) and not _is_set(_counterpart(name))
            }

    def text(self, name: str, default: str = "") -> str:
        """A text without the white space around it.

        Refuses what cannot be meant: quotes around a value, which some tools hand on as a part of
        it, and control characters. The value is not repeated, since it may be a secret.
        """
        self.read.add(name)
        return _checked(name, os.environ.get(name, "").strip()) or default

    def secret(self, name: str) -> str:
        """A text that nobody but batchops may know, or the one in the file that `name`_FILE names.

        A secret in the process environment overrules a file that `.env` names, and the other way
        round; both in one place are refused.
        """
        text, file = self.text(name), self.text(name + FILE)
        if text and file:
            raise ImproperlyConfigured(
                f"{name} and {name}{FILE} are both set. Keep one, and leave the other empty."
            )
        if not file:
            return text
        return _checked(
            f"The file of {name}{FILE}", secret.from_file(name + FILE, self.base / file)
        )

    def secrets(self, name: str) -> list[str]:
        """Comma-separated secrets, or those in the file that `name`_FILE names."""
        return _words(self.secret(name))

    def words(self, name: str, default: str = "") -> list[str]:
        """A comma-separated list of words."""
        return _words(self.text(name, default))

    def hosts(self, name: str, default: str) -> list[str]:
        """Comma-separated host names, as Django's ALLOWED_HOSTS wants them."""

        def parse(text: str) -> list[str]:
            hosts = _words(text)
            if not all(HOST.fullmatch(host) for host in hosts):
                raise ValueError
            return hosts

        return self._read(
            name,
            parse(default),
            parse,
            "comma-separated host names, without https:// or a port, "
            "an IPv6 address in brackets such as [::1]",
        )

    def host(self, name: str, default: str) -> str:
        """The name or address to listen on; an IPv6 address without its brackets."""

        def parse(text: str) -> str:
            address = text.removeprefix("[").removesuffix("]")
            if ":" in address:
                return str(ipaddress.IPv6Address(address))
            if not HOST.fullmatch(text) or text.startswith((".", "*")):
                raise ValueError
            return text

        return self._read(name, default, parse, "a host name or an address, without a port")

    def networks(self, name: str, default: str = "") -> list[Network]:
        """Comma-separated networks; a single address is a network of its own."""

        def parse(text: str) -> list[Network]:
            return [ipaddress.ip_network(word) for word in _words(text)]

        return self._read(
            name, parse(default), parse, "comma-separated networks, such as 10.0.0.0/8, ::1"
        )

    def origins(self, name: str) -> list[str]:
        """Comma-separated origins, as Django's CSRF_TRUSTED_ORIGINS wants them."""

        def parse(text: str) -> list[str]:
            origins = _words(text)
            if not all(ORIGIN.fullmatch(origin) for origin in origins):
                raise ValueError
            return origins

        return self._read(
            name,
            [],
            parse,
            "comma-separated origins, such as https://batchops.example.com, without a path",
        )

    def origin(self, name: str) -> str:
        """One origin, such as https://batchops.example.com; empty when it is not set."""

        def parse(text: str) -> str:
            if not ORIGIN.fullmatch(text) or "*" in text:
                raise ValueError
            return text

        return self._read(name, "", parse, "an origin, such as https://batchops.example.com")

    def issuer(self, name: str) -> str:
        """The address of an OpenID provider, over TLS unless it is on this machine."""

        def parse(text: str) -> str:
            parts = urlsplit(text)
            is_near = parts.scheme == "http" and parts.hostname in ("localhost", "127.0.0.1", "::1")
            if not (parts.hostname and (parts.scheme == "https" or is_near)):
                raise ValueError
            if parts.query or parts.fragment or parts.username:
                raise ValueError
            return text

        return self._read(name, "", parse, "an address such as https://login.example.com")

    def pairs(self, name: str) -> list[tuple[str, str]]:
        """Comma-separated pairs such as `a:b, c:d`, or a JSON object, for names with commas."""

        def parse(text: str) -> list[tuple[str, str]]:
            if text.startswith("{"):
                found = list(json.loads(text).items())
            else:
                found = [
                    (left.strip(), right.strip())
                    for left, colon, right in (word.rpartition(":") for word in _words(text))
                ]
            if not all(isinstance(one, str) and one for pair in found for one in pair):
                raise ValueError
            return found

        return self._read(
            name,
            [],
            parse,
            'pairs such as ops-team:Operator, or JSON such as {"ops, team": "Operator"}',
        )

    def path(self, name: str, default: Path | str = "") -> Path:
        """A file or folder; a relative one lies beside `.env`, wherever a program is started."""
        return (self.base / Path(self.text(name, str(default))).expanduser()).resolve()

    def folder(self, name: str, default: Path) -> Path:
        """A folder, made when it is not there, readable by its owner alone."""
        path = self.path(name, default)
        try:
            files.make_folder(path)
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
        """Comma-separated mail addresses."""

        def parse(text: str) -> list[str]:
            words = _words(text)
            if not all(MAIL_ADDRESS.fullmatch(word) for word in words):
                raise ValueError
            return words

        return self._read(name, [], parse, "comma-separated mail addresses")

    def sender(self, name: str, default: str) -> str:
        """One mail address, with or without a person's name."""

        def parse(text: str) -> str:
            if not MAIL_ADDRESS.fullmatch(parseaddr(text)[1]):
                raise ValueError
            return text

        return self._read(name, default, parse, "a mail address")

    def switch(self, name: str, default: bool) -> bool:
        return self._read(name, default, lambda text: SWITCH[text.lower()], "on or off")

    def whole(self, name: str, default: int, low: int, high: int) -> int:
        def parse(text: str) -> int:
            number = int(text) if WHOLE.fullmatch(text) else low - 1
            if not low <= number <= high:
                raise ValueError
            return number

        return self._read(name, default, parse, f"a whole number from {low} to {high}")

    def seconds(self, name: str, default: float, low: float, high: float) -> float:
        return self.number(name, default, low, high, "a number of seconds")

    def number(
        self, name: str, default: float, low: float, high: float, what: str = "a number"
    ) -> float:
        def parse(text: str) -> float:
            number = float(text) if DECIMAL.fullmatch(text) else low - 1
            if not low <= number <= high:
                raise ValueError
            return number

        return self._read(name, default, parse, f"{what} from {low:g} to {high:g}")

    def choice(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        def parse(text: str) -> str:
            if text not in choices:
                raise ValueError
            return text

        return self._read(name, default, parse, f"one of {', '.join(choices)}")

    def day(self, name: str) -> dt.date | None:
        """A day, such as 2027-01-31; None when it is not set."""
        if not self.text(name):
            return None
        return self._read(name, dt.date.min, dt.date.fromisoformat, "a day written as 2027-01-31")

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


def _words(text: str) -> list[str]:
    return [word for part in text.split(",") if (word := part.strip())]


def _is_set(name: str) -> bool:
    return bool(os.environ.get(name, "").strip())


def _counterpart(name: str) -> str:
    """The other variable by which the same secret could be given."""
    return name.removesuffix(FILE) if name.endswith(FILE) else name + FILE


def _checked(what: str, text: str) -> str:
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        raise ImproperlyConfigured(
            f"{what} has quotes around its value, which would be a part of it. Set it without them."
        )
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
        raise ImproperlyConfigured(
            f"{what} has a line break, another control character or a broken character in it. "
            "Set it again, in one line of UTF-8 text."
        )
    return text
