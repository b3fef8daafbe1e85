"""manage.py generate_audit_key: a new key pair for signing the heads of the audit trail."""

from __future__ import annotations

from typing import Any

from batchops.management.terminal import TerminalCommand
from batchops.services.proof import anchoring


class Command(TerminalCommand):
    """Prints both halves; nothing is stored."""

    help = "Make a key for AUDIT_SIGNING_KEY, and the public key that verifiers need."
    requires_system_checks = ()

    def handle(self, **_: Any) -> None:
        secret, public = anchoring.generate_key()
        self.stdout.write(
            f"AUDIT_SIGNING_KEY={secret}\n"
            f"Public key: {public}\n"
            "Put the first line into the environment and keep it secret. Give the public key to "
            "whoever verifies the trail.\n"
            "When you replace a key, add its public key to AUDIT_PUBLIC_KEYS."
        )
