"""The options behind the question mark of a URL: only known ones, each once."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final
from urllib.parse import unquote

from django.core.exceptions import ImproperlyConfigured

NAME: Final = re.compile(r"\w+", re.ASCII)


def take_options(
    variable: str, url: str, known: Collection[str], *, plain: bool = False
) -> tuple[str, dict[str, str]]:
    """A URL without its options, and the options by name.

    Raises ImproperlyConfigured that names the variable, an unknown option and the known ones, and
    shows nothing else of the URL, which may hold a password.
    """
    server, _, query = url.partition("?")
    options: dict[str, str] = {}
    for part in filter(None, query.split("&")):
        name, equals, value = part.partition("=")
        if not equals or not NAME.fullmatch(name) or "@" in query:
            raise ImproperlyConfigured(
                f"{variable} has something behind its question mark that is not name=value. "
                "A question mark in a password or a path is written %3F, an @ in an option %40."
            )
        if name not in known:
            listed = f"known are {', '.join(sorted(known))}" if known else "it takes none"
            raise ImproperlyConfigured(f"{variable} has an unknown option {name}; {listed}.")
        if name in options:
            raise ImproperlyConfigured(f"{variable} has the option {name} twice; keep one of them.")
        options[name] = value if plain else unquote(value)
    return server, options


def whole(variable: str, name: str, value: str, low: int, high: int) -> int:
    """An option as a whole number. Raises ImproperlyConfigured for another value."""
    if not value.isascii() or not value.isdigit() or not low <= int(value) <= high:
        raise ImproperlyConfigured(
            f"{variable} has the option {name} that must be a whole number from {low} to {high}."
        )
    return int(value)
