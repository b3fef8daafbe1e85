"""What Django calls after each test that commits: in the tests, the database as migrated.

Django's own empties all tables, which the triggers of the audit trail refuse, and then fills those
of permissions and groups anew, which takes longer than most tests.
"""

from __future__ import annotations

from typing import Any

from django.core.management.commands import flush

from tests import migrated


class Command(flush.Command):
    """Put the database back to where the migrations left it."""

    def handle(self, **_: Any) -> None:
        migrated.put_back()
