"""manage.py reset_second_factor: for whoever has lost theirs, when nobody can do it in the site."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import CommandError, CommandParser

from batchops import audit
from batchops.accounts.factors import factors
from batchops.management.terminal import TerminalCommand


class Command(TerminalCommand):
    """Removes the second factors of one account, with an entry in the audit trail."""

    help = (
        "Remove the second factors of an account whose owner has lost them, and end its sessions. "
        "The password stays; the next sign-in asks for a new second factor where one is needed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="The account's name.")
        parser.add_argument("--reason", required=True, help="Why, for the audit trail.")

    def handle(self, *, name: str, reason: str, **_: Any) -> None:
        user = User.objects.filter(username=name).first()
        if user is None:
            raise CommandError(f"There is no account “{name}”.")
        removed = factors.reset(user, actor=audit.of_command_line(), why=reason)
        self.stdout.write(f"{removed} removed." if removed else f"{name} has no second factor.")
