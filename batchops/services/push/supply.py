"""What the engine has leased, and where it comes from: claims few items ahead, in fair order.

Part of the engine, in whose thread it runs.
"""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Collection, Iterable
from functools import cache
from typing import Final
from uuid import UUID

from django.utils import timezone

from batchops.models import Change, ChangeState, ItemState
from batchops.services.attempts.assignments import Assignment
from batchops.services.attempts.conclusions import seen_so
from batchops.services.attempts.dispatcher import Dispatcher
from batchops.services.attempts.outcomes import Settled
from batchops.services.changes import lifecycle
from batchops.services.changes.eligibility import unsendable
from batchops.services.errors import ChangeError
from batchops.services.holds import covered
from batchops.services.mirror import freshness, key_identity
from batchops.services.push.freshness_gate import FreshnessGate
from batchops.services.runs import leases, run_state
from batchops.services.runs.fair_queue import Claimant

REFILL_SECONDS: Final = 0.01
"""Shortest time between two rounds of claims."""
NONE_FREE_SECONDS: Final = 0.1
"""After so long it is looked again for items of a change that had none free."""
CLAIMS_A_ROUND: Final = 16
"""Changes claimed for in one round, so that the engine soon looks around again."""
LEAST_SLICE: Final = 8
"""Items claimed of a change at once, where it has so many."""
MOST_AHEAD: Final = 16
"""Items leased of one change at the most, for each request that may be in flight: those that are
claimed ahead, and those that wait to be tried again."""


class Supply:
    """The items under one lease, by change.

    `only_emergency`: nothing is claimed but of emergency changes.
    """

    def __init__(
        self, dispatcher: Dispatcher, lease: str, maximum: int, *, only_emergency: bool = False
    ) -> None:
        self.lease = lease
        self.changes: dict[UUID, Change] = {}
        self.leased: dict[int, Assignment] = {}
        self.unsent: list[Settled] = []
        self.gate = FreshnessGate()
        self._dispatcher = dispatcher
        self._only_emergency = only_emergency
        self._maximum = maximum
        self._ahead = self._least_ahead = 4 * maximum
        self._fewest: float = 0
        self._claimants: dict[UUID, Claimant] = {}
        self._leased_of: Counter[UUID] = Counter()
        self._none_free_until: dict[UUID, float] = {}
        self._refill_at = float("-inf")

    def claimant(self, change_id: UUID) -> Claimant:
        return self._claimants[change_id]

    def has_leased(self, change_id: UUID) -> bool:
        """Whether any item of a change is leased."""
        return self._leased_of[change_id] > 0

    def forget(self, assignments: Iterable[Assignment]) -> None:
        """Forget these items: what became of them is written."""
        for assignment in assignments:
            if self.leased.pop(assignment.item_id, None) is not None:
                self._leased_of[assignment.change_id] -= 1

    # Polling ----------------------------------------------------------------------------------

    def poll(self) -> None:
        """See which changes there are to work on."""
        now = timezone.now()
        found = leases.claimants(now, only_emergency=self._only_emergency)
        held = {key: one for key, one in self._claimants.items() if self._leased_of[key]}
        self._claimants = held | {one.change_id: one for one in found}
        for kept in (self.changes, self._leased_of, self._none_free_until):
            for key in kept.keys() - self._claimants.keys():
                del kept[key]
        self.gate.forget_others(self._claimants.keys())
        self._dispatcher.queue.keep_only(self._claimants)
        if self._fewest > self._ahead // 4:
            self._ahead = max(self._least_ahead, self._ahead - self._maximum // 4)
        self._fewest = float("inf")

    def preempted(self) -> list[Assignment]:
        """Take back what was not sent yet on batches that something more urgent waits for."""
        taken: list[Assignment] = []
        for rank in (0, 1):
            urgent = [key for key, one in self._claimants.items() if one.rank == rank]
            behind = [a for a in self._dispatcher.unsent() if self._rank(a) > rank]
            if urgent and behind:
                wanted = leases.waiting_for([a.batch_id for a in behind], urgent)
                taken += self._dispatcher.take_back(
                    lambda a: a.batch_id in wanted and self._rank(a) > rank  # noqa: B023
                )
        return taken

    def _rank(self, assignment: Assignment) -> int:
        return self._claimants[assignment.change_id].rank

    # Claiming ---------------------------------------------------------------------------------

    def refill(self) -> int:
        """Claim items where few are left; returns how many."""
        now = time.monotonic()
        if now < self._refill_at:
            return 0
        queue = self._dispatcher.queue
        self._fewest = min(self._fewest, len(queue))
        if not len(queue) and self.leased:
            self._ahead = min(2 * self._ahead, MOST_AHEAD * self._maximum)
        due = [one for one in self._claimants.values() if self._is_short(one, now)]
        claimed = 0
        for claimant in queue.in_order(due)[:CLAIMS_A_ROUND]:
            wanted = self._slice() - queue.waiting(claimant.change_id)
            number = self._claim_of(claimant, wanted)
            if number < wanted:
                self._none_free_until[claimant.change_id] = now + NONE_FREE_SECONDS
            claimed += number
        self._refill_at = time.monotonic() + REFILL_SECONDS
        return claimed

    def _slice(self) -> int:
        return max(LEAST_SLICE, self._ahead // max(1, len(self._claimants)))

    def _is_short(self, claimant: Claimant, now: float) -> bool:
        key = claimant.change_id
        return (
            now >= self._none_free_until.get(key, 0.0)
            and self._dispatcher.queue.waiting(key) <= self._slice() // 2
            and self._leased_of[key] < MOST_AHEAD * self._maximum
        )

    def _claim_of(self, claimant: Claimant, size: int) -> int:
        change = leases.claimable(claimant.change_id, timezone.now())
        if change is None:
            return 0
        if change.state == ChangeState.STOPPED:
            return self._claim(change, size) if lifecycle.sweep_stopped(change) else 0
        if self.prepare(change):
            return self._claim(change, size)
        return self._claim(change, size, among=self.gate.just_compared(change))

    def prepare(self, change: Change) -> bool:
        """Start a change, and bring the mirror up to date for it; whether it can be claimed."""
        try:
            return run_state.start(change) and self.gate.is_open(change)
        except ChangeError as error:
            run_state.halt(change, error.message)
        return False

    def _claim(self, change: Change, size: int, among: Collection[str] | None = None) -> int:
        """Take items and send them; `among` names the batches that were just compared."""
        is_probe = change.waiting_since is not None
        if is_probe and self.has_leased(change.pk):
            return 0
        if is_probe:
            # By turns one that may be bad itself, or was carried out unseen, and a fresh one.
            size, order = 1, secrets.choice(("attempts", "-attempts"))
        else:
            order = "id"
        items = leases.claim(change, self.lease, size, order=order, among=among)
        if not items:
            return 0
        self.changes[change.pk] = change
        overtaken = leases.overtaken(change, items)
        claimant = self._claimants[change.pk]
        # What lets outreach reach more people is reviewed again instead.
        expands = change.expands_outreach
        kept = covered.kept_among(change, [i.batch_id for i in items]) if expands else {}
        made = leases.made_since(change, items) if claimant.narrows else {}
        patch, names = change.patch, key_identity.names()
        is_old = cache(lambda: freshness.freshness().is_old)
        to_send = []
        for item in items:
            since = self.gate.compared_at(change, item.batch_id)
            assignment = Assignment.of(item, change, patch, since, names, made.get(item.pk))
            self.leased[item.pk] = assignment
            self._leased_of[change.pk] += 1
            if message := unsendable(item.batch):
                self.unsent.append(Settled(assignment, ItemState.SKIPPED, message=message))
            elif later := overtaken.get(item.pk):
                message = f"The later change {later.short_id} requested something else."
                if assignment.in_doubt:
                    message += " Whether an earlier try was carried out before that is not known."
                self.unsent.append(Settled(assignment, ItemState.CONFLICT, message=message))
            elif item.batch_id in kept and assignment.patch.paused is False:
                message = f"Held by {kept[item.batch_id]} since it was drafted: left paused."
                self.unsent.append(Settled(assignment, ItemState.CONFLICT, message=message))
            elif (seen := seen_so(assignment)) and not is_old():
                self.unsent.append(seen)
            else:
                to_send.append(assignment)
        self._dispatcher.send(claimant, to_send)
        return len(items)
