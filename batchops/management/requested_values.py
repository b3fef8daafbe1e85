"""What a command line asks of batches, as a patch."""

from __future__ import annotations

import datetime as dt
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Mapping
from typing import Any, Final

from batchops.syllable.instants import BEYOND_CALENDAR
from batchops.syllable.patch import CLEAR, BatchPatch, InvalidPatch

REFERENCE_LIMIT: Final = 100


def instant(given: str) -> dt.datetime:
    """An argument type: a moment in ISO 8601 with its zone."""
    example = "2027-01-31T18:00Z or 2027-01-31T18:00-05:00"
    try:
        moment = dt.datetime.fromisoformat(given)
    except ValueError:
        raise ArgumentTypeError(f"{given!r} is not a date and time such as {example}.") from None
    if moment.utcoffset() is None:
        raise ArgumentTypeError(f"{given!r} lacks a time zone: write it as {example}.")
    try:
        return moment.astimezone(dt.UTC)
    except OverflowError:
        raise ArgumentTypeError(f"{given!r} {BEYOND_CALENDAR}") from None


def unicode_text(given: str) -> str:
    """An argument type: text that can be stored and written; bytes of another encoding are not."""
    try:
        given.encode()
    except UnicodeEncodeError:
        raise ArgumentTypeError(f"{given!r} is not UTF-8 text.") from None
    return given


def reference(given: str) -> str:
    """An argument type: a reference, of which nothing is cut off."""
    if len(given) > REFERENCE_LIMIT:
        raise ArgumentTypeError(f"a reference has at most {REFERENCE_LIMIT} characters.")
    return unicode_text(given)


def whole_number(given: str) -> int:
    """An argument type: a whole number, whose bounds the patch knows."""
    if not (given.isascii() and given.isdigit()):
        raise ArgumentTypeError(f"{given!r} is not a whole number.")
    if len(given) > 9:
        raise ArgumentTypeError(f"{given[:60]!r} is too large a number.")
    return int(given)


def add_arguments(parser: ArgumentParser) -> None:
    """The values that can be requested, several at once too."""
    group = parser.add_argument_group(
        "requested values", "Give at least one; several can be combined."
    )
    hold = group.add_mutually_exclusive_group()
    hold.add_argument("--pause", action="store_true", help="No new outreach until resumed.")
    hold.add_argument("--resume", action="store_true", help="Outreach goes on.")
    expiry = group.add_mutually_exclusive_group()
    expiry.add_argument("--expires-on", type=instant, metavar="TIME", help="ISO 8601 with zone.")
    expiry.add_argument("--clear-expiry", action="store_true")
    expiry.add_argument("--expire-now", action="store_true", help="End outreach at once.")
    rate = group.add_mutually_exclusive_group()
    rate.add_argument("--call-rate", type=whole_number, metavar="PER_HOUR", help="1 to 3600.")
    rate.add_argument("--clear-call-rate", action="store_true", help="The campaign's rate again.")
    group.add_argument("--auto-call-rate", choices=("on", "off"), help="Automatic call rate.")


def patch_of(options: Mapping[str, Any], now: dt.datetime) -> BatchPatch:
    """The patch that the options ask for. Raises InvalidPatch."""
    requested: dict[str, Any] = {}
    if options["pause"] or options["resume"]:
        requested["paused"] = options["pause"]
    if options["clear_expiry"]:
        requested["expires_on"] = CLEAR
    elif options["expire_now"]:
        requested["expires_on"] = now
    elif options["expires_on"]:
        requested["expires_on"] = options["expires_on"]
    if options["clear_call_rate"]:
        requested["call_rate"] = CLEAR
    elif options["call_rate"] is not None:
        requested["call_rate"] = options["call_rate"]
    if options["auto_call_rate"]:
        requested["auto_call_rate"] = options["auto_call_rate"] == "on"
    if not requested:
        raise InvalidPatch("", "Say what to change, for example --pause.")
    return BatchPatch(**requested)
