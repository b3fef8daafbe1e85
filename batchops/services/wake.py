"""Tells the workers that there is work. They would find it by themselves, only later."""

from __future__ import annotations

import datetime as dt

from django.db import transaction
from django.dispatch import Signal

work_waiting = Signal()
"""Sent with `at`: None for now, or the instant (UTC) at which there will be work."""


def workers(at: dt.datetime | None = None) -> None:
    """Wake the workers once the transaction under way is committed."""
    transaction.on_commit(lambda: work_waiting.send(sender=None, at=at), robust=True)
