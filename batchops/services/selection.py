"""Pasted lists of batch ids: nothing that was given is dropped in silence."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from django.db import connection
from django.db.models.expressions import RawSQL
from django.utils import timezone

from batchops.models import Batch, BatchQuerySet
from batchops.models.selection import PastedIds
from batchops.services.audit import storable_text
from batchops.services.errors import InvalidInput

if TYPE_CHECKING:
    from django.contrib.auth.models import User

LIMIT: Final = 100_000
"""Most ids that can be pasted at once."""
FIELD: Final = "batch_ids"

_SEPARATORS: Final = re.compile(r"[,;\t]")
_GIVEN: Final = {
    "sqlite": "SELECT value FROM json_each(%s)",
    "postgresql": "SELECT jsonb_array_elements_text(%s::jsonb)",
}
_KEPT: Final = {
    "sqlite": (
        "SELECT given.value FROM batchops_pastedids kept, json_each(kept.found) given"
        " WHERE kept.id = %s"
    ),
    "postgresql": "SELECT jsonb_array_elements_text(found) FROM batchops_pastedids WHERE id = %s",
}


def keep(text: str, user: User) -> PastedIds:
    """Read a pasted text and keep what it names, for `KEEP_PASTED_IDS_DAYS`.

    One id stands on each line; commas, semicolons and tabs separate too, where the line as a
    whole is not itself the id of a batch. Raises InvalidInput (field `batch_ids`) for an empty
    text and for more than 100,000 ids.
    """
    lines = [line for raw in storable_text(text, len(text)).splitlines() if (line := _clean(raw))]
    _check_number(len(lines))
    whole = known_among(set(lines))
    given = [name for line in lines for name in _names_in(line, whole)]
    _check_number(len(given))
    times = Counter(given)
    found = known_among(times) if len(given) > len(lines) else whole
    return PastedIds.objects.create(
        user=user,
        created_at=timezone.now(),
        found=sorted(found),
        found_count=len(found),
        unknown=[name for name in times if name not in found],
        duplicates=[name for name, number in times.items() if number > 1],
        surplus=len(given) - len(times),
    )


def kept(identity: str, user: User) -> PastedIds | None:
    """A list that this person pasted, or None when it is not theirs or was given up."""
    if not identity.isascii() or not identity.isdigit() or len(identity) > 18:
        return None
    return PastedIds.objects.filter(pk=int(identity), user=user).defer("found").first()


def batches_of(pasted: PastedIds) -> BatchQuerySet:
    """The batches of a pasted list, chosen by the database, however many they are."""
    sql = _KEPT[connection.vendor]
    return Batch.objects.filter(pk__in=RawSQL(sql, [pasted.pk]))  # noqa: S611 - constants


def known_among(names: Iterable[str]) -> set[str]:
    """Those of the ids that the mirror knows."""
    given = RawSQL(_GIVEN[connection.vendor], [json.dumps(list(names))])  # noqa: S611 - constants
    return set(Batch.objects.filter(pk__in=given).order_by().values_list("pk", flat=True))


def _clean(name: str) -> str:
    return name.strip().strip('"').strip()


def _names_in(line: str, known: set[str]) -> list[str]:
    if line in known or not _SEPARATORS.search(line):
        return [line]
    return [name for part in _SEPARATORS.split(line) if (name := _clean(part))]


def _check_number(number: int) -> None:
    if not number:
        raise InvalidInput("Paste at least one batch id.", FIELD)
    if number > LIMIT:
        raise InvalidInput(f"These are {number:,} ids. Paste at most {LIMIT:,} at a time.", FIELD)
