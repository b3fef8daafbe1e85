"""Whose turn it is: a queue in which nobody waits behind somebody else's bulk.

Emergencies go before all else. The rest is shared, first between people, then between the changes
of each; what narrows outreach gets four times what reaches people. Whoever is new comes next, so
a short change is through before a long one has noticed. (Start-time fair queueing: each claimant
has a clock that runs slower the more weight it has, and whose clock is furthest behind is next.)
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, Protocol, TypeVar
from uuid import UUID

NARROWING_WEIGHT: Final = 4
"""How many requests what narrows outreach gets for each one of what reaches people."""
EMERGENCY_WAITS_SECONDS: Final = 0.1
NARROWING_WAITS_SECONDS: Final = 0.3
"""After so long without a turn a change may be taken past the requests that hang."""
HANGING_AT_THE_MOST: Final = 2
"""Requests of one emergency under way beyond which no more of it pass: the next needs room too."""


@dataclass(frozen=True, slots=True)
class Claimant:
    """A change as far as it matters whose turn it is."""

    change_id: UUID
    person: object
    is_emergency: bool = False
    narrows: bool = True

    @property
    def rank(self) -> int:
        """0 for an emergency, 1 for what narrows outreach, 2 for what reaches people."""
        return 0 if self.is_emergency else 1 if self.narrows else 2


class Waiting(Protocol):
    """What can be queued."""

    @property
    def change_id(self) -> UUID: ...


Item = TypeVar("Item", bound=Waiting)
Turn = tuple[bool, float, float, bool, int]


@dataclass(slots=True)
class _Line(Generic[Item]):
    """The queue of one change. `used` is what it got so far, divided by its weight."""

    claimant: Claimant
    number: int
    used: float = 0.0
    items: deque[Item] = field(default_factory=deque)
    under_way: int = 0
    moved_at: float = float("-inf")


class FairQueue(Generic[Item]):
    """Items of many changes, taken in fair order. Safe to share between threads.

    `clock` returns seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lines: dict[UUID, _Line[Item]] = {}
        self._used_by: dict[object, float] = {}
        self._latest = 0.0
        self._latest_of: dict[object, float] = {}
        self._numbers = 0
        self._size = 0
        self._filled = threading.Condition()

    def __len__(self) -> int:
        return self._size

    def put(self, claimant: Claimant, items: Sequence[Item], *, ahead: bool = False) -> None:
        """Add items of a change, behind its others or `ahead` of them."""
        with self._filled:
            line = self._line(claimant)
            if not line.items:
                self._join(line)
                line.moved_at = self._clock()
            if ahead:
                line.items.extendleft(reversed(items))
            else:
                line.items.extend(items)
            self._size += len(items)
            self._filled.notify(len(items))

    def take(self) -> Item | None:
        """The next item in fair order; None where nothing waits."""
        with self._filled:
            lines = [line for line in self._lines.values() if line.items]
            return self._taken(min(lines, key=self._turn)) if lines else None

    def has_emergency(self) -> bool:
        """Whether what is next belongs to an emergency."""
        with self._filled:
            lines = self._lines.values()
            return any(line.items and line.claimant.is_emergency for line in lines)

    def take_overdue(self) -> Item | None:
        """The next item that may pass the requests that hang; None where nothing may.

        An emergency may when it had no turn for a moment and few of its requests are under way,
        and what narrows outreach when, besides, none is.
        """
        with self._filled:
            lines = [line for line in self._lines.values() if line.items and self._is_overdue(line)]
            return self._taken(min(lines, key=self._turn)) if lines else None

    def done(self, change_id: UUID) -> None:
        """Tell that the request for an item taken has ended."""
        with self._filled:
            self._lines[change_id].under_way -= 1

    def wait(self, seconds: float) -> bool:
        """Wait until something may be taken; False when nothing may."""
        with self._filled:
            if not self._size:
                self._filled.wait(seconds)
            return self._size > 0

    def wake_all(self) -> None:
        """Let nobody wait any longer."""
        with self._filled:
            self._filled.notify_all()

    def remove(self, chosen: Callable[[Item], bool]) -> list[Item]:
        """Take out what is chosen."""
        removed: list[Item] = []
        with self._filled:
            for line in self._lines.values():
                kept: deque[Item] = deque()
                for item in line.items:
                    (removed if chosen(item) else kept).append(item)
                line.items = kept
            self._size -= len(removed)
        return removed

    def items(self) -> list[Item]:
        """All that waits."""
        with self._filled:
            return [item for line in self._lines.values() for item in line.items]

    def waiting(self, change_id: UUID) -> int:
        """How many items of a change wait."""
        line = self._lines.get(change_id)
        return len(line.items) if line else 0

    def in_order(self, claimants: Iterable[Claimant]) -> list[Claimant]:
        """Who would be next, if each of these had something to do."""
        with self._filled:
            lines = [self._line(claimant) for claimant in claimants]
            for line in lines:
                if not line.items:
                    self._join(line)
            return [line.claimant for line in sorted(lines, key=self._turn)]

    def keep_only(self, change_ids: Collection[UUID]) -> None:
        """Forget all other changes that have nothing in the queue, and people who have none."""
        with self._filled:
            for key, line in list(self._lines.items()):
                if not (key in change_ids or line.items or line.under_way):
                    del self._lines[key]
            people = {line.claimant.person for line in self._lines.values()}
            for used in (self._used_by, self._latest_of):
                for person in used.keys() - people:
                    del used[person]

    def _line(self, claimant: Claimant) -> _Line[Item]:
        line = self._lines.get(claimant.change_id)
        if line is None:
            self._numbers += 1
            line = self._lines[claimant.change_id] = _Line(claimant, self._numbers)
        line.claimant = claimant
        return line

    def _join(self, line: _Line[Item]) -> None:
        """Whoever had nothing to do neither saved up turns meanwhile, nor has to wait now."""
        person = line.claimant.person
        self._used_by[person] = max(self._used_by.get(person, 0.0), self._latest)
        line.used = max(line.used, self._latest_of.get(person, 0.0))

    def _turn(self, line: _Line[Item]) -> Turn:
        claimant = line.claimant
        return (
            not claimant.is_emergency,
            self._used_by.get(claimant.person, 0.0),
            line.used,
            not claimant.narrows,
            line.number,
        )

    def _taken(self, line: _Line[Item]) -> Item:
        item = line.items.popleft()
        self._size -= 1
        line.under_way += 1
        line.moved_at = self._clock()
        claimant, person = line.claimant, line.claimant.person
        self._latest = max(self._latest, self._used_by[person])
        self._latest_of[person] = max(self._latest_of.get(person, 0.0), line.used)
        cost = 1 / NARROWING_WEIGHT if claimant.narrows else 1.0
        line.used += cost
        self._used_by[person] += cost
        return item

    def _is_overdue(self, line: _Line[Item]) -> bool:
        waited = self._clock() - line.moved_at
        if line.claimant.is_emergency:
            return waited >= EMERGENCY_WAITS_SECONDS and line.under_way < HANGING_AT_THE_MOST
        if not line.claimant.narrows or line.under_way:
            return False
        return waited >= NARROWING_WAITS_SECONDS
