"""Reads the environment, and says exactly what is wrong with a value."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import environ
from django.core.exceptions import ImproperlyConfigured

Value = TypeVar("Value")

SWITCH = {"1": True, "on": True, "true": True, "yes": True}
SWITCH |= {"0": False, "off": False, "false": False, "no": False}


class Environment:
    """The process environment over an optional `.env` file (`ENV_FILE` names another one).

    Every reader raises ImproperlyConfigured that names the variable and says what it may be.
    """

    def __init__(self, base: Path) -> None:
        self._environ = environ.Env()
        environ.Env.read_env(os.environ.get("ENV_FILE", str(base / ".env")), overwrite=False)

    def text(self, name: str, default: str = "") -> str:
        return str(self._environ.str(name, default=default)).strip()

    def words(self, name: str, default: str = "") -> list[str]:
        """A list of words, parted by commas."""
        return [word for part in self.text(name, default).split(",") if (word := part.strip())]

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
