"""manage.py verify_audit: whether the audit trail is whole and unaltered."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone
from tqdm import tqdm

from batchops.management.terminal import TerminalCommand
from batchops.models import AuditEntry
from batchops.services.anchors import outlets, signing_keys
from batchops.services.errors import InvalidInput
from batchops.services.proof import anchoring, verdicts, watch
from batchops.services.proof.anchoring import Anchor
from batchops.services.proof.verification import Verdict
from batchops.services.trail import search

BROKEN: Final = 1
NO_ANSWER: Final = 2
NOT_PROVEN: Final = 3
NICENESS: Final = 10
"""How much the nightly walk steps back behind everything else."""


class Command(TerminalCommand):
    """Exits with 0 when nothing speaks against the trail, 1 when something does, 2 when the
    question cannot be answered, 3 when a part of it is not proven because it was archived.
    """

    help = (
        "Walk the hash chain of the audit trail and judge it: integrity, anchors, completeness. "
        "Exits with 0: good, 1: something speaks against it, 2: no answer, 3: a part is archived "
        "and its file was not given."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        add(
            "--since",
            metavar="DATE|SEQUENCE",
            help="Begin with the first entry of a day (YYYY-MM-DD, UTC) or with this entry.",
        )
        add(
            "--anchor",
            action="append",
            metavar="FILE|HEAD",
            help="A file of anchors or an export, or a head written as SEQUENCE:HASH, kept "
            "elsewhere; may be repeated. Default: AUDIT_ANCHOR_FILE, where it is set.",
        )
        add(
            "--archive",
            action="append",
            default=[],
            metavar="FILE",
            help="A file of archive_audit, for entries that left the database; may be repeated.",
        )
        add(
            "--public-key",
            action="append",
            metavar="BASE64",
            help="Count this key alone, whatever keys the environment names; may be repeated.",
        )
        add("--record", action="store_true", help="Record the verdict as an entry.")
        add("--quiet", action="store_true", help="Print nothing but faults.")
        add(
            "--nightly",
            action="store_true",
            help="What the worker runs each night: what is new, once a week everything, recorded; "
            "nothing when it is not due.",
        )

    def handle(self, **options: Any) -> None:
        try:
            verdict = self._nightly() if options["nightly"] else self._verify(options)
        except (InvalidInput, anchoring.BadKey) as error:
            raise CommandError(str(error), returncode=NO_ANSWER) from error
        if verdict is None:
            return
        if options["record"]:
            verdicts.record(verdict, full=options["since"] is None)
        self._report(verdict, options["quiet"] or options["nightly"])
        if not verdict.is_good:
            raise CommandError("The audit trail does not verify.", returncode=BROKEN)
        if verdict.unproven and not options["nightly"]:
            raise CommandError("A part of the audit trail is not proven.", returncode=NOT_PROVEN)

    def _nightly(self) -> Verdict | None:
        with contextlib.suppress(OSError):
            os.nice(NICENESS)
        return watch.nightly()

    def _verify(self, options: dict[str, Any]) -> Verdict:
        keys = options["public_key"]
        # disable=None: a bar on a terminal, nothing in a file or pipe.
        with tqdm(unit=" entries", disable=True if options["quiet"] else None, leave=False) as bar:

            def show(checked: int, total: int) -> None:
                bar.total = total
                bar.update(checked - bar.n)

            return watch.judge(
                since=_start(options["since"]),
                anchors=None if options["anchor"] is None else list(_anchors(options["anchor"])),
                archives=[Path(path) for path in options["archive"]],
                keys=signing_keys.parse_public_keys(keys, "--public-key") if keys else None,
                progress=show,
            )

    def _report(self, verdict: Verdict, quiet: bool) -> None:
        parts = {
            "Integrity": verdict.integrity,
            "Anchors": verdict.anchoring,
            "Completeness": verdict.completeness,
        }
        for name, fault in parts.items():
            if fault is not None:
                self.stdout.write(f"{name}: BROKEN. {fault}", self.style.ERROR)
        for problem in verdict.others:
            self.stdout.write(f"BROKEN. {problem}", self.style.ERROR)
        if quiet:
            return
        if verdict.integrity is None:
            self.stdout.write(f"Integrity: good. {_span(verdict)}", self.style.SUCCESS)
            if verdict.completeness is None:
                self.stdout.write(_completeness(verdict))
        for words in (*verdict.unproven, *verdict.acknowledged):
            self.stdout.write(words, self.style.WARNING)
        self.stdout.write(
            f"{verdict.rows:,} entries in {verdict.seconds:.1f} s, "
            f"{verdict.rows_per_second:,.0f} a second; {verdict.signed_anchors:,} signed anchors "
            f"and {verdict.anchors_used:,} anchors from elsewhere agree."
        )
        for open_question in verdict.cannot_exclude() if verdict.is_good else ():
            self.stdout.write(f"This cannot exclude {open_question}.")


def _start(text: str | None) -> int | None:
    """The sequence to begin with. Raises InvalidInput."""
    if not text:
        return None
    if text.isascii() and text.isdigit():
        last = AuditEntry.objects.order_by("-sequence").values_list("sequence", flat=True).first()
        if int(text) > (last or 0):
            raise InvalidInput(
                f"There is no entry {text}: the trail ends with {last or 0}.", "since"
            )
        return int(text)
    try:
        day = dt.datetime.fromisoformat(text)
        moment = day if day.tzinfo else day.replace(tzinfo=dt.UTC)
        if moment > timezone.now():
            raise InvalidInput("--since lies in the future.", "since")
    except (ValueError, OverflowError):
        raise InvalidInput("--since must be a day such as 2026-03-24, or a sequence.") from None
    return search.sequence_range(moment, None)[0]


def _anchors(given: list[str]) -> Iterator[Anchor]:
    for text in given:
        if Path(text).exists():
            yield from outlets.read_file(Path(text))
        else:
            yield anchoring.parse_head(text)


def _span(verdict: Verdict) -> str:
    if not verdict.rows:
        return "There is no entry to check."
    return f"Entries {verdict.first} to {verdict.last} are as they were written."


def _completeness(verdict: Verdict) -> str:
    if verdict.anchored_through is None:
        return "Completeness: not proven. No anchor from elsewhere was given (--anchor)."
    return f"Completeness: good through entry {verdict.anchored_through}, as anchored elsewhere."
