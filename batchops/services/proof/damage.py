"""Entries that hold what cannot be read: SQLite keeps anything in any column.

The owner of the file can put bytes where text belongs, or text that is no JSON. That is a verdict
on the trail, not an error of whoever reads it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from django.db import DatabaseError

from batchops.audit.canonical_form import row_hash
from batchops.services.anchors.signing_keys import BadKey
from batchops.services.proof.diagnosis import Fault, FaultKind
from batchops.services.trail import stored_rows

Found = TypeVar("Found")
Other = TypeVar("Other")

UNREADABLE: Final = "The audit trail contains something unreadable: run manage.py verify_audit."
_WORDS: Final = ("could not decode to utf-8", "malformed json")
"""What SQLite says of a value that it cannot give out; all else is no word on the trail."""


def is_shown_by(error: Exception) -> bool:
    """Whether an error while reading the trail tells of what it holds, not of the database."""
    if isinstance(error, DatabaseError):
        return any(words in str(error).lower() for words in _WORDS)
    return isinstance(error, TypeError | ValueError | AttributeError | KeyError) and not isinstance(
        error, BadKey
    )


def unless_unreadable(look: Callable[[], Found], otherwise: Other) -> Found | Other:
    """What a look into the trail finds; `otherwise` where it meets what cannot be read."""
    try:
        return look()
    except Exception as error:
        if not is_shown_by(error):
            raise
        return otherwise


def first_fault() -> Fault | None:
    """The first entry whose content does not give its hash; none where another table is damaged."""
    for rows in stored_rows.chain():
        for row in rows:
            if row_hash(row) != row.hash:
                return Fault(
                    FaultKind.CHANGED, row.sequence, "Its content does not match its hash."
                )
    return None
