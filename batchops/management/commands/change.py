"""manage.py change: the same changes as in the browser, from a command line."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from batchops import audit
from batchops.management import requested_values, run_change, selection
from batchops.management.selection import usage_error
from batchops.management.terminal import TerminalCommand
from batchops.models import Change
from batchops.services.changes import drafts, terms
from batchops.services.errors import ChangeError
from batchops.syllable.patch import InvalidPatch


class Command(TerminalCommand):
    """Exits with 0 when it is under way (with --wait: when all is as requested), 1 when it is not,
    and 2 when the command line cannot be followed and nothing was done."""

    help = (
        "Pause, resume or expire batches, or set their call rate, with preview, approval and audit "
        "trail as in the browser."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        requested_values.add_arguments(parser)
        selection.add_arguments(parser)
        run_change.add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            code = self._run(options)
        except InvalidPatch as error:
            raise usage_error(str(error)) from error
        except ChangeError as error:
            raise usage_error(error.message) from error
        if code:
            sys.exit(code)

    def _run(self, options: dict[str, Any]) -> int:
        now = timezone.now()
        patch = requested_values.patch_of(options, now)
        # Known before anything is drafted, so that nothing has to be taken back.
        drafts.check_patch(patch, now, expire_now=options["expire_now"])
        terms.required_reason(options["reason"])
        if options["at"]:
            terms.check_time(options["at"], now, "starts_at")
        user = run_change.person(options["person"])
        batches, words = selection.chosen(options)
        change = drafts.draft(
            batches,
            patch,
            user=user,
            actor=audit.Actor.of_user(user),
            source=Change.Source.COMMAND,
            selection=words,
            expire_now=options["expire_now"],
        )
        return run_change.run_to_completion(change, user, options, self.stdout, self.stderr)
