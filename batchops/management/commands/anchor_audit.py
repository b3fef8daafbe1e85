"""manage.py anchor_audit: sign the end of the audit trail now and send it out."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError

from batchops.audit.canonical_form import canonical_text
from batchops.management.terminal import TerminalCommand
from batchops.services.proof import anchoring


class Command(TerminalCommand):
    """Prints the anchor as one line of JSON, for keeping."""

    help = (
        "Verify the audit trail since the last anchor, sign its end, record that, and send it to "
        "the log, the file and the addresses of the settings. Without AUDIT_SIGNING_KEY the anchor "
        "is not signed."
    )

    def handle(self, **_: Any) -> None:
        try:
            anchor = anchoring.anchor_head()
        except (anchoring.NotVerified, anchoring.BadKey) as error:
            raise CommandError(str(error)) from error
        if anchor is None:
            self.stdout.write("Nothing is new since the last anchor.")
            return
        self.stdout.write(canonical_text(anchor.to_json()))
