"""Looking for batches by words: pieces of their ids, or of the names of their campaigns.

Each word has to be in one or the other. Campaigns are few and are looked up first. Ids with a rare
word are found by their trigrams; a word that many ids have needs no index, since a list that is
read in its order soon finds enough of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from itertools import product
from typing import Final

from django.db import connection
from django.db.models import Q
from django.db.models.expressions import RawSQL
from django.utils.text import smart_split, unescape_string_literal

from batchops.models import BatchCountQuerySet, BatchQuerySet, Campaign

MANY: Final = 20_000
"""Ids with a word, from which on they are looked for in the order of the list."""
TRIGRAM: Final = 3
"""Characters: a shorter word has no trigram, and is looked for at the beginning of ids."""
IDS: Final = str(import_module("batchops.migrations.0008_search_batch_ids").IDS)


@dataclass(frozen=True, slots=True)
class Word:
    """One word: which batches have it, and the campaigns that do."""

    text: str
    of_ids: Q | None
    campaigns: tuple[int, ...]

    @property
    def is_short(self) -> bool:
        return len(self.text) < TRIGRAM

    @property
    def condition(self) -> Q:
        by_campaign = Q(campaign_id__in=self.campaigns)
        return by_campaign if self.of_ids is None else self.of_ids | by_campaign


@dataclass(frozen=True, slots=True)
class Search:
    """Words that are all looked for."""

    words: tuple[Word, ...]

    @property
    def has_short_words(self) -> bool:
        """Whether a word was looked for at the beginning of ids alone."""
        return any(word.is_short for word in self.words)

    def narrow(self, batches: BatchQuerySet) -> BatchQuerySet:
        for word in self.words:
            batches = batches.filter(word.condition)
        return batches

    def count(self, counts: BatchCountQuerySet) -> BatchCountQuerySet | None:
        """The kept numbers of what is found; None where ids decide, of which there are none."""
        if any(word.of_ids is not None for word in self.words):
            return None
        for word in self.words:
            counts = counts.filter(campaign_id__in=word.campaigns)
        return counts


def search(text: str) -> Search:
    """Look for the words of a text; what stands in quotes is one word."""
    has_index = IDS in connection.introspection.table_names() if text.strip() else False
    return Search(tuple(_word(word, has_index) for word in _words(text)))


def _words(text: str) -> list[str]:
    words = []
    for word in smart_split(text):
        if word[0] in "\"'" and word[0] == word[-1] and len(word) > 1:
            word = unescape_string_literal(word)
        words.append(word)
    return [word for word in words if word]


def _word(text: str, has_index: bool) -> Word:
    named = Campaign.objects.filter(campaign_name__icontains=text).order_by()
    return Word(text, _of_ids(text, has_index), tuple(named.values_list("pk", flat=True)))


def _of_ids(text: str, has_index: bool) -> Q | None:
    """Which ids have a word; None when there is none."""
    if len(text) < TRIGRAM:
        return _beginning(text, has_index)
    containing = Q(pk__icontains=text)
    if not has_index:
        return containing
    sql, parameters = _by_trigrams(text)
    with connection.cursor() as cursor:
        some = f"SELECT COUNT(*) FROM ({sql} LIMIT {MANY + 1}) AS found"  # noqa: S608
        cursor.execute(some, parameters)
        (number,) = cursor.fetchone()
    if not number:
        return None
    if number > MANY:
        return containing
    # Trigrams fold more letters of the alphabets than a comparison does.
    return Q(pk__in=RawSQL(sql, parameters)) & containing  # noqa: S611 - a constant


def _by_trigrams(text: str) -> tuple[str, list[str]]:
    if connection.vendor == "sqlite":
        quoted = text.replace('"', '""')
        return f"SELECT batch_id FROM {IDS} WHERE {IDS} MATCH %s", [f'"{quoted}"']  # noqa: S608
    pattern = connection.ops.prep_for_like_query(text)
    like = "UPPER(batch_id::text) LIKE UPPER(%s)"
    return f"SELECT batch_id FROM {IDS} WHERE {like}", [f"%{pattern}%"]  # noqa: S608


def _beginning(text: str, has_index: bool) -> Q:
    if connection.vendor != "sqlite":
        if not has_index:
            return Q(pk__istartswith=text)
        pattern = connection.ops.prep_for_like_query(text)
        sql = f"SELECT batch_id FROM {IDS} WHERE UPPER(batch_id::text) LIKE UPPER(%s)"  # noqa: S608
        return Q(pk__in=RawSQL(sql, [f"{pattern}%"]))  # noqa: S611 - a constant
    # The index compares letters exactly, and a range of it is what begins alike.
    found = Q()
    for letters in set(product(*({one.lower(), one.upper()} for one in text))):
        start = "".join(letters)
        found |= Q(pk__gte=start, pk__lt=start[:-1] + chr(ord(start[-1]) + 1))
    return found
