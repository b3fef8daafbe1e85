"""manage.py restore: bring a backup back, in the place of the database that is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from batchops.backups import service
from batchops.backups.content import BackupError, InUse
from batchops.backups.service import Restored
from batchops.management.terminal import TerminalCommand


class Command(TerminalCommand):
    """Exits with 1 when nothing was replaced, with 2 when what came back does not verify."""

    help = (
        "Replace the database by a backup that manage.py backup wrote. What is there is kept in "
        "the data folder. Stop web servers and workers first."
    )
    # The database may be what is broken.
    requires_migrations_checks = False

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", help="What manage.py backup wrote.")
        parser.add_argument(
            "--force",
            action="store_true",
            help="Also while others are connected (PostgreSQL disconnects them), and when what is "
            "there is too damaged to be kept.",
        )

    def handle(self, *, file: str, force: bool, **_: Any) -> None:
        path = Path(file).absolute()
        if not path.is_file():
            raise CommandError(f"{path} is not there.")
        try:
            restored = service.restore(path, force=force)
        except InUse as error:
            raise CommandError(
                f"{error} Stop web servers and workers, then try again (or use --force)."
            ) from error
        except BackupError as error:
            raise CommandError(str(error)) from error
        for line in _report(restored):
            self.stdout.write(line)
        if not restored.verdict.is_good:
            raise CommandError(
                "The audit trail that came back does not verify: run manage.py verify_audit.",
                returncode=2,
            )


def _report(restored: Restored) -> list[str]:
    end = restored.content.sequence
    lines = [f"The database is back, with the audit trail through entry {end:,}."]
    if restored.kept:
        lines.append(f"What was there before is kept in {restored.kept}.")
    if restored.replaced_through > end:
        lines.append(
            f"What the audit trail held after entry {end:,}, through "
            f"{restored.replaced_through:,}, is only there: keep that file with the trail. That it "
            "was rolled back will be reported; say why with manage.py acknowledge_audit."
        )
    if restored.verdict.is_good:
        lines.append(f"{restored.verdict.rows:,} entries verify.")
    lines.append("Now run manage.py sync --full, and start workers and web servers again.")
    return lines
