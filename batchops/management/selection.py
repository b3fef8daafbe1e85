"""Which batches a command line chooses."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from django.core.management.base import CommandError
from django.db.models import QuerySet

from batchops.models import Batch, Campaign
from batchops.services import selection

if TYPE_CHECKING:
    from django.contrib.auth.models import User

BAD_USAGE: Final = 2
"""Exit code; nothing was done."""
NAMED: Final = 10
"""Ids named in an error message, at the most."""


def add_arguments(parser: ArgumentParser) -> None:
    """The ways to choose batches; all that are given have to hold."""
    group = parser.add_argument_group(
        "which batches", "All that is given has to hold; --all chooses every batch there is."
    )
    add = group.add_argument
    add("--batch", nargs="+", metavar="ID", default=[], help="Ids of batches.")
    add("--ids-from", metavar="FILE", help="A file with one id on each line; - reads the input.")
    add("--campaign", metavar="ID_OR_NAME", help="The number of a campaign, or its exact name.")
    add("--status", metavar="STATUS", help="A status of the vendor, such as ACTIVE.")
    add("--all", action="store_true")


def chosen(options: Mapping[str, Any], user: User) -> tuple[QuerySet[Batch], str]:
    """The batches chosen, and the choice in words. Raises CommandError for what makes no sense."""
    ids = _ids(options)
    others = bool(options["campaign"] or options["status"])
    if options["all"] and (ids or others):
        raise bad("--all chooses every batch: leave the other choices out.")
    if not (ids or others or options["all"]):
        raise bad("Choose batches: --batch, --ids-from, --campaign, --status or --all.")
    batches: QuerySet[Batch] = Batch.objects.all()
    words = []
    if ids:
        batches = _listed(ids, user)
        words.append(f"{len(set(ids)):,} listed ids")
    if options["campaign"]:
        campaign = _campaign(options["campaign"])
        batches = batches.filter(campaign=campaign)
        words.append(f"campaign {campaign}")
    if options["status"]:
        batches = batches.filter(status=_status(options["status"]))
        words.append(f"status {options['status'].upper()}")
    return batches, f"Command line: {', '.join(words) or 'all batches'}"[:500]


def bad(message: str) -> CommandError:
    """The error for a command line that cannot be followed."""
    return CommandError(message, returncode=BAD_USAGE)


def _ids(options: Mapping[str, Any]) -> Sequence[str]:
    source = options["ids_from"]
    if source is None:
        return list(options["batch"])
    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text("utf-8-sig")
    except OSError as error:
        raise bad(f"--ids-from: {source} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise bad(f"--ids-from: {source} is not UTF-8 text.") from None
    lines = [line.strip() for line in text.splitlines()]
    found = [line for line in lines if line]
    if not found:
        raise bad(f"--ids-from: {'the input' if source == '-' else source} holds no id.")
    return [*options["batch"], *found]


def _listed(ids: Sequence[str], user: User) -> QuerySet[Batch]:
    pasted = selection.keep("\n".join(ids), user)
    if pasted.unknown:
        named = ", ".join(repr(name[:60]) for name in pasted.unknown[:NAMED])
        more = len(pasted.unknown) - NAMED
        rest = f" and {more:,} more" if more > 0 else ""
        raise bad(f"The mirror knows no batch {named}{rest}. Pull with `manage.py sync` first?")
    return selection.batches_of(pasted)


def _campaign(text: str) -> Campaign:
    if text.isascii() and text.isdigit() and len(text) < 19:
        by_number = Campaign.objects.filter(pk=int(text)).first()
        if by_number is not None:
            return by_number
    named = list(Campaign.objects.filter(campaign_name=text)[:2])
    if not named:
        raise bad(f"--campaign: there is no campaign {text!r}.")
    if len(named) > 1:
        raise bad(f"--campaign: more than one campaign is called {text!r}; give its number.")
    return named[0]


def _status(text: str) -> str:
    known = set(Batch.objects.order_by().values_list("status", flat=True).distinct())
    if text.upper() in known:
        return text.upper()
    there = ", ".join(sorted(known - {""})) or "none"
    raise bad(f"--status: no batch has the status {text!r}. There are: {there}.")
