"""Lists of batch ids that people give: nothing is dropped, cut or corrected in silence."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from django.db import connection, transaction
from django.db.models.expressions import RawSQL
from django.utils import timezone

from batchops.audit import storable_text
from batchops.models import Batch, BatchQuerySet
from batchops.models.pasted_ids import PastedIds
from batchops.services.changes import id_lists
from batchops.services.errors import InvalidInput
from batchops.syllable.records import BATCH_ID_LENGTH

if TYPE_CHECKING:
    from django.contrib.auth.models import User

LIMIT: Final = 100_000
"""Most ids that can be given at once."""
SIZE_LIMIT: Final = 8 * 2**20
"""Most characters of a list."""
KEPT_LISTS: Final = 20
"""Pasted lists that are kept for one person; the oldest gives way."""
QUESTIONS: Final = 100
"""Unknown ids for which look-alikes are searched."""
LOOK_ALIKES: Final = 5
"""Look-alikes that are offered for one id."""
FIELD: Final = "batch_ids"

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


class Form(StrEnum):
    """How a list of ids is written."""

    LINES = "lines"
    JSON_LINES = "json-lines"
    CSV = "csv"


@dataclass(frozen=True, slots=True)
class Sorted:
    """What was given, sorted into what the mirror knows and what it does not, each id once."""

    found: list[str]
    unknown: list[str]
    repeated: list[str]
    surplus: int


def read(text: str, form: Form | None = None) -> list[str]:
    """The ids of a list, each exactly as it stands there, with repetitions.

    Where no form is given, the text tells it: JSON Lines by an object with `batch_id`, CSV by a
    heading that names the column of batch ids, else one id on each line. A line that is the id of
    a batch as it stands is taken for nothing else. Raises InvalidInput (field `batch_ids`).
    """
    if len(text) > SIZE_LIMIT:
        raise InvalidInput(f"This list is too long: at most {SIZE_LIMIT:,} characters.", FIELD)
    try:
        found = _read_as(form or _form_of(text), text)
    except id_lists.Unreadable as error:
        raise InvalidInput(str(error), FIELD) from None
    _check_number(len(found))
    return found


def sort(given: Iterable[str]) -> Sorted:
    """Sort ids into what the mirror knows and what it does not."""
    times = Counter(given)
    found = known_among(times)
    return Sorted(
        sorted(found),
        [name for name in times if name not in found],
        [name for name, number in times.items() if number > 1],
        times.total() - len(times),
    )


def keep(text: str, user: User) -> PastedIds:
    """Read a pasted list and keep what it names, for `KEEP_PASTED_IDS_DAYS`.

    Raises InvalidInput (field `batch_ids`) for an empty list, one that cannot be read, and one of
    more than 100,000 ids.
    """
    given = sort(read(text))
    return _store(given, look_alikes(given.unknown), user)


def keep_with(pasted: PastedIds, also: Collection[str], user: User) -> PastedIds:
    """A list with some of the look-alikes that were offered for it, as the person chose."""
    offered = {name for names in pasted.look_alikes.values() for name in names}
    chosen = known_among(offered & set(also))
    answered = {name for name, names in pasted.look_alikes.items() if chosen & set(names)}
    found = PastedIds.objects.values_list("found", flat=True).get(pk=pasted.pk)
    given = Sorted(
        sorted({*found, *chosen}),
        [name for name in pasted.unknown if name not in answered],
        pasted.duplicates,
        pasted.surplus,
    )
    left = {name: names for name, names in pasted.look_alikes.items() if name not in answered}
    return _store(given, left, user)


def kept(identity: str, user: User) -> PastedIds | None:
    """A list that this person pasted, or None when it is not theirs or was given up."""
    if not identity.isascii() or not identity.isdigit() or len(identity) > 18:
        return None
    return PastedIds.objects.filter(pk=int(identity), user=user).defer("found").first()


def batches_of(pasted: PastedIds) -> BatchQuerySet:
    """The batches of a pasted list, chosen by the database, however many they are."""
    sql = _KEPT[connection.vendor]
    return Batch.objects.filter(pk__in=RawSQL(sql, [pasted.pk]))  # noqa: S611 - constants


def batches_named(names: Iterable[str]) -> BatchQuerySet:
    """The batches of these ids, however many they are."""
    given = json.dumps([name for name in names if _can_be(name)])
    sql = _GIVEN[connection.vendor]
    return Batch.objects.filter(pk__in=RawSQL(sql, [given]))  # noqa: S611 - constants


def known_among(names: Iterable[str]) -> set[str]:
    """Those of the ids that the mirror knows."""
    return set(batches_named(names).order_by().values_list("pk", flat=True))


def look_alikes(unknown: Collection[str]) -> dict[str, list[str]]:
    """For unknown ids, the batches that may be meant; a question to a person, never an answer.

    They differ in case, quotes, blanks or Unicode form alone, or stand between the separators of
    a line. One walk over the ids of the mirror, and none when nothing is unknown.
    """
    asked = list(unknown)[:QUESTIONS]
    folded = {name: folded for name in asked if (folded := id_lists.fold(name))}
    alike: dict[str, list[str]] = {}
    if folded:
        wanted = set(folded.values())
        for known in Batch.objects.order_by().values_list("pk", flat=True).iterator():
            if (form := id_lists.fold(known)) in wanted:
                alike.setdefault(form, []).append(known)
    pieces = {name: set(id_lists.parts(name)) for name in asked}
    known_pieces = known_among(set().union(*pieces.values()))
    found = {
        name: sorted({*alike.get(folded.get(name, ""), ()), *(pieces[name] & known_pieces)})
        for name in asked
    }
    return {name: names[:LOOK_ALIKES] for name, names in found.items() if names}


def _store(given: Sorted, alike: Mapping[str, list[str]], user: User) -> PastedIds:
    with transaction.atomic():
        stored = PastedIds.objects.create(
            user=user,
            created_at=timezone.now(),
            found=given.found,
            found_count=len(given.found),
            unknown=[_kept_name(name) for name in given.unknown],
            look_alikes={_kept_name(name): names for name, names in alike.items()},
            duplicates=[_kept_name(name) for name in given.repeated],
            surplus=given.surplus,
        )
        of_person = PastedIds.objects.filter(user=user).order_by("-pk").values_list("pk", flat=True)
        PastedIds.objects.filter(pk__in=list(of_person[KEPT_LISTS:])).delete()
    return stored


def _form_of(text: str) -> Form:
    """The form that a text has, unless a line of it is a batch as it stands."""
    if id_lists.looks_like_json_lines(text):
        return Form.LINES if known_among(set(id_lists.plain(text))) else Form.JSON_LINES
    heading = id_lists.heading(text)
    if heading is not None and not known_among([heading]):
        return Form.CSV
    return Form.LINES


def _read_as(form: Form, text: str) -> list[str]:
    if form == Form.JSON_LINES:
        return id_lists.json_lines(text)
    if form == Form.CSV:
        return id_lists.csv_column(text)
    lines = id_lists.plain(text)
    blank = {line for line in lines if not line.strip()}
    empty = blank - known_among(blank) if blank else blank
    return [line for line in lines if line not in empty]


def _can_be(name: str) -> bool:
    """Whether a batch can have this id at all; databases choke on others."""
    return 0 < len(name) <= BATCH_ID_LENGTH and storable_text(name) == name


def _kept_name(name: str) -> str:
    """An id as it is kept to be shown: as it is where that can be stored."""
    return name if _can_be(name) else storable_text(ascii(name), BATCH_ID_LENGTH)


def _check_number(number: int) -> None:
    if not number:
        raise InvalidInput("Give at least one batch id.", FIELD)
    if number > LIMIT:
        raise InvalidInput(f"These are {number:,} ids. Give at most {LIMIT:,} at a time.", FIELD)
