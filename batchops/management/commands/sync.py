"""manage.py sync: bring the mirror up to date with the vendor now."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser
from tqdm import tqdm

from batchops import audit
from batchops.management.terminal import TerminalCommand
from batchops.models import SyncRun
from batchops.services.mirror import sync
from batchops.syllable.errors import SyllableError


class Command(TerminalCommand):
    """Exits with 1 when the vendor fails or another sync is under way."""

    help = "Sync batches and campaigns from the vendor: what changed lately, or with --full all."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--full", action="store_true", help="Read every batch.")
        parser.add_argument(
            "--accept-missing",
            action="store_true",
            help="Read every batch, however many the vendor's list leaves out: they are gone.",
        )
        parser.add_argument("--quiet", action="store_true", help="Say nothing but errors.")

    def handle(self, *, full: bool, accept_missing: bool, quiet: bool, **_: Any) -> None:
        kind = SyncRun.Kind.FULL if full or accept_missing else SyncRun.Kind.INCREMENTAL
        actor = audit.of_command_line()
        more = {"accept_missing": True} if accept_missing else {}
        sync.record_request(actor, kind.value, **more)
        try:
            run = self._sync(kind, actor.name, quiet, accept_missing)
        except sync.AlreadyRunning as error:
            raise CommandError(str(error)) from error
        except SyllableError as error:
            raise CommandError(f"The sync failed; what it had read is kept. {error}") from error
        except KeyboardInterrupt:
            raise CommandError(
                "Interrupted; what was read so far is kept.", returncode=130
            ) from None
        if not quiet:
            self.stdout.write(_summary(run))

    def _sync(
        self, kind: SyncRun.Kind, requested_by: str, quiet: bool, accept_missing: bool
    ) -> SyncRun:
        # disable=None: a bar on a terminal, nothing in a file or pipe.
        with tqdm(unit=" batches", disable=True if quiet else None, leave=False) as bar:

            def show(seen: int, total: int | None) -> None:
                bar.total = total
                bar.update(seen - bar.n)

            return sync.run_sync(
                kind, requested_by=requested_by, progress=show, accept_missing=accept_missing
            )


def _summary(run: SyncRun) -> str:
    seconds = run.duration.total_seconds() if run.duration else 0
    parts = [f"{run.batches_seen} batches seen", f"{run.created} new", f"{run.changed} changed"]
    parts += [f"{run.missing} missing"] if run.missing else []
    parts += [f"{run.unreadable} unreadable"] if run.unreadable else []
    return f"{run.get_kind_display()} sync: {', '.join(parts)}, in {seconds:.1f} s."
