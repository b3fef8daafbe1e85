"""manage.py archive_audit: move old entries of the audit trail into a verifiable file."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from batchops import audit
from batchops.management import run_change
from batchops.management.terminal import TerminalCommand
from batchops.services.errors import ChangeError
from batchops.services.proof.anchoring import BadKey
from batchops.services.trail_files import archive

HOW = "Give --before and --reason to ask for an archive, or --confirm and --to to carry one out."


class Command(TerminalCommand):
    """Exits with 1 or 2 when nothing was archived; the trail is then as it was."""

    help = (
        "In two steps, by two people: one asks that the entries before a day leave the database, "
        "another confirms, which writes them to a new file and removes them. The chain stays "
        "verifiable, with that file."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--before", metavar="DATE", help="Ask: YYYY-MM-DD, UTC.")
        parser.add_argument("--reason", help="Ask: why; it becomes part of the trail.")
        parser.add_argument(
            "--confirm", type=int, metavar="ENTRY", help="Carry out what that entry asks for."
        )
        parser.add_argument("--to", metavar="FILE", help="Carry out: a file that is not there.")
        run_change.add_person(parser)

    def handle(self, **options: Any) -> None:
        asking = options["before"] is not None and options["reason"] is not None
        confirming = options["confirm"] is not None and options["to"] is not None
        if asking == confirming:
            raise CommandError(HOW)
        user = run_change.person(options["person"])
        who: dict[str, Any] = {"user": user, "actor": audit.Actor.of_user(user)}
        try:
            said = self._request(options, who) if asking else self._carry_out(options, who)
        except (ChangeError, BadKey) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(said)

    def _request(self, options: dict[str, Any], who: dict[str, Any]) -> str:
        asked = archive.request(_day(options["before"]), reason=options["reason"], **who)
        return (
            f"Entry {asked.sequence} asks to archive entries {asked.detail['first']} to "
            f"{asked.detail['through']}. Another person carries it out within "
            f"{archive.REQUEST_DAYS} days:\n"
            f"manage.py archive_audit --confirm {asked.sequence} --to FILE --as USERNAME"
        )

    def _carry_out(self, options: dict[str, Any], who: dict[str, Any]) -> str:
        path = Path(options["to"]).absolute()
        done = archive.carry_out(options["confirm"], path, **who)
        return (
            f"Entries {done.first} to {done.through} ({done.entries:,}) are in "
            f"{done.file} and no longer in the database.\n"
            f"SHA-256 of the file: {done.file_digest}\n"
            "Keep the file: verify_audit --archive asks for it, and "
            "tools/verify_audit_export.py checks it."
        )


def _day(text: str) -> dt.datetime:
    try:
        moment = dt.datetime.fromisoformat(text)
        return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    except ValueError:
        raise CommandError("--before must be a day such as 2026-03-24.") from None
