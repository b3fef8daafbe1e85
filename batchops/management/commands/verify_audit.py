"""manage.py verify_audit: whether the audit trail is whole and unaltered."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.utils import timezone
from tqdm import tqdm

from batchops.management.terminal import TerminalCommand
from batchops.models import Action
from batchops.services import audit, audit_anchors, audit_queries, audit_verification
from batchops.services.audit_anchors import Anchor
from batchops.services.audit_verification import Verdict
from batchops.services.errors import InvalidInput


class Command(TerminalCommand):
    """Exits with 0 when nothing speaks against the trail, 1 when something does, 2 when the
    question cannot be answered.
    """

    help = (
        "Walk the hash chain of the audit trail and give two verdicts: integrity and completeness."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--since",
            metavar="DATE|SEQUENCE",
            help="Begin with the first entry of a day (YYYY-MM-DD, UTC) or with this entry.",
        )
        parser.add_argument(
            "--anchor",
            metavar="FILE|HEAD",
            help="A file of anchors or an export, or a head written as SEQUENCE:HASH, kept "
            "elsewhere. Default: AUDIT_ANCHOR_FILE, where it is set.",
        )
        parser.add_argument("--record", action="store_true", help="Record the verdict as an entry.")
        parser.add_argument("--quiet", action="store_true", help="Print nothing but faults.")

    def handle(
        self, *, since: str | None, anchor: str | None, record: bool, quiet: bool, **_: Any
    ) -> None:
        try:
            verdict = self._verify(_start(since), list(_anchors(anchor)), quiet)
        except (InvalidInput, audit_anchors.BadKey) as error:
            raise CommandError(str(error), returncode=2) from error
        if record:
            _record(verdict)
        self._report(verdict, quiet)
        if not verdict.is_good:
            raise CommandError("The audit trail does not verify.", returncode=1)

    def _verify(self, since: int | None, anchors: list[Anchor], quiet: bool) -> Verdict:
        # disable=None: a bar on a terminal, nothing in a file or pipe.
        with tqdm(unit=" entries", disable=True if quiet else None, leave=False) as bar:

            def show(checked: int, total: int) -> None:
                bar.total = total
                bar.update(checked - bar.n)

            return audit_verification.verify(since=since, anchors=anchors, progress=show)

    def _report(self, verdict: Verdict, quiet: bool) -> None:
        broken, whole = self.style.ERROR, self.style.SUCCESS
        faults = {"Integrity": verdict.integrity, "Completeness": verdict.completeness}
        for name, fault in faults.items():
            if fault is not None:
                self.stdout.write(broken(f"{name}: BROKEN. {fault}"))
        if quiet:
            return
        if verdict.integrity is None:
            self.stdout.write(whole(f"Integrity: good. {_span(verdict)}"))
        if verdict.completeness is None and verdict.integrity is None:
            self.stdout.write(_completeness(verdict))
        self.stdout.write(
            f"{verdict.rows:,} entries in {verdict.seconds:.1f} s, "
            f"{verdict.rows_per_second:,.0f} a second; {verdict.signed_heads:,} signed heads and "
            f"{verdict.anchors_used:,} anchors from elsewhere agree."
        )
        for open_question in verdict.cannot_exclude() if verdict.is_good else ():
            self.stdout.write(f"This cannot exclude {open_question}.")


def _start(text: str | None) -> int | None:
    """The sequence to begin with. Raises InvalidInput."""
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        day = dt.datetime.fromisoformat(text)
        moment = day if day.tzinfo else day.replace(tzinfo=dt.UTC)
        if moment > timezone.now():
            raise InvalidInput("--since lies in the future.", "since")
    except (ValueError, OverflowError):
        raise InvalidInput("--since must be a day such as 2026-03-24, or a sequence.") from None
    return audit_queries.sequence_range(moment, None)[0]


def _anchors(given: str | None) -> Iterator[Anchor]:
    if given is None:
        kept = Path(settings.AUDIT_ANCHOR_FILE) if settings.AUDIT_ANCHOR_FILE else None
        if kept is not None and kept.exists():
            yield from audit_anchors.read_file(kept)
    elif Path(given).exists():
        yield from audit_anchors.read_file(Path(given))
    else:
        yield audit_anchors.parse_head(given)


def _span(verdict: Verdict) -> str:
    if not verdict.rows:
        return "There is no entry to check."
    return f"Entries {verdict.first} to {verdict.last} are as they were written."


def _completeness(verdict: Verdict) -> str:
    if verdict.anchored_through is None:
        return "Completeness: not proven. No anchor from elsewhere was given (--anchor)."
    return f"Completeness: good through entry {verdict.anchored_through}, as anchored elsewhere."


def _record(verdict: Verdict) -> None:
    faults = [str(fault) for fault in (verdict.integrity, verdict.completeness) if fault]
    audit.record_now(
        audit.Fact(
            Action.AUDIT_VERIFIED,
            audit.SYSTEM,
            outcome="broken" if faults else "ok",
            detail={
                "entries": verdict.rows,
                "first": verdict.first,
                "last": verdict.last,
                "faults": faults,
                "signed_through": verdict.signed_through,
                "anchored_through": verdict.anchored_through,
            },
        )
    )
