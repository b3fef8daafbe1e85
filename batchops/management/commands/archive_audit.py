"""manage.py archive_audit: move old entries of the audit trail into a verifiable file."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from batchops.management import seeing_through
from batchops.management.terminal import TerminalCommand
from batchops.services import audit, audit_archive
from batchops.services.audit_anchors import BadKey
from batchops.services.errors import ChangeError


class Command(TerminalCommand):
    """Exits with 1 or 2 when nothing was archived; the trail is then as it was."""

    help = (
        "Write the entries before a day to a new file and remove them from the database. The "
        "chain stays verifiable: an entry keeps the hash at the cut."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--before", required=True, metavar="DATE", help="YYYY-MM-DD, UTC.")
        parser.add_argument("--to", required=True, metavar="FILE", help="A file that is not there.")
        parser.add_argument(
            "--as",
            required=True,
            dest="username",
            metavar="USERNAME",
            help="Who answers for it; needs the permission to archive.",
        )

    def handle(self, *, before: str, to: str, username: str, **_: Any) -> None:
        user = seeing_through.person(username)
        try:
            archive = audit_archive.archive(
                _day(before), Path(to).absolute(), user=user, actor=audit.Actor.of_user(user)
            )
        except (ChangeError, BadKey) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(
            f"Entries {archive.first} to {archive.through} ({archive.entries:,}) are in "
            f"{archive.path} and no longer in the database.\n"
            f"SHA-256 of the file: {archive.file_digest}\n"
            "Keep the file; tools/verify_audit_export.py checks it."
        )


def _day(text: str) -> dt.datetime:
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise CommandError("--before must be a day such as 2026-03-24.") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
