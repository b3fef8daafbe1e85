"""Whatever people do one after the other, holds are as a small model of them says."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from batchops import audit
from batchops.models import Batch, Change, ChangeState, Hold, HoldOverride, ItemState
from batchops.services.changes import drafts, lifecycle
from batchops.services.errors import EmptySelection, InvalidInput
from batchops.services.holds import moves
from batchops.services.mirror import store
from batchops.services.runs import run_state
from tests.services.changes import world

pytestmark = pytest.mark.django_db(transaction=True)

NAMES = ("b-0", "b-1")
PEOPLE = ("ana", "ben", "lena")
OUTSIDE = "outside"
Batches = tuple[str, ...]

batch_sets = st.lists(st.sampled_from(NAMES), min_size=1, unique=True).map(tuple)
people = st.sampled_from(PEOPLE)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("pause"), people, batch_sets),
        st.tuples(st.just("resume"), people, batch_sets),
        st.tuples(st.just("override"), st.just("lena"), batch_sets),
        st.tuples(st.just("resume exactly those"), people, st.integers(0, 5)),
        st.tuples(st.just("undo"), people, st.integers(0, 5)),
        st.tuples(st.just("paused outside"), st.just(OUTSIDE), batch_sets),
        st.tuples(st.just("resumed outside"), st.just(OUTSIDE), batch_sets),
    ),
    min_size=12,
    max_size=14,
)


@dataclass
class Model:
    """Of each batch, who holds it: pairs of a person and the number of their pause."""

    holds: dict[str, set[tuple[str, int]]] = field(
        default_factory=lambda: {name: set() for name in NAMES}
    )
    pauses: list[tuple[str, set[str]]] = field(default_factory=list)

    def pause(self, person: str, batches: Batches) -> None:
        number = len(self.pauses)
        self.pauses.append((person, set(batches)))
        for name in batches:
            self.holds[name].add((person, number))

    def lift(self, batches: Iterable[str], may: Callable[[tuple[str, int]], bool]) -> None:
        """Lift what may be lifted; outside holds only with the batch itself."""
        for name in batches:
            left = {one for one in self.holds[name] if not may(one)}
            if left:
                left |= {one for one in self.holds[name] if one[0] == OUTSIDE}
            self.holds[name] = left

    def owned(self) -> dict[str, list[str]]:
        return {name: sorted(owner for owner, _ in held) for name, held in self.holds.items()}


@settings(
    max_examples=8,
    phases=[Phase.generate],
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=steps)
def test_holds_are_as_the_model_says(
    make_person: Callable[..., User], steps: list[tuple[str, str, Batches | int]]
) -> None:
    users = {name: _person(make_person, name) for name in PEOPLE}
    _clear()
    world.batches(2)
    model, pauses = Model(), list[Change]()
    for act, name, what in steps:
        if isinstance(what, int):
            if not pauses:
                continue
            number = what % len(pauses)
            owner, batches = model.pauses[number]
            draft = drafts.draft_undo if act == "undo" else drafts.draft_resume
            _carry_out(lambda: draft(pauses[number], **_by(users[name])), users[name])  # noqa: B023
            if owner == name:
                model.lift(batches, lambda one: one == (name, number))  # noqa: B023
        elif name == OUTSIDE:
            _outside(what, paused=act == "paused outside")
            for one in what:
                if act == "resumed outside":
                    model.holds[one] = set()
                elif not model.holds[one]:
                    model.holds[one] = {(OUTSIDE, 0)}
        else:
            user, chosen = users[name], Batch.objects.filter(pk__in=what)
            patch = world.PAUSE if act == "pause" else world.RESUME
            lifts = Change.Lifts.ALL if act == "override" else Change.Lifts.OWN
            change = _carry_out(
                lambda: world.draft(user, patch, batches=chosen, lifts=lifts),  # noqa: B023
                user,
            )
            if act == "pause":
                assert change is not None
                pauses.append(change)
                model.pause(name, what)
            else:
                everybody = act == "override"
                model.lift(what, lambda one: everybody or one[0] in (name, OUTSIDE))  # noqa: B023
        assert _standing() == model.owned(), (act, name, what)
        assert _paused() == {one for one, held in model.holds.items() if held}
    _assert_owners_are_told()


def _carry_out(make: Callable[[], Change], user: User) -> Change | None:
    """Draft, confirm and run a change, with a vendor that does all it is asked; None: nothing."""
    try:
        change = world.confirm(make(), user)
    except (EmptySelection, InvalidInput):
        return None
    assert run_state.start(change)
    for item in change.items.filter(state=ItemState.PENDING).select_related("batch"):
        patch, row = item.requested(change), item.batch
        already = patch.is_satisfied_by(row)
        if patch.paused:
            moves.place(change, [row.pk], {row.pk: row.last_updated_by} if already else {})
        else:
            moves.lift(change, [row.pk])
        item.after = patch.applied_to(item.before).to_json()
        item.state = ItemState.UNCHANGED if already else ItemState.APPLIED
        item.save()
        wanted = patch.paused is True
        row.paused, row.paused_by = wanted, change if wanted else None
        row.save()
    Change.objects.filter(pk=change.pk).update(
        state=ChangeState.FINISHED, finished_at=timezone.now()
    )
    change.refresh_from_db()
    return change


def _outside(names: Batches, *, paused: bool) -> None:
    rows = list(Batch.objects.filter(pk__in=names).order_by("pk"))
    for row in rows:
        row.pause_moved = row.paused is not paused
        row.paused, row.last_updated_by = paused, "somebody"
        row.paused_by = row.paused_by if paused else None
    store.update_rows(rows)


def _standing() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {name: [] for name in NAMES}
    for hold in Hold.objects.filter(lifted_at=None).select_related("change"):
        found[hold.batch_id].append(OUTSIDE if hold.change is None else hold.owner)
    return {name: sorted(owners) for name, owners in found.items()}


def _paused() -> set[str]:
    return set(Batch.objects.filter(paused=True).values_list("pk", flat=True))


def _assert_owners_are_told() -> None:
    """Of every pause whose hold another person lifted, and of no other."""
    lifted = Hold.objects.filter(lifted_by__isnull=False, change__isnull=False)
    others = {
        (hold.change_id, hold.lifted_by_id)
        for hold in lifted.select_related("change", "lifted_by")
        if hold.change.requested_by_id != hold.lifted_by.requested_by_id  # type: ignore[union-attr]
    }
    assert set(HoldOverride.objects.values_list("pause_id", "by_id")) >= others


def _person(make_person: Callable[..., User], name: str) -> User:
    groups = ("Operator", "Approver") if name == "lena" else ("Operator",)
    return User.objects.filter(username=name).first() or make_person(name, *groups)


def _by(user: User) -> dict[str, Any]:
    return {"user": user, "actor": audit.Actor.of_user(user)}


def _clear() -> None:
    HoldOverride.objects.all().delete()
    Hold.objects.all().delete()
    for change in Change.objects.all():
        change.items.all().delete()
    Batch.objects.update(paused_by=None)
    Change.objects.update(follows=None)
    Change.objects.all().delete()
    Batch.objects.all().delete()
    assert not lifecycle.queue_due()
