"""Reviewing is recorded itself, covers exactly what was seen, and leaves the rest to be found."""

from __future__ import annotations

import datetime as dt
import hashlib
import itertools
from collections.abc import Callable
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from batchops import audit
from batchops.models import Action, AuditEntry, AuditReviewedRange
from batchops.services.errors import InvalidInput, NotAllowed
from batchops.services.trail import search, sign_offs
from batchops.services.trail.search import page
from batchops.services.trail.trail_filter import TrailFilter
from tests.audit import trail

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_trail")]


def by(user: User) -> dict[str, Any]:
    return {"user": user, "actor": audit.Actor.of_user(user)}


def not_reviewed(**more: Any) -> list[int]:
    """What is left to review, of entries about batches."""
    trail_filter = TrailFilter(action="batch.applied", not_reviewed=True, **more)
    return [entry.sequence for entry in page(trail_filter, size=500).entries]


def test_marked_entries_are_reviewed_and_the_review_is_an_entry(auditor: User) -> None:
    trail.fill(5)
    last = AuditEntry.objects.latest("sequence").sequence
    wanted = [last - 3, last - 1]
    done = sign_offs.mark_entries(wanted, comment="checked the list", **by(auditor))
    assert (done.entries, done.newly) == (2, 2)
    assert done.entry.action == Action.AUDIT_REVIEWED
    assert done.entry.reason == "checked the list"
    assert done.entry.detail["sequences"] == wanted
    assert not_reviewed() == [last, last - 2, last - 4]
    assert sign_offs.review_of(wanted[0]) == done.entry
    assert sign_offs.review_of(last) is None
    assert sign_offs.reviewed_among([last, *wanted]) == set(wanted)


def test_what_was_reviewed_before_is_not_counted_anew(auditor: User) -> None:
    trail.fill(4)
    found = TrailFilter(action="batch.applied")
    first = sign_offs.mark_filtered(found, comment="seen", **by(auditor))
    trail.fill(2)
    second = sign_offs.mark_filtered(found, comment="seen", **by(auditor))
    assert (first.newly, second.entries, second.newly) == (4, 6, 2)
    assert second.entry.detail["filter"] == "action: batch.applied"
    assert not_reviewed() == []


@settings(max_examples=25)
@given(
    marks=st.lists(st.sets(st.integers(1, 40), min_size=1), max_size=6),
    wide=st.integers(1, 12),
)
def test_any_reviews_leave_exactly_the_rest(
    auditor: User, marks: list[set[int]], wide: int
) -> None:
    example: Any = transaction.atomic()
    # As the transaction around a test: what is done within is not part of something else.
    example._from_testcase = True
    with example, pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "WIDE_RANGE", wide)
        patch.setattr(sign_offs, "CHUNK", 7)
        with trail.triggers_dropped():
            AuditEntry.objects.all()._raw_delete("default")
            trail.run("UPDATE batchops_audithead SET sequence = 0")
        trail.fill(40)
        reviewed: set[int] = set()
        for mark in marks:
            # One slice of the review at most, as from a page.
            chosen = sorted(mark)[:7]
            done = sign_offs.mark_entries(chosen, comment="seen", **by(auditor))
            assert done.newly == len(set(chosen) - reviewed)
            reviewed |= set(chosen)
        assert not_reviewed() == sorted(set(range(1, 41)) - reviewed, reverse=True)
        ranges = list(AuditReviewedRange.objects.values_list("first", "last"))
        assert all(last < first for (_, last), (first, _) in itertools.pairwise(ranges))
        assert sum(last - first + 1 for first, last in ranges) == len(reviewed)
        transaction.set_rollback(True)


def test_a_period_that_is_over_can_be_signed_off(auditor: User) -> None:
    start = timezone.now() - dt.timedelta(days=10)
    with time_machine.travel(start + dt.timedelta(days=1), tick=False):
        trail.fill(6)
    trail.fill(2)
    last = AuditEntry.objects.latest("sequence").sequence
    done = sign_offs.sign_off(start, start + dt.timedelta(days=2), comment="sampled", **by(auditor))
    assert done.entry.action == Action.AUDIT_SIGNED_OFF
    assert (done.entries, done.newly) == (6, 6)
    assert not_reviewed() == [last, last - 1]


def test_a_sample_is_drawn_again_from_its_recorded_seed(auditor: User) -> None:
    trail.fill(60)
    found = TrailFilter(action="batch.applied")
    first = sign_offs.draw_sample(found, 5, **by(auditor))
    again = sign_offs.draw_sample(found, 5, seed=first.seed, **by(auditor))
    other = sign_offs.draw_sample(found, 5, **by(auditor))
    assert first.sequences == again.sequences != other.sequences
    assert first.entry.detail["sequences"] == list(first.sequences)
    assert first.entry.detail["population"] == 60


def test_every_entry_is_as_likely_to_be_drawn_as_any_other() -> None:
    drawn = [0] * 20
    for seed in range(2_000):
        chosen, population = sign_offs._reservoir(iter(range(20)), 5, str(seed))
        assert population == 20
        for number in chosen:
            drawn[number] += 1
    # 500 each on average; far less than one in a million of honest draws falls outside.
    assert all(380 < times < 620 for times in drawn)


def test_the_digest_tells_which_entries_a_review_covered(auditor: User) -> None:
    trail.fill(3)
    done = sign_offs.mark_filtered(TrailFilter(), comment="seen", **by(auditor))
    numbers = range(done.entry.detail["first"], done.entry.detail["last"] + 1)
    text = "".join(f"{number}\n" for number in numbers)
    assert done.entry.detail["digest"] == hashlib.sha256(text.encode()).hexdigest()


def test_bad_wishes_are_refused_with_the_field_they_are_about(auditor: User) -> None:
    trail.fill(1)
    now = timezone.now()
    sequence = AuditEntry.objects.latest("sequence").sequence
    who = by(auditor)
    requested: dict[str, Callable[[], object]] = {
        "comment": lambda: sign_offs.mark_entries([sequence], comment=" ", **who),
        "": lambda: sign_offs.mark_entries([99_999], comment="seen", **who),
        "size": lambda: sign_offs.draw_sample(TrailFilter(), 0, **who),
        "until": lambda: sign_offs.sign_off(now, now + dt.timedelta(days=1), comment="seen", **who),
    }
    for field, wish in requested.items():
        with pytest.raises(InvalidInput) as caught:
            wish()
        assert caught.value.field == field
    with pytest.raises(InvalidInput, match="ends before it begins"):
        sign_offs.sign_off(now, now - dt.timedelta(days=1), comment="seen", **who)


def test_reviewing_needs_its_own_permission(operator: User) -> None:
    trail.fill(1)
    with pytest.raises(NotAllowed):
        sign_offs.mark_entries([1], comment="seen", **by(operator))
    assert AuditReviewedRange.objects.count() == 0
