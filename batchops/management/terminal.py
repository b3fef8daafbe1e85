"""TerminalCommand: a command whose entries in the trail say who gave it at the machine."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from batchops.services import audit


class TerminalCommand(BaseCommand):
    """A command that people give; `--as` names whom they act for, the machine says who they are."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        with audit.at_terminal():
            return super().execute(*args, **options)
