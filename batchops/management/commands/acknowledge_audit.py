"""manage.py acknowledge_audit: let the audit trail go on after a fault, with a reason."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from batchops import audit
from batchops.management import run_change
from batchops.management.terminal import TerminalCommand
from batchops.services.errors import ChangeError
from batchops.services.proof import anchoring
from batchops.services.proof.anchoring import BadKey


class Command(TerminalCommand):
    """Exits with 1 when nothing was acknowledged."""

    help = (
        "After a restored backup, a missing or a late anchor: record who has looked into it and "
        "why the trail may go on, and sign its end as it is now. Verifying names it from then on."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--reason", required=True, help="What happened, and who checked it.")
        run_change.add_person(parser)

    def handle(self, *, reason: str, person: str, **_: Any) -> None:
        user = run_change.person(person)
        try:
            anchor = anchoring.acknowledge(reason, user=user, actor=audit.Actor.of_user(user))
        except (ChangeError, BadKey) as error:
            raise CommandError(str(error)) from error
        signed = "signed" if anchor.key_id else "not signed: no AUDIT_SIGNING_KEY is set"
        self.stdout.write(
            f"The trail goes on after entry {anchor.sequence}, "
            f"as anchor {anchor.number} ({signed})."
        )
