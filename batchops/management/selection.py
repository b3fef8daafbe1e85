"""Which batches a command line chooses."""

from __future__ import annotations

import re
import sys
from argparse import Action, ArgumentError, ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from django.core.management.base import CommandError
from django.db.models import QuerySet

from batchops.management.requested_values import unicode_text
from batchops.models import Batch, Campaign
from batchops.services.changes import id_lists, pasted_ids

BAD_USAGE: Final = 2
"""Exit code; nothing was done."""
NAMED: Final = 10
"""Ids named in an error message, at the most."""


class Once(Action):
    """An option that can be given once; argparse would take the last and say nothing."""

    def __call__(
        self, parser: ArgumentParser, namespace: Namespace, values: Any, option: str | None = None
    ) -> None:
        if getattr(namespace, self.dest) is not None:
            raise ArgumentError(self, "it is given more than once.")
        setattr(namespace, self.dest, values)


def add_arguments(parser: ArgumentParser) -> None:
    """The ways to choose batches; all that are given have to hold."""
    group = parser.add_argument_group(
        "which batches", "All that is given has to hold; --all chooses every batch there is."
    )
    add = group.add_argument
    add(
        "--batch",
        nargs="+",
        action="extend",
        metavar="ID",
        default=[],
        help="Ids of batches, exactly; one that begins with - is written --batch=ID.",
    )
    add(
        "--ids-from",
        action=Once,
        metavar="FILE",
        help="A file with one id on each line, as JSON Lines (strings, or objects with batch_id), "
        "or as CSV with a heading batch_id; - reads the input.",
    )
    add(
        "--ids-format",
        choices=[form.value for form in pasted_ids.Form],
        help="How that file is written, where its name (.jsonl) and its text do not tell.",
    )
    add(
        "--campaign",
        action=Once,
        type=unicode_text,
        metavar="ID_OR_NAME",
        help="The number of a campaign, or its exact name.",
    )
    add(
        "--status",
        action=Once,
        type=unicode_text,
        metavar="STATUS",
        help="A status exactly as the vendor writes it, such as ACTIVE.",
    )
    add("--all", action="store_true")


def chosen(options: Mapping[str, Any]) -> tuple[QuerySet[Batch], str]:
    """The batches chosen, and the choice in words. Raises CommandError for what makes no sense."""
    if options["ids_format"] and options["ids_from"] is None:
        raise usage_error("--ids-format is about the file of --ids-from, and there is none.")
    ids = _ids(options)
    others = bool(options["campaign"] or options["status"])
    if options["all"] and (ids or others):
        raise usage_error("--all chooses every batch: leave the other choices out.")
    if not (ids or others or options["all"]):
        raise usage_error("Choose batches: --batch, --ids-from, --campaign, --status or --all.")
    batches: QuerySet[Batch] = Batch.objects.all()
    words = []
    if ids:
        batches = _listed(ids, in_file=options["ids_from"] is not None)
        number = len(set(ids))
        words.append("1 listed id" if number == 1 else f"{number:,} listed ids")
    if options["campaign"]:
        campaign = _campaign(options["campaign"])
        batches = batches.filter(campaign=campaign)
        words.append(f"campaign {campaign}")
    if options["status"]:
        batches = batches.filter(status=_status(options["status"]))
        words.append(f"status {options['status']}")
    return batches, f"Command line: {', '.join(words) or 'all batches'}"


def usage_error(message: str) -> CommandError:
    """The error for a command line that cannot be followed."""
    return CommandError(message, returncode=BAD_USAGE)


def _ids(options: Mapping[str, Any]) -> list[str]:
    """The ids given, each exactly as it was given. Raises CommandError or InvalidInput."""
    given = list(options["batch"])
    source = options["ids_from"]
    if source is None:
        return given
    name = "the input" if source == "-" else source
    try:
        given_text = _bytes_of(source).decode("utf-8-sig")
    except OSError as error:
        raise usage_error(f"--ids-from: {name} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise usage_error(f"--ids-from: {name} is not UTF-8 text.") from None
    if not given_text.strip("\r\n"):
        raise usage_error(f"--ids-from: {name} holds no id.")
    return [*given, *pasted_ids.read(given_text, _form(options["ids_format"], source))]


def _bytes_of(source: str) -> bytes:
    """What a file or the input holds, its line ends as they are; no more than can be used."""
    most = pasted_ids.SIZE_LIMIT
    if source != "-":
        with Path(source).open("rb") as file:
            found = file.read(most + 1)
    elif binary := getattr(sys.stdin, "buffer", None):
        found = binary.read(most + 1)
    else:
        found = sys.stdin.read(most + 1).encode()
    if len(found) > most:
        raise usage_error(f"--ids-from: {source} is larger than {most // 2**20} MB.")
    return found


def _form(named: str | None, source: str) -> pasted_ids.Form | None:
    """The form that is named, by an option or by the name of the file."""
    if named:
        return pasted_ids.Form(named)
    is_json = Path(source).suffix.lower() in (".jsonl", ".ndjson")
    return pasted_ids.Form.JSON_LINES if is_json else None


def _listed(ids: Sequence[str], *, in_file: bool) -> QuerySet[Batch]:
    given = pasted_ids.sort(ids)
    if given.unknown:
        raise usage_error(_unknown_words(given.unknown, in_file))
    return pasted_ids.batches_named(given.found)


def _unknown_words(unknown: Sequence[str], in_file: bool) -> str:
    """Which ids are unknown, and what may be meant by them."""
    alike = pasted_ids.look_alikes(unknown[:NAMED])
    first, more = unknown[:NAMED], len(unknown) - NAMED
    named = ", ".join(repr(name[:60]) for name in first)
    words = [f"The mirror knows no batch {named}{f' and {more:,} more' if more > 0 else ''}."]
    for name, names in alike.items():
        meant = " or ".join(f"{id_lists.shown(one, name)}" for one in names)
        words.append(f"By {id_lists.shown(name[:60], names[0])}, do you mean {meant}?")
    if in_file and all(name.startswith('"') and name.endswith('"') for name in unknown):
        words.append("If these lines are JSON, say --ids-format json-lines.")
    elif not alike:
        words.append("Sync with `manage.py sync` first?")
    return " ".join([*words, "Nothing was done."])


def _campaign(named: str) -> Campaign:
    found = list(Campaign.objects.filter(campaign_name=named)[:2])
    if re.fullmatch("0|-?[1-9][0-9]{0,18}", named) and abs(int(named)) < 2**63:
        found += Campaign.objects.filter(pk=int(named)).exclude(campaign_name=named)
    if not found:
        raise usage_error(f"--campaign: there is no campaign {named!r}.{_campaigns_like(named)}")
    if len(found) > 1:
        numbers = ", ".join(str(campaign.pk) for campaign in found)
        raise usage_error(
            f"--campaign: {named!r} may be more than one campaign (numbers {numbers}): "
            "give the number of one that no other is called by."
        )
    return found[0]


def _campaigns_like(given: str) -> str:
    """A question about the campaigns whose names look like one; empty where none does."""
    folded = id_lists.fold(given)
    names = Campaign.objects.order_by().values_list("campaign_name", flat=True).distinct()
    alike = [name for name in names if folded and id_lists.fold(name) == folded]
    meant = " or ".join(id_lists.shown(name, given) for name in sorted(alike)[:NAMED])
    return f" Do you mean {meant}?" if meant else ""


def _status(given: str) -> str:
    known = set(Batch.objects.order_by().values_list("status", flat=True).distinct())
    if given in known:
        return given
    there = ", ".join(sorted(known - {""})) or "none"
    raise usage_error(f"--status: no batch has the status {given!r}. There are: {there}.")
