"""The state of the sandbox: campaigns and batches, found and ordered quickly."""

from __future__ import annotations

import datetime as dt
import math
import operator
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from batchops.sandbox.faults import LONGEST_LAG
from batchops.sandbox.records import BATCH_FIELDS, INSTANT_FIELDS, Batch, Campaign
from batchops.sandbox.rules import status_of

MEMBERSHIP: Final = "membership"
STATUS_SOURCES: Final = frozenset({"status", "paused", "expires_on", "dispatch_id"})
REMEMBERED_SELECTIONS: Final = 16

Predicate: TypeAlias = Callable[[Batch], bool]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which batches a list shows, and in which order.

    `start` and `end` bound `last_updated_at`, both inclusive; a batch that was never updated
    lies outside. The vendor names neither the field nor the bounds: this is our reading.
    """

    order_by: str | None = None
    descending: bool = False
    searches: tuple[tuple[str, str], ...] = ()
    start: dt.datetime | None = None
    end: dt.datetime | None = None
    deleted_hidden: bool = False
    undated_last: bool = False

    def fields_looked_at(self) -> set[str]:
        """The fields whose change may change the selection."""
        looked_at = {field for field, _ in self.searches}
        looked_at |= {self.order_by} if self.order_by else set()
        looked_at |= {"last_updated_at"} if self.start or self.end else set()
        looked_at |= {"deleted_at"} if self.deleted_hidden else set()
        return looked_at


class World:
    """Campaigns and batches; `changes` holds what was not yet written to a file.

    The key of a batch is its id, save for one whose id another campaign has too.
    """

    def __init__(self, campaigns: Iterable[Campaign] = (), batches: Iterable[Batch] = ()) -> None:
        self.campaigns: dict[int, Campaign] = {campaign.id: campaign for campaign in campaigns}
        self.batches: dict[str, Batch] = {}
        for batch in batches:
            self.batches[self._key_for(batch)] = batch
        self.changes: dict[str, Batch | None] = {}
        self._versions: Counter[str] = Counter()
        self._selections: dict[Selection, tuple[tuple[object, ...], list[str]]] = {}
        self._past: dict[str, list[tuple[float, Batch | None]]] = {}

    def add(self, batch: Batch) -> None:
        """Add a batch, or put it in the place of the one with its id in its campaign.

        An id need be unique within a campaign only: lists show both batches then, and a GET or
        PUT by id means the first.
        """
        self.put(batch, self._key_for(batch))

    def _key_for(self, batch: Batch) -> str:
        first = self.batches.get(batch.batch_id, batch)
        same = first.campaign_id == batch.campaign_id
        return batch.batch_id if same else f"{batch.batch_id}\0{batch.campaign_id}"

    def put(self, batch: Batch, key: str | None = None) -> None:
        """Put a batch in the place of the one with that key, which is the id unless said."""
        key = batch.batch_id if key is None else key
        before = self.batches.get(key)
        self._keep_past(key, before)
        self.batches[key] = batch
        self.changes[key] = batch
        if before is None:
            self._versions[MEMBERSHIP] += 1
            return
        for field in BATCH_FIELDS:
            if getattr(before, field) != getattr(batch, field):
                self._versions[field] += 1

    def vanish(self, batch_id: str) -> None:
        """Forget a batch as if it never was. Raises KeyError for an unknown one.

        A batch of another campaign with the same id takes its place.
        """
        gone = self.batches.pop(batch_id)
        self._keep_past(batch_id, gone)
        self.changes[batch_id] = None
        self._versions[MEMBERSHIP] += 1
        twins = (key for key, one in self.batches.items() if one.batch_id == batch_id)
        if key := next(twins, None):
            self._keep_past(key, self.batches[key])
            self.put(self.batches.pop(key))
            self.changes[key] = None

    def _keep_past(self, key: str, before: Batch | None) -> None:
        now = time.monotonic()
        past = self._past.setdefault(key, [])
        past.append((now, before))
        while past[0][0] < now - LONGEST_LAG:
            del past[0]

    def batch_as_it_was(self, key: str, moment: float) -> Batch | None:
        """The batch of that key at a moment (`time.monotonic`), None if it was not there."""
        current = self.batches.get(key)
        past = self._past.get(key, ())
        return next((before for until, before in past if until > moment), current)

    def as_it_was(self, moment: float) -> World:
        """A copy that shows what was at a moment, at most `LONGEST_LAG` ago; infinity is now."""
        if moment == math.inf:
            return self
        past = World()
        past.batches = dict(self.batches)
        for key in self._past:
            past.batches.pop(key, None)
            before = self.batch_as_it_was(key, moment)
            past.batches |= {} if before is None else {key: before}
        return past

    def add_campaign(self, campaign: Campaign) -> None:
        """Add or replace a campaign; kept in memory only."""
        self.campaigns[campaign.id] = campaign

    def take_changes(self) -> dict[str, Batch | None]:
        """Hand over what changed since the last call; None stands for a vanished batch."""
        taken, self.changes = self.changes, {}
        return taken

    def select(self, selection: Selection, now: dt.datetime) -> list[str]:
        """The keys a selection holds, in order; remembered until a field it looks at changes."""
        state = self._state_for(selection, now)
        remembered = self._selections.get(selection)
        if remembered is not None and remembered[0] == state:
            return remembered[1]
        ids = self._compute(selection, now)
        self._selections.pop(selection, None)
        self._selections[selection] = (state, ids)
        if len(self._selections) > REMEMBERED_SELECTIONS:
            del self._selections[next(iter(self._selections))]
        return ids

    def _state_for(self, selection: Selection, now: dt.datetime) -> tuple[object, ...]:
        looked_at = selection.fields_looked_at()
        state: list[object] = [self._versions[MEMBERSHIP]]
        if "status" in looked_at:
            # A status also moves by itself, when an expiry passes.
            looked_at |= STATUS_SOURCES
            state.append(int(now.timestamp()))
        return (*state, *(self._versions[field] for field in sorted(looked_at)))

    def _compute(self, selection: Selection, now: dt.datetime) -> list[str]:
        found: Iterable[Batch] = self.batches.values()
        for predicate in _predicates(selection, now):
            found = filter(predicate, found)
        if selection.order_by:
            key = _sort_key(selection, now)
            found = sorted(found, key=key, reverse=selection.descending)
        elif selection.descending:
            found = reversed(list(found))
        return [self._key_for(batch) for batch in found]


def _predicates(selection: Selection, now: dt.datetime) -> list[Predicate]:
    predicates = [_search(field, value, now) for field, value in selection.searches]
    start, end = selection.start, selection.end
    if start is not None:
        predicates.append(
            lambda batch: bool(batch.last_updated_at and batch.last_updated_at >= start)
        )
    if end is not None:
        predicates.append(
            lambda batch: bool(batch.last_updated_at and batch.last_updated_at <= end)
        )
    if selection.deleted_hidden:
        predicates.append(lambda batch: batch.deleted_at is None)
    return predicates


def _search(field: str, value: str, now: dt.datetime) -> Predicate:
    """Our reading of the vendor's search: part of a batch id, or the whole of other fields."""
    if field == "batch_id":
        part = value.casefold()
        return lambda batch: part in batch.batch_id.casefold()
    if field == "status":
        return lambda batch: status_of(batch, now) == value
    if field == "campaign_id":
        return lambda batch: str(batch.campaign_id) == value
    return lambda batch: _instant_starts_with(getattr(batch, field), value)


def _instant_starts_with(instant: dt.datetime | None, value: str) -> bool:
    return instant is not None and instant.isoformat().startswith(value.removesuffix("Z"))


def _sort_key(selection: Selection, now: dt.datetime) -> Callable[[Batch], Any]:
    field = selection.order_by or ""
    if field == "status":
        return lambda batch: status_of(batch, now)

    if field not in INSTANT_FIELDS:
        return operator.attrgetter(field)

    undated = -math.inf if selection.undated_last and selection.descending else math.inf

    def key(batch: Batch) -> float:
        # Numbers sort many times faster than datetimes.
        value: dt.datetime | None = getattr(batch, field)
        return undated if value is None else value.timestamp()

    return key


def empty_world() -> World:
    """A world with nothing in it."""
    return World()
