"""Reading the values that faults are given as; what is out of range is refused by name."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Collection
from typing import Any, Final, TypeAlias

Reader: TypeAlias = Callable[[str, Any], Any]
"""Takes the name of an option and what was given for it. Raises `InvalidFaults`."""


class InvalidFaults(ValueError):
    """A fault does not exist, or has a value out of range; the message says which."""


def read_number(name: str, value: Any) -> float:
    """A number of 0 or more."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or value < 0:
        raise InvalidFaults(f"{name}: {value!r} is not a number of 0 or more.")
    return float(value)


def read_share(name: str, value: Any) -> float:
    """A number from 0 to 1."""
    share = read_number(name, value)
    if share > 1:
        raise InvalidFaults(f"{name}: {value!r} is not a share between 0 and 1.")
    return share


def seconds_up_to(longest: float) -> Reader:
    """A reader of a number of seconds."""

    def read(name: str, value: Any) -> float:
        seconds = read_number(name, value)
        if seconds > longest:
            raise InvalidFaults(f"{name}: {value!r} is more than {longest:g} seconds.")
        return seconds

    return read


def read_whole_number(name: str, value: Any) -> int:
    """A whole number of 0 or more."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidFaults(f"{name}: {value!r} is not a whole number of 0 or more.")
    return value


def read_flag(name: str, value: Any) -> bool:
    """True or false, and nothing like it."""
    if not isinstance(value, bool):
        raise InvalidFaults(f"{name}: {value!r} is neither true nor false.")
    return value


def read_text(name: str, value: Any) -> str:
    """A text that is not empty."""
    if not isinstance(value, str) or not value:
        raise InvalidFaults(f"{name}: {value!r} is not a text.")
    return value


def read_names(name: str, value: Any) -> frozenset[str]:
    """Any texts."""
    is_list = isinstance(value, list | tuple | set | frozenset)
    if not is_list or not all(isinstance(one, str) for one in value):
        raise InvalidFaults(f"{name}: {value!r} is not a list of texts.")
    return frozenset(value)


def names_among(known: Collection[str]) -> Reader:
    """A reader of texts that are all known."""

    def read(name: str, value: Any) -> frozenset[str]:
        names = read_names(name, value)
        unknown = sorted(names.difference(known))
        if unknown:
            raise InvalidFaults(f"{name}: {unknown} are not among {', '.join(known)}.")
        return names

    return read


def one_of(choices: type[enum.StrEnum]) -> Reader:
    """A reader of a member of an enum, given by its value."""

    def read(name: str, value: Any) -> enum.StrEnum:
        try:
            return choices(value)
        except ValueError as error:
            raise InvalidFaults(f"{name}: {value!r} is not one of {', '.join(choices)}.") from error

    return read


ENDED_STATUSES: Final = (0, 400, 404, 409, 422)


def read_ended_status(name: str, value: Any) -> int:
    """An HTTP status that refuses an update, or 0."""
    if value not in ENDED_STATUSES:
        raise InvalidFaults(f"{name}: {value!r} is not 0, 400, 404, 409 or 422.")
    return int(value)


def read_error_status(name: str, value: Any) -> int:
    """An HTTP status that is an error."""
    if not 400 <= read_whole_number(name, value) <= 599:
        raise InvalidFaults(f"{name}: {value!r} is not an HTTP status from 400 to 599.")
    return int(value)
