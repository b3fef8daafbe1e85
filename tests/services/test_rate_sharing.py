"""Workers keep to one rate together: turns that never overlap, and what one learns all know."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TypeVar

import pytest
from django.db import DatabaseError
from pytest_django import Settings

from batchops.models import VendorRate
from batchops.services.rate_sharing import TURN_REQUESTS, RateSharing
from batchops.syllable.rate.limiter import RateLimiter, Use

pytestmark = pytest.mark.django_db

URL = "http://127.0.0.1:1"

Limiter = TypeVar("Limiter", bound=RateLimiter)


@pytest.fixture(autouse=True)
def no_vendor(settings: Settings) -> None:
    settings.SYLLABLE_BASE_URL = URL


def limited(limiter: Limiter, refused: int = 1) -> Limiter:
    """One that was refused lately and has something to send."""
    for _ in range(refused):
        leave = limiter.take(Use.WRITE)
        assert leave is not None
        limiter.refused(leave)
    assert limiter.take(Use.WRITE, timeout=0) is None
    return limiter


def test_without_a_limit_the_database_is_left_alone(
    django_assert_num_queries: pytest.FixtureRequest,
) -> None:
    sharing = RateSharing(RateLimiter())
    sharing.step()
    with django_assert_num_queries(0):  # type: ignore[operator]
        sharing.step()
    assert not VendorRate.objects.exists()


class Noting(RateLimiter):
    """Keeps the turns that it got."""

    def share(self, start: float, seconds: float) -> None:
        self.turns = [*getattr(self, "turns", []), (start, start + seconds)]
        super().share(start, seconds)


def test_two_workers_send_in_turns_that_never_overlap() -> None:
    first, second = limited(Noting()), limited(Noting())
    one, other = RateSharing(first), RateSharing(second)
    for sharing in (one, other, one, other):
        sharing._ends_at = -math.inf
        sharing.step()
    turns = sorted(first.turns + second.turns)
    assert turns == [first.turns[0], second.turns[0], first.turns[1], second.turns[1]]
    assert all(end < start for (_, end), (start, _) in pairwise(turns))
    slot = 1 / first.rate
    assert all(end - start > (TURN_REQUESTS // 2) * slot for start, end in turns)


def test_a_worker_sends_in_its_turn_alone() -> None:
    moment = 100.0
    limiter = limited(RateLimiter(clock=lambda: moment))
    limiter.share(110.0, 2.0)
    sent = []
    while moment < 120.0:
        moment += 0.01
        if (leave := limiter.take(Use.WRITE, timeout=0)) is not None:
            sent.append(leave.at)
    assert len(sent) > 1
    assert min(sent) >= 110.0 and max(sent) < 112.0


def test_what_one_worker_learnt_the_other_knows_with_its_next_turn() -> None:
    first, second = limited(RateLimiter()), limited(RateLimiter(), 2)
    RateSharing(second).step()
    assert second.rate < first.rate
    RateSharing(first).step()
    assert first.rate == pytest.approx(second.rate)


def test_a_worker_that_starts_begins_gently_with_what_is_known() -> None:
    RateSharing(limited(RateLimiter())).step()
    newcomer = RateLimiter()
    RateSharing(newcomer).step()
    known = VendorRate.objects.get(pk=URL).estimate["ceiling"]
    assert newcomer.rate == pytest.approx(0.75 * known)


def test_a_rate_that_is_known_beforehand_is_shared_before_anything_was_refused() -> None:
    def known() -> RateLimiter:
        limiter = RateLimiter(10.0)
        assert limiter.take(Use.WRITE) is not None
        assert limiter.take(Use.WRITE, timeout=0) is None
        return limiter

    first, second = known(), known()
    RateSharing(first).step()
    turns_of_first = VendorRate.objects.get(pk=URL).taken_until
    RateSharing(second).step()
    assert VendorRate.objects.get(pk=URL).taken_until > turns_of_first
    assert second.rate == 10.0
    newcomer = RateLimiter(10.0)
    RateSharing(newcomer).step()
    assert newcomer.rate == 10.0


def test_another_vendor_is_another_rate(settings: Settings) -> None:
    RateSharing(limited(RateLimiter())).step()
    settings.SYLLABLE_BASE_URL = "http://127.0.0.1:2"
    newcomer = RateLimiter()
    RateSharing(newcomer).step()
    assert math.isinf(newcomer.rate)


def test_while_the_database_is_gone_the_rate_alone_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    limiter = limited(RateLimiter())
    sharing = RateSharing(limiter)
    sharing.step()

    def gone(*_: object) -> None:
        raise DatabaseError

    monkeypatch.setattr(sharing, "_take_turn", gone)
    monkeypatch.setattr(sharing, "_ends_at", float("-inf"))
    with pytest.raises(DatabaseError):
        sharing.step()
    assert limiter.take(Use.WRITE, timeout=1) is not None
