"""manage.py backup: the whole database in one file that is known to be sound."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from batchops.backups import service
from batchops.backups.content import BackupError
from batchops.management.terminal import TerminalCommand


class Command(TerminalCommand):
    """May run at any time; web servers and workers go on meanwhile."""

    help = (
        "Write the whole database into one new file, read it again, and print the end of the audit "
        "trail in it. Web servers and workers may go on meanwhile."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--to",
            metavar="FILE",
            help="A file that is not there. Default: backups/ in the data folder.",
        )

    def handle(self, *, to: str | None, **_: Any) -> None:
        path = Path(to).absolute() if to else service.default_path("batchops")
        try:
            content = service.back_up(path)
        except BackupError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(
            f"{path} holds the database with {content.sequence:,} entries of the audit trail.\n"
            f"Its end, for verify_audit --anchor: {content.head}\n"
            "Keep it on another machine. It holds no key; keep .env apart."
        )
